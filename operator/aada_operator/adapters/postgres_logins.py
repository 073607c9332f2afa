"""Sessions on the server of an AadaLms, with the credentials that its Secrets hold now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aada_operator.adapters import pgbouncer, postgres
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres import Endpoint, Login, Session
from aada_operator.api.lms import Database, Pooler
from aada_operator.core.database import PoolerLimits


async def endpoint_of(kube: Kube, namespace: str, database: Database, allow_local: bool) -> Endpoint:
    """The server, with the CA that it is verified with; raises Waiting, SecretMissing."""
    ca = database.ca_secret_ref
    text = (await read_keys(kube, namespace, ca.name, [ca.key]))[ca.key].decode(errors="replace") if ca else None
    return Endpoint(database.host, database.port, database.ssl_mode, text, allow_local, namespace)


async def pooler_endpoint_of(
    kube: Kube, namespace: str, database: Database, pooler: Pooler, allow_local: bool
) -> Endpoint:
    """The pooler before the server; raises as `endpoint_of`."""
    server = await endpoint_of(kube, namespace, database, allow_local)
    return replace(server, host=pooler.host, port=pooler.port, field="database.pooler")


async def pooler_limits(kube: Kube, namespace: str, database: Database, allow_local: bool) -> PoolerLimits | None:
    """What bounds the pooler that the application connects through; None without one.

    Raises:
        Waiting: SecretMissing, or as `pgbouncer.limits`.
    """
    pooler = database.pooler
    if pooler is None:
        return None
    admin = await login_of(kube, namespace, pooler.admin_secret_ref.name)
    endpoint = await pooler_endpoint_of(kube, namespace, database, pooler, allow_local)
    return await pgbouncer.limits(endpoint, admin, database.name)


async def login_of(kube: Kube, namespace: str, secret: str, *further: str) -> Login:
    """User and password of a Secret, which must have the ``further`` keys, too; raises Waiting, SecretMissing."""
    found = await read_keys(kube, namespace, secret, ("username", "password", *further))
    username, password = (found[key].decode(errors="replace") for key in ("username", "password"))
    return Login(username, password, f"Secret {secret}")


async def admin_access(kube: Kube, namespace: str, database: Database, allow_local: bool) -> tuple[Endpoint, Login]:
    """The server and its admin; raises Waiting, SecretMissing."""
    return await asyncio.gather(
        endpoint_of(kube, namespace, database, allow_local),
        login_of(kube, namespace, database.admin_secret_ref.name),
    )


@asynccontextmanager
async def admin_session(kube: Kube, namespace: str, database: Database, allow_local: bool) -> AsyncIterator[Session]:
    """A session of the server's admin, in the database that every server has.

    Raises:
        Waiting: SecretMissing, or the reasons of `postgres.session`.
    """
    endpoint, admin = await admin_access(kube, namespace, database, allow_local)
    async with postgres.session(endpoint, admin, postgres.MAINTENANCE) as opened:
        yield opened


@asynccontextmanager
async def application_session(
    kube: Kube, namespace: str, lms: str, database: Database, allow_local: bool, name: str
) -> AsyncIterator[Session]:
    """A session of the application of an AadaLms, in the database ``name``; raises as `admin_session`."""
    application = await login_of(kube, namespace, database.app_secret(lms))
    endpoint = await endpoint_of(kube, namespace, database, allow_local)
    async with postgres.session(endpoint, application, name) as opened:
        yield opened
