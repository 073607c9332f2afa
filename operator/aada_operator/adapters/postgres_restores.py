"""The server that a restore goes to, seen before anything on it is touched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aada_operator.adapters import postgres
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres import Endpoint, Login, Session
from aada_operator.api.lms import Database
from aada_operator.core.database import RestoreTarget


@asynccontextmanager
async def admin_session(kube: Kube, namespace: str, database: Database, allow_local: bool) -> AsyncIterator[Session]:
    """A session of the server's admin, in the database that every server has.

    Raises:
        Waiting: SecretMissing, or the reasons of `postgres.session`.
    """
    secret = database.admin_secret_ref.name
    async with _session(kube, namespace, database, allow_local, secret, postgres.MAINTENANCE) as opened:
        yield opened


@asynccontextmanager
async def application_session(
    kube: Kube, namespace: str, lms: str, database: Database, allow_local: bool, name: str
) -> AsyncIterator[Session]:
    """A session of the application of an AadaLms, in the database ``name``; raises as `admin_session`."""
    async with _session(kube, namespace, database, allow_local, database.app_secret(lms), name) as opened:
        yield opened


@asynccontextmanager
async def _session(
    kube: Kube, namespace: str, database: Database, allow_local: bool, secret: str, name: str
) -> AsyncIterator[Session]:
    found = await read_keys(kube, namespace, secret, ("username", "password"))
    username, password = (found[key].decode(errors="replace") for key in ("username", "password"))
    ca = database.ca_secret_ref
    authority = (await read_keys(kube, namespace, ca.name, [ca.key]))[ca.key].decode(errors="replace") if ca else None
    endpoint = Endpoint(database.host, database.port, database.ssl_mode, authority, allow_local, namespace)
    async with postgres.session(endpoint, Login(username, password, f"Secret {secret}"), name) as opened:
        yield opened


async def restore_target(connection: Session, database: str) -> RestoreTarget:
    """The server, the rights of the session's role on it, and what already has the name ``database``."""
    row = await postgres.one(
        connection,
        """
        SELECT current_user AS username,
               current_setting('server_version_num')::int / 10000 AS major,
               (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user) AS may_create,
               (SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
                 WHERE datname = %s) AS comment
        """,
        [database],
    )
    return RestoreTarget(**row)
