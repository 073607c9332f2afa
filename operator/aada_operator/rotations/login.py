"""What both strategies for the application's login have in common: server and store, publication, and the proof."""

import secrets

from aada_operator.adapters.postgres_refusal import PASSWORD_REFUSED
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.rotations import report
from aada_operator.rotations.pooler import PoolerInStep
from aada_operator.rotations.replacement import SECRET_BYTES, Replacement
from aada_operator.rotations.server import LoginServer, credentials_of
from aada_operator.rotations.store import StoreInStep
from aada_operator.rotations.work import Work


class LoginReplacement(Replacement):
    """User and password in the application's Secret and on the server."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._server = LoginServer(work)
        self._pooler = PoolerInStep(work)
        self._store = StoreInStep(work)

    def described(self) -> str:
        return f"the application logs in as {self._work.data['username']}"

    @property
    def _old(self) -> str:
        return self.old.data["username"]

    @property
    def _new(self) -> str:
        return self.new.data["username"]

    @property
    def _published(self) -> bool:
        return self._work.fresh is not None and self._work.has(self._work.fresh.data)

    async def look_around(self) -> None:
        await self._store.look()

    async def _demand_that_passwords_count(self, login: str) -> None:
        """Where a wrong password is let in, none could ever be proved dead."""
        answer = await self._server.answer(login, secrets.token_urlsafe(SECRET_BYTES))
        if answer == "":
            message = f"the server lets {login} in with any password: correct its line in pg_hba.conf"
            raise Stalled("PasswordNotAsked", message)
        if answer != PASSWORD_REFUSED:
            raise Waiting("DatabaseUnreachable", "the server does not answer a login as it should", 15.0)

    async def _is_published(self) -> bool:
        return self._published

    async def _publish(self) -> None:
        """The application's Secret gets the new login; the AadaLms restarts its pods one by one."""
        self.demand_undisturbed()
        await self.publish(self.new.data, self.new.number)

    async def _is_proven(self) -> bool:
        return bool((self._work.status.get("proof") or {}).get("revision") == self.new.number)

    async def _prove(self) -> None:
        """Try the old password: only that very refusal counts, while the new login is let in on the same path."""
        state = await self._server.answer(self._old, self.old.data["password"])
        beside = await self._server.answer(self._new, self.new.data["password"])
        if state != PASSWORD_REFUSED or beside != "":
            raise Waiting("NotProven", report.not_proven(state, beside), 15.0)
        await self._pooler.demand_refused(credentials_of(self.old), credentials_of(self.new))
        self._work.status["proof"] = {
            "time": to_rfc3339(self._visit.now),
            "revision": self.new.number,
            "login": self._old,
            "sqlState": state,
            "sessionsLeft": await self._sessions_left(),
            "by": self._new,
        }

    async def _sessions_left(self) -> int:
        """How many sessions of the old login are open."""
        return (await self._server.look()).sessions(self._old)

    async def _is_returned(self) -> bool:
        return not self._published

    async def _return(self) -> None:
        """The old login under a new revision: a pod that got the other in between must not pass for one of these."""
        await self.publish(self.old.data, self.new.number + 1, self.old.made_at)
