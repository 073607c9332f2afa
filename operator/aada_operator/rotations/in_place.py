"""InPlace: the application's login keeps its name and gets another password, in a maintenance window.

For consumers and stores that hold a bare password. It has a price: from the change on the old password is refused, so a
pod can open no connection until it is restarted. Sessions that are open go on until then.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime

from aada_operator.adapters import postgres_rotation
from aada_operator.adapters.postgres import Login
from aada_operator.core import windows
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.steps import Step, demand, unless
from aada_operator.rotations import decide, manifests
from aada_operator.rotations.credentials import rewritten
from aada_operator.rotations.login import LoginReplacement
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.replacement import CONVERGING, SECRET_BYTES
from aada_operator.rotations.server import credentials_of


class InPlace(LoginReplacement):
    """The application's login stays, its password does not."""

    strategy = "InPlace"

    def steps(self) -> list[Step]:
        return [
            demand("Preflight", self._preflight),
            self.claim_step(),
            self.keep_step(),
            Step("Generate", self.is_generated, self._generate),
            unless(self._is_published, Step("ProposeToStore", self._store.is_proposed, self._store.propose)),
            unless(self._is_published, Step("SetPassword", self._is_set, self._set)),
            unless(self._is_published, demand("VerifyNew", self._verify)),
            Step("Publish", self._is_published, self._publish),
            unless(self.has_converged, Step("PromoteInStore", self._store.is_promoted, self._store.promote)),
            Step("Converge", self.has_converged, self._converge),
            Step("EndSessions", self._is_alone, self._end_sessions),
            Step("ProveOld", self._is_proven, self._prove),
        ]

    def way_back(self) -> list[Step]:
        return [
            self.claim_step("ClaimAgain"),
            Step("RestorePassword", self._is_restored, self._restore),
            Step("Return", self._is_returned, self._return),
            Step("Reconverge", self._has_reconverged, self.reconverge),
            Step("RestoreInStore", self._store.is_restored, self._store.restore),
        ]

    async def is_reversible(self) -> bool:
        """Once everybody has the new password, going back would only refuse logins a second time."""
        return not await self.has_converged()

    def described(self) -> str:
        return f"{super().described()}, and a rotation InPlace refuses its logins until its pods are restarted"

    async def _preflight(self) -> None:
        """Refuse what cannot end well before anything is touched."""
        work = self._work
        if work.fresh:
            return
        await self.demand_calm()
        login = work.data["username"]
        rewritten(work.data, login, "a password to be made")
        decide.demand_login(await self._server.look(), login)
        await self._demand_that_passwords_count(login)
        await self._pooler.demand_ready(Login(login, work.data["password"], f"Secret {work.secret}"))
        await self._store.demand()

    async def _generate(self) -> None:
        """The new password, in the cluster before the server knows it."""
        await self.generate(rewritten(self._work.data, self._old, secrets.token_urlsafe(SECRET_BYTES)))

    async def _is_set(self) -> bool:
        return self.new.changed_at is not None and await self._lets_in(self.new.data)

    async def _set(self) -> None:
        """From here to the restart of a pod its logins fail, so never outside a window, however late we are."""
        self.demand_undisturbed()
        if not windows.is_open(self._work.spec.maintenance_windows, self._visit.now):
            raise Stalled("WindowClosed", "the maintenance window closed before the password was changed: it stays")
        moment = await self._give(self.new)
        # Nobody has the new password before it is published: whatever the server's clock says until then will do.
        await self.note(manifests.ANNOTATION_CHANGED_AT, moment)
        if not await self._lets_in(self.new.data):
            message = f"the server does not let {self._new} in with its new password"
            raise Waiting("NewLoginRefused", f"{message}: pg_hba.conf and connection limits must let it in", 2.0)

    async def _verify(self) -> None:
        await self._pooler.demand_let_in(credentials_of(self.new))

    async def _give(self, revision: Revision) -> str:
        """Give the role the password of a revision; returns the server's time afterwards."""
        async with self._server.changing() as session:
            return (await postgres_rotation.change_password(session, credentials_of(revision))).isoformat()

    async def _lets_in(self, login: Mapping[str, str]) -> bool:
        return await self._server.answer(login["username"], login["password"]) == ""

    async def _converge(self) -> None:
        await self.note_converged("logins of these are refused until they are restarted")

    async def _is_alone(self) -> bool:
        return await self._sessions_left() == 0

    async def _end_sessions(self) -> None:
        """Who is left has the old password, and nobody declared them: everybody declared was restarted."""
        await self._server.end_sessions(self._old, self._since)
        if left := await self._sessions_left():
            raise Waiting(CONVERGING, f"{left} sessions of {self._old} from before the change are ending", 1.0)

    async def _sessions_left(self) -> int:
        return await self._server.sessions_before(self._old, self._since)

    @property
    def _since(self) -> datetime:
        assert self.new.changed_at, "the steps before have noted it"  # noqa: S101
        return self.new.changed_at

    async def _is_restored(self) -> bool:
        """Whether the old password works again, or somebody gave Secret and server another one, which is not ours."""
        if await self._lets_in(self.old.data):
            return True
        return not self._published and await self._lets_in(self._work.data)

    async def _restore(self) -> None:
        await self._give(self.old)

    async def _has_reconverged(self) -> bool:
        return self._work.revision <= self.new.number or (await self.convergence()).reached
