"""One statement of the user's that revokes tokens, run in a session of the application: with its rights and no more."""

import psycopg

from aada_operator.adapters.postgres import Session
from aada_operator.core.errors import Stalled

LOCK_TIMEOUT = "3s"
# Classes of SQLSTATE that say something of the statement itself: feature, data, constraint, syntax, rule.
_ITS_OWN_FAULT = ("0A", "21", "22", "23", "42", "P0")


async def demand(session: Session, statement: str) -> None:
    """Make sure that the server could run it now: tables, columns and rights are there. Nothing is changed.

    Raises:
        Stalled: RevocationRefused.
    """
    async with session.transaction(force_rollback=True):
        await session.execute("SET TRANSACTION READ ONLY")
        await _run(session, f"EXPLAIN {statement}")


async def revoke(session: Session, statement: str) -> int:
    """Run it; all or nothing. Returns the number of rows that it changed; raises as `demand`."""
    async with session.transaction():
        return await _run(session, statement)


async def _run(session: Session, statement: str) -> int:
    await session.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
    try:
        # A prepared statement is a single one: the server refuses a second one behind a semicolon.
        cursor = await session.execute(statement.encode(), prepare=True)
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if not state.startswith(_ITS_OWN_FAULT):
            raise
        message = f"jwt.revokeSql: the server refuses it with SQLSTATE {state}: it must be one UPDATE, DELETE or SELECT"
        raise Stalled("RevocationRefused", f"{message} that the application may run") from None
    return max(0, cursor.rowcount)
