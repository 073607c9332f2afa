"""The database of an AadaLms: reached, described, and given roles and a Secret where there are none.

Whoever kills the operator in the middle finds the same end: the Secret is made before anything on the server, roles say
in a comment whose they are, and the password is set last. The next visit sees a Secret of ours whose login fails, and
does the rest.
"""

import logging
import secrets

from aada_operator.adapters import postgres, postgres_roles
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres import Endpoint, Login, Session
from aada_operator.adapters.postgres_errors import AUTHENTICATION_FAILED, DATABASE_MISSING
from aada_operator.adapters.postgres_locks import alone
from aada_operator.adapters.postgres_logins import endpoint_of, login_of
from aada_operator.core.database import Names, ServerFacts, role_mark
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import SECRETS
from aada_operator.lms import app_secret, decide
from aada_operator.lms.world import LmsVisit, World, described

logger = logging.getLogger(__name__)
REACHABLE = "DatabaseReachable"
# 43 URL-safe characters hold 256 bits: nothing in them needs to be quoted anywhere.
PASSWORD_BYTES = 32
# What the status has room for; several heads of a branched history are joined by commas.
REVISION_LENGTH = 128
# Steps below which a fluctuating figure is not written anew.
CONNECTIONS_STEP = 5
SIZE_STEP = 8 * 2**20


class DatabaseReconciler:
    """Sets DatabaseReachable and ``status.database``; leaves the schema's revision in the world."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local

    async def reconcile(self, visit: LmsVisit, world: World) -> None:
        """Reach the server as the admin and the database as the application.

        Raises:
            Waiting: with the reason that the condition has, too.
        """
        database = visit.spec.database
        try:
            await self._reach(visit, world)
        except OperatorError as error:
            visit.conditions.set(REACHABLE, False, error.reason, error.message)
            raise
        message = f"the admin and the application can log in to {database.name} on {database.host}:{database.port}"
        visit.conditions.set(REACHABLE, True, "Connected", message)

    async def _reach(self, visit: LmsVisit, world: World) -> None:
        database = visit.spec.database
        endpoint = await endpoint_of(self._kube, visit.namespace, database, self._allow_local)
        admin = await login_of(self._kube, visit.namespace, database.admin_secret_ref.name)
        async with postgres.session(endpoint, admin, postgres.MAINTENANCE) as session:
            world.facts = await postgres.facts(session, database.name)
        visit.status["database"] = database_status(visit.status.get("database") or {}, world.facts)
        secret = visit.spec.database.app_secret(visit.name)
        if await world.secrets.get(secret) is None:
            await self._provision(visit, world, endpoint, admin)
        try:
            await self._read_revision(visit, world, endpoint)
        except Waiting as waiting:
            made_here = app_secret.made_for(await world.secrets.get(secret), visit.uid)
            ours = made_here and not decide.is_being_rotated(world.claims)
            if visit.spec.suspend or not ours or waiting.reason not in (AUTHENTICATION_FAILED, DATABASE_MISSING):
                raise
            await self._provision(visit, world, endpoint, admin)
            await self._read_revision(visit, world, endpoint)

    async def _read_revision(self, visit: LmsVisit, world: World, endpoint: Endpoint) -> None:
        database, secret = visit.spec.database, visit.spec.database.app_secret(visit.name)
        login = await login_of(self._kube, visit.namespace, secret, *database.env.values())
        async with postgres.session(endpoint, login, database.name) as session:
            revision = await postgres.revision(session, visit.spec.schema_.revision_table)
        world.revision = revision[:REVISION_LENGTH] if revision else None
        world.connected = True

    async def _provision(self, visit: LmsVisit, world: World, endpoint: Endpoint, admin: Login) -> None:
        """Make what is missing of roles, database and Secret; each step can be repeated."""
        secret = visit.spec.database.app_secret(visit.name)
        names = Names(visit.spec.database.name, app_secret.login(await world.secrets.get(secret)))
        if visit.spec.suspend:
            raise Waiting("SecretMissing", f"Secret {secret} is missing and not made while spec.suspend is true")
        async with (
            postgres.session(endpoint, admin, postgres.MAINTENANCE) as session,
            alone(session, names.database),
        ):
            found = await postgres_roles.inventory(session, names)
            actions = decide.provisioning(found, names, visit.uid, secret)
            if "take-database" in actions:
                await self._refuse_full(endpoint, admin, names, secret)
            password = await self._ensure_secret(visit, world, names)
            failpoint("lms.provision.after-secret")
            for action in actions:
                await _act(action, session, names, visit.uid)
                failpoint(f"lms.provision.after-{action}")
            await postgres_roles.set_password(session, names, password, role_mark(visit.uid))
        logger.info(
            "the application can log in", extra={"object": described(visit), "role": names.login, "made": actions}
        )

    async def _refuse_full(self, endpoint: Endpoint, admin: Login, names: Names, secret: str) -> None:
        async with postgres.session(endpoint, admin, names.database) as inside:
            if not await postgres_roles.is_empty(inside):
                raise decide.full_database(names, secret)

    async def _ensure_secret(self, visit: LmsVisit, world: World, names: Names) -> str:
        """The password in the application's Secret, which is made when it is missing."""
        name = visit.spec.database.app_secret(visit.name)
        if await world.secrets.get(name) is None:
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            made = await self._kube.create(SECRETS, app_secret.manifest(visit.body, visit.spec, names, password))
            world.secrets.forget(name)
            if made is None:
                raise Waiting("SecretChanged", f"Secret {name} was made by somebody else a moment ago", 1.0)
            return password
        login = await login_of(self._kube, visit.namespace, name)
        if login.username != names.login:
            message = f"Secret {name} names user {login.username}, not {names.login}: correct it, or delete the Secret"
            raise Waiting(AUTHENTICATION_FAILED, message)
        return login.password


async def _act(action: decide.Action, session: Session, names: Names, uid: str) -> None:
    match action:
        case "create-roles":
            await postgres_roles.create_roles(session, names, role_mark(uid), decide.pending_mark(uid))
        case "create-database":
            await postgres_roles.create_database(session, names)
        case "take-database":
            await postgres_roles.take_database(session, names)


def database_status(before: dict[str, object], facts: ServerFacts) -> dict[str, object]:
    """``status.database``; what fluctuates is left as it was until it moved notably."""
    connections = decide.quantised(int(str(before.get("connections", 0))), facts.connections, CONNECTIONS_STEP)
    size = decide.quantised(int(str(before.get("sizeBytes", 0))), facts.size_bytes, SIZE_STEP)
    return {
        "version": facts.version,
        "connections": connections,
        "maxConnections": facts.max_connections,
        "reservedConnections": facts.reserved,
        "sizeBytes": size,
    }
