"""One visit to one SecretRotation: the LMS, the application's Secret, the revisions, and ways to the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aada_operator.adapters import postgres, postgres_rotation
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres import Endpoint, Login, Session
from aada_operator.adapters.postgres_locks import alone
from aada_operator.adapters.postgres_logins import admin_session, endpoint_of, login_of
from aada_operator.adapters.postgres_refusal import refusal
from aada_operator.adapters.referenced import lms_spec
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core.controller import Visit
from aada_operator.core.database import Names, RotationServer
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, SECRETS, Object
from aada_operator.rotations import decide
from aada_operator.rotations.manifests import (
    ANNOTATION_OF,
    LABEL_ROTATION,
    Revision,
    annotations,
    in_use_since,
    mark_of,
    values,
)

NOW = 0.0
KEYS = ("username", "password")


@dataclass
class Work:
    """``kept`` are the credentials before the rotation, ``fresh`` those that it brings; None when it made none yet."""

    kube: Kube
    allow_local: bool
    visit: Visit[SecretRotationSpec]
    lms: Object
    spec: AadaLmsSpec
    live: Object
    kept: Revision | None = None
    fresh: Revision | None = None
    delay: float = NOW
    _server: RotationServer | None = field(default=None)

    @property
    def status(self) -> dict[str, Any]:
        return self.visit.status

    @property
    def secret(self) -> str:
        """Name of the application's Secret."""
        return self.spec.database.app_secret(self.lms["metadata"]["name"])

    @property
    def lms_name(self) -> str:
        return str(self.lms["metadata"]["name"])

    @property
    def revision(self) -> int:
        """The revision that the application has."""
        return decide.revision_number(self.live_revision)

    @property
    def live_revision(self) -> str:
        """The same by name; empty for what was never rotated."""
        return annotations(self.live).get(self.mark, "")

    @property
    def mark(self) -> str:
        """The annotation with the revision, on the Secret and on pods."""
        return mark_of(self.visit.name)

    @property
    def since(self) -> datetime:
        """Since when it has it."""
        return in_use_since(self.live, self.visit.name)

    @property
    def login(self) -> str:
        """The role that the application's Secret names."""
        return values(self.live)["username"]

    @property
    def published(self) -> bool:
        """Whether the application's Secret has the new credentials; what else is in it is not ours."""
        return self.fresh is not None and all(self.live["data"][key] == self.fresh.body["data"][key] for key in KEYS)

    @property
    def names(self) -> Names:
        """The roles, as they were before the rotation."""
        return Names(self.spec.database.name, self.kept.username if self.kept else self.login)

    async def endpoint(self) -> Endpoint:
        """The server's address."""
        return await endpoint_of(self.kube, self.visit.namespace, self.spec.database, self.allow_local)

    async def answer(self, username: str, password: str) -> str | None:
        """The SQLSTATE with which the server refuses a login; empty when it lets it in, None for no answer."""
        return await refusal(await self.endpoint(), Login(username, password, ""), self.spec.database.name)

    @asynccontextmanager
    async def session_of(self, revision: Revision) -> AsyncIterator[Session]:
        """A session in the database with the credentials of a revision, as the application would open it."""
        async with postgres.session(await self.endpoint(), credentials_of(revision), self.spec.database.name) as opened:
            yield opened

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Session]:
        """A session of the server's admin."""
        async with admin_session(self.kube, self.visit.namespace, self.spec.database, self.allow_local) as opened:
            yield opened

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Session]:
        """A session of the admin in the database itself, while nobody else changes the roles of this LMS."""
        admin = await login_of(self.kube, self.visit.namespace, self.spec.database.admin_secret_ref.name)
        async with (
            self.admin() as outside,
            alone(outside, self.spec.database.name),
            postgres.session(await self.endpoint(), admin, self.spec.database.name) as inside,
        ):
            yield inside
        self._server = None

    async def server(self) -> RotationServer:
        """The server as it was at the first look of this visit, or since the last change."""
        if self._server is None:
            logins = {*self.names.logins, self.login, self.names.given}
            async with self.admin() as session:
                self._server = await postgres_rotation.look(session, self.names, logins)
        return self._server


def credentials_of(revision: Revision) -> Login:
    """User and password of a revision."""
    return Login(revision.username, revision.password, f"Secret {revision.name}")


async def observe(kube: Kube, allow_local: bool, visit: Visit[SecretRotationSpec]) -> Work:
    """Read what a visit starts from.

    Raises:
        Waiting: AadaLmsNotFound, AadaLmsInvalid, SecretMissing, SecretUnreadable.
    """
    name = visit.spec.lms_ref.name
    body = await kube.get(AADA_LMS, visit.namespace, name)
    spec = lms_spec(body, name)
    secret = spec.database.app_secret(name)
    live = await kube.get(SECRETS, visit.namespace, secret)
    if body is None or live is None:
        raise Waiting("SecretMissing", f"Secret {secret} with the application's login does not exist yet", 15.0)
    _demand_text(live, secret)
    found = await revisions(kube, visit)
    kept = max((r for r in found if not r.is_new), key=lambda r: r.number, default=None)
    fresh = max((r for r in found if r.is_new), key=lambda r: r.number, default=None)
    return Work(kube, allow_local, visit, body, spec, live, kept, fresh)


async def revisions(kube: Kube, visit: Visit[SecretRotationSpec]) -> list[Revision]:
    """The Secrets of revisions that this very SecretRotation made."""
    found = await kube.list(SECRETS, visit.namespace, {LABEL_ROTATION: visit.name})
    return [Revision(one) for one in found if annotations(one).get(ANNOTATION_OF) == visit.uid]


def _demand_text(live: Object, secret: str) -> None:
    try:
        missing = [key for key in KEYS if not values(live).get(key)]
    except ValueError:
        raise Waiting("SecretUnreadable", f"Secret {secret} holds something that is no text", 60.0) from None
    if missing:
        raise Waiting("SecretMissing", f"Secret {secret} has no key {', '.join(missing)}: add it", 60.0)
