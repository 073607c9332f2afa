"""PostgreSQL as the operator uses it: short sessions that look, and the few statements that make roles and a database.

Every session is bounded in time, statement by statement and as a whole, also against a server that froze: an operator
that hangs with one database would leave all others alone. Long work is done by Jobs, never here.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row

from aada_operator.adapters.postgres_errors import (
    ADDRESS_REFUSED,
    HOST_UNKNOWN,
    TLS_FAILED,
    Place,
    connect_failure,
    statement_failure,
)
from aada_operator.core.database import ServerFacts
from aada_operator.core.errors import Waiting
from aada_operator.core.names import qualified

CONNECT_SECONDS = 5
APPLICATION = "aada-operator"
# In pg_stat_activity: sessions that somebody logged in to (usesysid is shown to everybody), without the operator's own.
OF_OTHERS = f"datid IS NOT NULL AND usesysid IS NOT NULL AND application_name IS DISTINCT FROM '{APPLICATION}'"
STATEMENT_SECONDS = 30
SESSION_SECONDS = 60
MOST_ADDRESSES = 3
# The database that every server has: for looking around, and for making others.
MAINTENANCE = "postgres"

Session = AsyncConnection[DictRow]


@dataclass(frozen=True)
class Endpoint:
    """A server and how far TLS with it is verified; ``ca`` is PEM text, None for the system's.

    ``namespace`` is where a short ``host`` is a Service; TLS is verified against ``host`` as it was given, or against
    the name that it is ``known_as``. ``field`` is the part of the spec that names it, for messages.
    """

    host: str
    port: int
    ssl_mode: str
    ca: str | None = None
    allow_local: bool = False
    namespace: str = ""
    field: str = "database"
    known_as: str = ""


@dataclass(frozen=True)
class Login:
    """A user with its password; ``source`` says where they were read, as ``Secret db-admin``."""

    username: str
    password: str = field(repr=False)
    source: str


@asynccontextmanager
async def session(endpoint: Endpoint, login: Login, database: str, *, pooled: bool = False) -> AsyncIterator[Session]:
    """An autocommit session, closed at the end.

    ``pooled``: behind a pooler, which would hand a setting of this session on to somebody else.

    Raises:
        Waiting: the server cannot be reached, refuses the login or a statement; the reasons are in postgres_errors.
    """
    place = Place(endpoint.host, endpoint.port, database, login.source, endpoint.field)
    connection = await _connected(endpoint, login, place)
    try:
        with _limited(connection):
            if not pooled:
                await connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            yield connection
    except psycopg.Error as error:
        raise statement_failure(error, place) from None
    finally:
        await connection.close()


async def _connected(endpoint: Endpoint, login: Login, place: Place) -> Session:
    addresses = await addresses_of(endpoint)
    with root_certificate(endpoint) as root:
        try:
            return await AsyncConnection.connect(
                host=",".join([endpoint.known_as or endpoint.host] * len(addresses)),
                hostaddr=",".join(addresses),
                port=endpoint.port,
                dbname=place.database,
                user=login.username,
                password=login.password,
                sslmode=endpoint.ssl_mode,
                sslrootcert=root,
                gssencmode="disable",
                connect_timeout=CONNECT_SECONDS,
                application_name=APPLICATION,
                autocommit=True,
                row_factory=dict_row,
            )
        except (psycopg.Error, UnicodeError) as error:
            raise connect_failure(str(error), place) from None


async def addresses_of(endpoint: Endpoint) -> list[str]:
    """Where the host is; the very addresses that were checked are connected to.

    Raises:
        Waiting: HostUnknown; AddressRefused, a loopback or link-local address.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            found = await loop.getaddrinfo(
                qualified(endpoint.host, endpoint.namespace), endpoint.port, type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError):
        raise Waiting(HOST_UNKNOWN, f"the name {endpoint.host} has no address: correct {endpoint.field}.host") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MOST_ADDRESSES]
    if not endpoint.allow_local and any(_is_local(address) for address in addresses):
        message = f"{endpoint.field}.host {endpoint.host} is a loopback or link-local address, which is not followed"
        raise Waiting(ADDRESS_REFUSED, message)
    return addresses


def _is_local(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)


@contextmanager
def root_certificate(endpoint: Endpoint) -> Iterator[str | None]:
    """Path of the CA certificates to verify with; libpq wants a file, and its binary build knows no system's."""
    if endpoint.ssl_mode not in ("verify-ca", "verify-full"):
        yield None
    elif endpoint.ca is None:
        system = ssl.get_default_verify_paths().cafile
        if system is None:
            raise Waiting(TLS_FAILED, "this image has no CA certificates of its own: set database.caSecretRef")
        yield system
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".crt") as file:
            file.write(endpoint.ca)
            file.flush()
            yield file.name


@contextmanager
def _limited(connection: Session) -> Iterator[None]:
    """Cut the line after SESSION_SECONDS: a frozen server answers neither a statement nor its cancellation."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = asyncio.get_running_loop().call_later(SESSION_SECONDS, _hang_up, line)
        try:
            yield
        finally:
            timer.cancel()


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


async def facts(connection: Session, database: str) -> ServerFacts:
    """What the server says of itself; the size is 0 for a database that is missing or may not be entered."""
    row = await one(
        connection,
        f"""
        SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
               current_setting('max_connections')::int AS max_connections,
               current_setting('superuser_reserved_connections')::int
                 + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved,
               (SELECT count(*) FROM pg_stat_activity WHERE {OF_OTHERS}) AS connections,
               coalesce((SELECT pg_database_size(oid) FROM pg_database
                 WHERE datname = %s AND has_database_privilege(oid, 'CONNECT')), 0) AS size_bytes
        """,  # noqa: S608 - nothing but constants
        [database],
    )
    return ServerFacts(**row)


async def revision(connection: Session, table: str) -> str | None:
    """The schema's revision in ``public.<table>``, several heads joined by commas; None when there is none."""
    name = sql.Identifier("public", table)
    found = await one(connection, "SELECT to_regclass(%s) IS NOT NULL AS there", [name.as_string(connection)])
    if not found["there"]:
        return None
    cursor = await connection.execute(sql.SQL("SELECT version_num FROM {} ORDER BY 1").format(name))
    return ",".join([row["version_num"] for row in await cursor.fetchall()]) or None


async def one(connection: Session, query: str, parameters: Any = ()) -> DictRow:
    """The row of a query that always gives one."""
    cursor = await connection.execute(query.encode(), parameters)
    row = await cursor.fetchone()
    assert row is not None, "these queries always give one row"  # noqa: S101
    return row
