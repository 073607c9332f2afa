"""The server on which the application's login is replaced: sessions there, and what its admin sees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aada_operator.adapters import postgres, postgres_rotation
from aada_operator.adapters.postgres import Endpoint, Login, Session
from aada_operator.adapters.postgres_locks import alone
from aada_operator.adapters.postgres_logins import admin_session, endpoint_of, login_of
from aada_operator.adapters.postgres_refusal import refusal
from aada_operator.api.lms import Database
from aada_operator.core.database import Names, RotationServer
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.work import Work


class LoginServer:
    """One visit's ways to it, and its last look."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._seen: RotationServer | None = None

    @property
    def database(self) -> Database:
        """Where it is."""
        return self._work.spec.database

    @property
    def names(self) -> Names:
        """The roles, as they were before the rotation."""
        kept = self._work.kept
        return Names(self.database.name, (kept.data if kept else self._work.data)["username"])

    async def look(self) -> RotationServer:
        """The server as it was at the first look of this visit, or since the last change."""
        if self._seen is None:
            logins = {*self.names.logins, self._work.data["username"], self.names.given}
            async with self._admin() as session:
                self._seen = await postgres_rotation.look(session, self.names, logins)
        return self._seen

    async def answer(self, username: str, password: str) -> str | None:
        """The SQLSTATE with which the server refuses a login; empty when it lets it in, None for no answer."""
        return await refusal(await self._endpoint(), Login(username, password, ""), self.database.name)

    @asynccontextmanager
    async def session_of(self, revision: Revision) -> AsyncIterator[Session]:
        """A session in the database with the credentials of a revision, as the application would open it."""
        async with postgres.session(await self._endpoint(), credentials_of(revision), self.database.name) as opened:
            yield opened

    async def sessions_before(self, login: str, moment: datetime) -> int:
        """How many sessions of a role began before a moment of the server's clock."""
        async with self._admin() as session:
            return await postgres_rotation.sessions_before(session, login, moment)

    async def end_sessions(self, login: str, moment: datetime) -> None:
        """End them."""
        async with self.changing() as session:
            await postgres_rotation.end_sessions(session, login, moment)

    async def end_idle_sessions(self, login: str, seconds: float) -> None:
        """End those sessions of a role that nobody has used for so long."""
        async with self.changing() as session:
            await postgres_rotation.end_idle_sessions(session, login, seconds)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Session]:
        """A session of the admin in the database itself, while nobody else changes the roles of this LMS.

        Two locks, as each is known in one database only: the first keeps those away who change roles or names from
        outside, and may be lost with its session; the second ends with the very session that changes something.

        Raises:
            Waiting: OperationInProgress, somebody else is at it; or the reasons of `postgres.session`.
        """
        kube, namespace = self._work.kube, self._work.visit.namespace
        admin = await login_of(kube, namespace, self.database.admin_secret_ref.name)
        async with (
            self._admin() as outside,
            alone(outside, self.database.name),
            postgres.session(await self._endpoint(), admin, self.database.name) as inside,
            alone(inside, self.database.name),
        ):
            yield inside
        self._seen = None

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Session]:
        work = self._work
        async with admin_session(work.kube, work.visit.namespace, self.database, work.allow_local) as opened:
            yield opened

    async def _endpoint(self) -> Endpoint:
        return await endpoint_of(self._work.kube, self._work.visit.namespace, self.database, self._work.allow_local)


def credentials_of(revision: Revision) -> Login:
    """User and password of a revision."""
    return Login(revision.data["username"], revision.data["password"], f"Secret {revision.name}")
