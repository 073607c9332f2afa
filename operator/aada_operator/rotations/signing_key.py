"""What all ways to replace the key that signs tokens have in common: the new key, revoked tokens, the proof."""

from aada_operator.adapters import postgres_revocation
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_logins import application_session
from aada_operator.api.lms import Database
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.steps import Step
from aada_operator.rotations import manifests
from aada_operator.rotations.generator import generate
from aada_operator.rotations.replacement import CONVERGING, Replacement
from aada_operator.rotations.work import Work

_STILL_ACCEPTED = "the old key is accepted still"


class SigningKey(Replacement):
    """The signing key of access tokens."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._signing, *self._accepted = work.target.keys

    def described(self) -> str:
        return f"tokens are signed with key {self._signing} of Secret {self._work.secret}"

    def only(self, key: str) -> dict[str, str]:
        """The values that sign and verify with one key, and accept no other."""
        return {self._signing: key, **dict.fromkeys(self._accepted, "")}

    def last_steps(self) -> list[Step]:
        """What is done once everybody was given the new key alone."""
        return [
            Step("RevokeTokens", self._are_revoked, self._revoke),
            Step("ProveOld", self._is_proven, self._prove),
        ]

    async def preflight(self) -> None:
        """Refuse what cannot end well; raises as `demand_calm`, and Stalled, RevocationRefused."""
        await self.demand_calm()
        if statement := self._revocation:
            async with application_session(*self._database) as session:
                await postgres_revocation.demand(session, statement)

    async def generate_key(self, **others: str) -> None:
        """The Secret's content with a new key that signs, and ``others`` as they are given."""
        new = generate(self._visit.spec.generator)
        await self.generate({**self._work.data, **others, self._signing: new})

    @property
    def _revocation(self) -> str | None:
        return self._visit.spec.jwt.revoke_sql if self.emergency else None

    async def _are_revoked(self) -> bool:
        return self._revocation is None or self.new.tokens_revoked is not None

    async def _revoke(self) -> None:
        """Only now: a pod that accepts the old key could give out further ones."""
        await self.demand_converged(CONVERGING, _STILL_ACCEPTED)
        assert self._revocation, "without it the step is done"  # noqa: S101
        async with application_session(*self._database) as session:
            rows = await postgres_revocation.revoke(session, self._revocation)
        await self.note(manifests.ANNOTATION_TOKENS_REVOKED, str(rows))

    @property
    def _database(self) -> tuple[Kube, str, str, Database, bool, str]:
        work, database = self._work, self._work.spec.database
        return work.kube, self._visit.namespace, work.lms_name, database, work.allow_local, database.name

    async def _is_proven(self) -> bool:
        return bool((self._work.status.get("proof") or {}).get("revision") == self._work.revision)

    async def _prove(self) -> None:
        """No pod is left that accepts the old key."""
        await self.demand_converged(CONVERGING, _STILL_ACCEPTED)
        proof: dict[str, object] = {"time": to_rfc3339(self._visit.now), "revision": self._work.revision}
        if self.new.tokens_revoked is not None:
            proof["tokensRevoked"] = self.new.tokens_revoked
        self._work.status["proof"] = proof
