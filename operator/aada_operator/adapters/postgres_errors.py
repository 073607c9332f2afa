"""What PostgreSQL and libpq say, in our own words: which field is wrong and what to do, never their text.

libpq gives no SQLSTATE for a connection that was never made (its text is all there is), so failures to connect are
told apart by the English text of client and server. A server that speaks another language ends in ConnectionFailed,
which is retried like the others.
"""

import re
from dataclasses import dataclass

import psycopg

from aada_operator.core.errors import Waiting

HOST_UNKNOWN = "HostUnknown"
ADDRESS_REFUSED = "AddressRefused"
CONNECTION_REFUSED = "ConnectionRefused"
CONNECTION_TIMED_OUT = "ConnectionTimedOut"
CONNECTION_LOST = "ConnectionLost"
CONNECTION_FAILED = "ConnectionFailed"
AUTHENTICATION_FAILED = "AuthenticationFailed"
ACCESS_REFUSED = "AccessRefused"
DATABASE_MISSING = "DatabaseMissing"
TOO_MANY_CONNECTIONS = "TooManyConnections"
SERVER_STARTING = "ServerStarting"
TLS_FAILED = "TlsFailed"
INSUFFICIENT_PRIVILEGE = "InsufficientPrivilege"
LOCK_TIMEOUT = "LockTimeout"
STATEMENT_TIMED_OUT = "StatementTimedOut"
READ_ONLY_SERVER = "ReadOnlyServer"
DATABASE_ERROR = "DatabaseError"


@dataclass(frozen=True)
class Place:
    """Where a session leads, for messages.

    ``source`` is where the login was read, as ``Secret db-admin``; ``field`` the part of the spec that names the place.
    """

    host: str
    port: int
    database: str
    source: str
    field: str = "database"


# The first pattern that is found decides: what names a cause stands before what names only the layer.
_CONNECT: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|SASL authentication failed|authentication failed for user"
        r"|no such user|role .* does not exist|not permitted to log in"
        r"|no password supplied|empty password",
        AUTHENTICATION_FAILED,
        "{host}:{port} refuses the username and password in {source}: correct that Secret",
    ),
    (
        r"pg_hba\.conf",
        ACCESS_REFUSED,
        "pg_hba.conf of {host} lets this user, address or kind of connection not into database {database}: "
        "add an entry there, or set database.sslMode as it demands",
    ),
    (
        r"database .* does not exist|database .* is not currently accepting",
        DATABASE_MISSING,
        "database {database} does not exist on {host}:{port}: correct database.name, or create it",
    ),
    (
        r"too many clients|remaining connection slots|too many connections",
        TOO_MANY_CONNECTIONS,
        "{host}:{port} has no connection left: lower the components' pools, or raise max_connections and restart it",
    ),
    (
        r"the database system is",
        SERVER_STARTING,
        "{host}:{port} is starting, stopping or recovering: nothing to do if that ends soon",
    ),
    (
        r"server does not support SSL",
        TLS_FAILED,
        "{host}:{port} offers no TLS: turn it on there, or set database.sslMode to disable",
    ),
    (
        r"does not match host name",
        TLS_FAILED,
        "the certificate of {host}:{port} is not for this name: use the name that is in it as {field}.host",
    ),
    (
        r"certificate verify failed|self.signed|unable to get (local )?issuer",
        TLS_FAILED,
        "the certificate of {host}:{port} is not signed by the CA: correct database.caSecretRef",
    ),
    (
        r"root certificate|could not (load|read) .*certificate|no start line|PEM",
        TLS_FAILED,
        "the CA certificate cannot be read: database.caSecretRef must name a key with PEM text",
    ),
    (
        r"\bSSL\b|\bTLS\b|certificate",
        TLS_FAILED,
        "TLS with {host}:{port} failed: check database.sslMode and what the server offers",
    ),
    (
        r"Connection refused",
        CONNECTION_REFUSED,
        "nothing listens at {host}:{port}: check {field}.host and {field}.port, and whether the server runs",
    ),
    (
        r"timeout expired|timed out|No route to host|Network is unreachable|Host is unreachable",
        CONNECTION_TIMED_OUT,
        "{host}:{port} does not answer: check {field}.host, the network and NetworkPolicies",
    ),
    (
        r"server closed the connection|Connection reset|Broken pipe",
        CONNECTION_LOST,
        "{host}:{port} ended the connection while it was made: check that it is PostgreSQL, and its log",
    ),
)

_LOST = "the connection to {host}:{port} broke in the middle of a statement"
_STATEMENT: dict[str, tuple[str, str]] = {
    "42501": (
        INSUFFICIENT_PRIVILEGE,
        "the role in {source} lacks a right on {host} (database {database}): the admin needs CREATEROLE and CREATEDB, "
        "the application's role needs to read the revision table",
    ),
    "55P03": (LOCK_TIMEOUT, "a lock in database {database} was not free in time; tried again"),
    "57014": (STATEMENT_TIMED_OUT, "{host}:{port} took too long for a statement; tried again"),
    "25006": (READ_ONLY_SERVER, "{host}:{port} is read-only, a standby perhaps: name the primary as database.host"),
    "53300": (TOO_MANY_CONNECTIONS, "{host}:{port} has no connection left"),
    "53100": (DATABASE_ERROR, "the disk of {host} is full"),
}


def connect_failure(text: str, place: Place) -> Waiting:
    """One of ours for a connection that was not made; ``text`` is looked at and never passed on."""
    for pattern, reason, message in _CONNECT:
        if re.search(pattern, text, re.IGNORECASE):
            return _waiting(reason, message, place)
    return _waiting(CONNECTION_FAILED, "no connection to {host}:{port}: its log says why", place)


def statement_failure(error: psycopg.Error, place: Place) -> Waiting:
    """One of ours for a statement that failed in an open session."""
    state = error.sqlstate
    if state is None or state[:2] == "08" or state in ("57P01", "57P02", "57P03"):
        return _waiting(CONNECTION_LOST, _LOST, place)
    unknown = (DATABASE_ERROR, f"{{host}}:{{port}} refused a statement with SQLSTATE {state}: its log says why")
    return _waiting(*_STATEMENT.get(state, unknown), place)


def _waiting(reason: str, message: str, place: Place) -> Waiting:
    return Waiting(reason, message.format_map(vars(place)))
