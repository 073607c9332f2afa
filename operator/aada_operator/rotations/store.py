"""The store outside the cluster in a rotation of the login: it knows the new one before anybody reads it."""

import uuid

from aada_operator.adapters.secrets_manager import PREVIOUS, SecretsManager, open_secrets_manager
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.work import Work

IN_STEP, DRIFT = "StoreInStep", "SecretDataDrift"


class StoreInStep:
    """Steps and looks; without ``spec.store`` each is done at once."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._opened: SecretsManager | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is a store."""
        return self._work.visit.spec.store is not None

    async def demand(self) -> None:
        """Make sure that it answers and holds the login that the Secret has; raises as `SecretsManager.current`.

        Raises:
            Stalled: SecretDataDrift.
        """
        if self.wanted and (trouble := await self._difference()):
            raise Stalled(DRIFT, trouble)

    async def look(self) -> None:
        """Say in a condition whether store and Secret have the same login."""
        conditions = self._work.visit.conditions
        if not self.wanted:
            conditions.drop(IN_STEP)
            return
        try:
            trouble = await self._difference()
        except OperatorError as error:
            conditions.set(IN_STEP, "Unknown", error.reason, error.message)
            return
        told = trouble or "the store has the login of the Secret"
        conditions.set(IN_STEP, not trouble, DRIFT if trouble else "InStep", told)

    async def _difference(self) -> str:
        if (await (await self._store()).current()).has(self._work.data):
            return ""
        return f"the store has another login than Secret {self._work.secret}: write that of the Secret into the store"

    async def is_proposed(self) -> bool:
        """Whether it knows the new login."""
        return not self.wanted or self._version in (await (await self._store()).stages()).values()

    async def propose(self) -> None:
        """The new login beside the one that others read, with all else as it is there."""
        store = await self._store()
        await store.propose(self._version, (await store.current()).with_login(self._new.data))

    async def is_promoted(self) -> bool:
        """Whether others read the new login."""
        return not self.wanted or (await (await self._store()).current()).id == self._version

    async def promote(self) -> None:
        """From now on others read the new login."""
        await (await self._store()).promote(self._version)

    async def is_restored(self) -> bool:
        """Whether others read the old login, on the way back."""
        return not self.wanted or (await (await self._store()).current()).id != self._version

    async def restore(self) -> None:
        """Have others read what they read before."""
        store = await self._store()
        if before := (await store.stages()).get(PREVIOUS):
            await store.promote(before)

    @property
    def _new(self) -> Revision:
        assert self._work.fresh, "the steps before have made it"  # noqa: S101
        return self._work.fresh

    @property
    def _version(self) -> str:
        """The id of the new login's version: the same for every try of one rotation."""
        text = f"{self._work.visit.uid}/{self._new.name}/{to_rfc3339(self._new.made_at)}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, text))

    async def _store(self) -> SecretsManager:
        work = self._work
        if self._opened is None:
            assert work.visit.spec.store, "nobody asks without one"  # noqa: S101
            spec = work.visit.spec.store.aws_secrets_manager
            how = {"allow_local": work.allow_local, "user_stays": work.strategy == "InPlace"}
            self._opened = await open_secrets_manager(work.kube, work.visit.namespace, spec, **how)
        return self._opened
