"""What PostgreSQL and its programs say, as the reasons of `api.task`. Rows of the database never reach a message."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aada_operator.adapters import postgres_errors
from aada_operator.adapters.postgres_errors import Place, connect_failure
from aada_operator.api.task import (
    DATABASE_AUTHENTICATION_FAILED,
    DATABASE_MISSING,
    DATABASE_UNREACHABLE,
    INSUFFICIENT_PRIVILEGE,
    LOCK_TIMEOUT,
    NO_SPACE,
    RESTORE_FAILED,
    VERSION_UNSUPPORTED,
)
from aada_operator.core.errors import OperatorError, Stalled, Waiting

_CONNECT_REASONS = {
    postgres_errors.AUTHENTICATION_FAILED: DATABASE_AUTHENTICATION_FAILED,
    postgres_errors.ACCESS_REFUSED: DATABASE_AUTHENTICATION_FAILED,
    postgres_errors.DATABASE_MISSING: DATABASE_MISSING,
}
_LOST_STATES = {"57P01", "57P02", "57P03", "57P05", "53300"}
_PRIVILEGE_HELP = "give the role in the database's Secret that right"

# What programs print, by pattern: the first that is found decides.
_ERROR_LINE = re.compile(r"\b(error|ERROR|FATAL|PANIC|Error message from server):")
_ERROR = re.compile(r"(?:error|ERROR|FATAL|PANIC): +")
_LOST = re.compile(
    r"terminating connection|server closed the connection|connection to server was lost|no connection to the server"
    r"|SSL SYSCALL|SSL error"
    r"|could not (receive|send) data|connection to server .* failed|could not connect|the database system is"
    r"|Connection reset|Broken pipe|could not translate host"
)
_PRIVILEGE = re.compile(r"permission denied|must be (owner|superuser|able|member)|row-level security")
_NO_ROOM = re.compile(r"No space left on device|could not extend file|disk full")
_LOCKED = re.compile(r"lock timeout|could not obtain lock")
_TOO_NEW = re.compile(r"server version mismatch|unsupported version .* in file header")
_ABSENT_EXTENSION = re.compile(r'extension "[^"]*" is not available|could not open extension control file')


def connection_failure(text: str, place: Place) -> Waiting:
    """One of ours for a session that was not made; ``text`` is looked at and never passed on."""
    if re.search(r"resolve host|translate host", text):
        return Waiting(DATABASE_UNREACHABLE, f"the name {place.host} has no address: correct database.host")
    failure = connect_failure(text, place)
    return Waiting(_CONNECT_REASONS.get(failure.reason, DATABASE_UNREACHABLE), failure.message)


@contextmanager
def statement_failures(place: Place, otherwise: str) -> Iterator[None]:
    """Turn errors of psycopg inside into ours; ``otherwise`` is the reason of what has no reason of its own."""
    try:
        yield
    except psycopg.Error as error:
        raise _statement_failure(error, place, otherwise) from None


def _statement_failure(error: psycopg.Error, place: Place, otherwise: str) -> OperatorError:
    state = error.sqlstate
    if state is None or state in _LOST_STATES or state.startswith("08"):
        return Waiting(DATABASE_UNREACHABLE, f"the connection to {place.host}:{place.port} broke: tried again")
    if state == "42501":
        # Messages of this class name objects and never hold rows.
        return Stalled(INSUFFICIENT_PRIVILEGE, f"{error.diag.message_primary}: {_PRIVILEGE_HELP}")
    if state == "55P03":
        return Waiting(LOCK_TIMEOUT, f"a lock in database {place.database} was not free in time: tried again")
    if state.startswith("53"):
        return Waiting(NO_SPACE, f"{place.host} has no room left (SQLSTATE {state}): free disk or memory there")
    # The values themselves are refused (data exception, integrity constraint violation), as they would be again.
    kind = Stalled if state.startswith(("22", "23")) else Waiting
    return kind(otherwise, f"{place.host}:{place.port} refused a statement with SQLSTATE {state}: its log says why")


def program_failure(program: str, text: str, place: Place, otherwise: str) -> OperatorError:
    """One of ours for a program that failed and printed ``text``; ``otherwise`` as above."""
    text = "\n".join(line for line in text.splitlines() if _ERROR_LINE.search(line))
    if _LOST.search(text):
        return connection_failure(text, place)
    if _PRIVILEGE.search(text):
        return Stalled(INSUFFICIENT_PRIVILEGE, f"{program}: {_first_error(text)}: {_PRIVILEGE_HELP}")
    if _NO_ROOM.search(text):
        return Waiting(NO_SPACE, f"{program}: no space left: make the scratch space or the server's disk larger")
    if _LOCKED.search(text):
        return Waiting(LOCK_TIMEOUT, f"{program}: a lock in {place.database} was not free in time: tried again")
    if _TOO_NEW.search(text) or _ABSENT_EXTENSION.search(text):
        return Stalled(VERSION_UNSUPPORTED, f"{program}: {_first_error(text)}: use an image made for this server")
    kind = Stalled if otherwise == RESTORE_FAILED else Waiting
    return kind(otherwise, f"{program}: {_first_error(text)}")


def _first_error(text: str) -> str:
    """The first line that tells an error, without what it quotes at its end: that may be a value from a row."""
    line = next((line for line in text.splitlines() if _ERROR.search(line)), "failed without a message")
    line = _ERROR.split(line)[-1]
    return re.sub(r': ".*$', "", line)[:300]
