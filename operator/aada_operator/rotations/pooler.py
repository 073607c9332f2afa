"""The pooler between application and server in a rotation of the login: it must let in who the server lets in."""

import secrets

from aada_operator.adapters import pgbouncer
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.adapters.postgres_errors import AUTHENTICATION_FAILED
from aada_operator.adapters.postgres_logins import pooler_endpoint_of
from aada_operator.adapters.postgres_refusal import refusal
from aada_operator.api.lms import Pooler
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.rotations import report
from aada_operator.rotations.work import Work


class PoolerInStep:
    """Questions; without ``database.pooler`` each is answered at once."""

    def __init__(self, work: Work) -> None:
        self._work = work

    @property
    def _pooler(self) -> Pooler | None:
        return self._work.spec.database.pooler

    async def demand_ready(self, login: Login) -> None:
        """Make sure that a rotation can end well behind it, before anything is touched.

        Raises:
            Stalled: PasswordNotAsked, or as `demand_let_in`.
            Waiting: as `postgres.session`.
        """
        if self._pooler is None:
            return
        await self.demand_let_in(login)
        if await self._answer(login.username, secrets.token_urlsafe()) == "":
            message = f"database.pooler: it lets {login.username} in with any password: set auth_type = scram-sha-256"
            raise Stalled("PasswordNotAsked", message)

    async def demand_let_in(self, login: Login) -> None:
        """Make sure that it lets a login in that the server lets in, and as that login.

        Raises:
            Stalled: PoolerRefusesLogin, PoolerUserForced.
            Waiting: as `postgres.session`.
        """
        if self._pooler is None:
            return
        try:
            found = await pgbouncer.session_user(await self._endpoint(), login, self._database)
        except Waiting as waiting:
            if waiting.reason != AUTHENTICATION_FAILED:
                raise
            message = f"database.pooler: it refuses {login.username}, which the server lets in: give it an auth_query"
            raise Stalled("PoolerRefusesLogin", f"{message}, and take the login out of its auth_file") from None
        if found != login.username:
            message = f"database.pooler: it goes to the server as {found}: take user= out of its [databases]"
            raise Stalled("PoolerUserForced", message)

    async def demand_refused(self, old: Login, new: Login) -> None:
        """Make sure that it does not let the old password in either: it may know it on its own.

        Raises:
            Waiting: NotProven.
        """
        if self._pooler is None:
            return
        state = await self._answer(old.username, old.password)
        beside = await self._answer(new.username, new.password)
        if state not in pgbouncer.REFUSALS or beside != "":
            message = f"through database.pooler {report.answers(state, beside)}"
            raise Waiting("NotProven", f"{message}: {old.username} must not be in its auth_file", 15.0)

    async def _answer(self, username: str, password: str) -> str | None:
        return await refusal(await self._endpoint(), Login(username, password, ""), self._database)

    @property
    def _database(self) -> str:
        return self._work.spec.database.name

    async def _endpoint(self) -> Endpoint:
        assert self._pooler, "nobody asks without one"  # noqa: S101
        work = self._work
        return await pooler_endpoint_of(
            work.kube, work.visit.namespace, work.spec.database, self._pooler, work.allow_local
        )
