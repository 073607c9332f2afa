"""One operator at a time changes what belongs to an LMS on its server, also when another is still alive unnoticed.

The Lease with the claims keeps operations apart, and does not fence: an operator that was thought dead may wake up in
the middle of a step. PostgreSQL knows better, because its lock ends with the session that holds it. So the session that
changes something holds it: another one might lose it unnoticed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aada_operator.adapters.postgres import Session, one
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS

# The key of an advisory lock is shown as two halves; the address says which operator it is.
_HOLDER = """
SELECT a.pid, coalesce(host(a.client_addr), 'a socket') AS address, a.backend_start AS since
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
"""


@asynccontextmanager
async def alone(connection: Session, database: str) -> AsyncIterator[None]:
    """Nobody else changes roles or names of an LMS' database meanwhile; ends with the session at the latest.

    Both sessions have to be in the same database: an advisory lock is known in that alone.

    Raises:
        Waiting: OperationInProgress, somebody else is at it.
    """
    key = f"lms.aada.edu/{database}"
    row = await one(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS got", [key])
    if not row["got"]:
        raise Waiting(OPERATION_IN_PROGRESS, f"{await _holder(connection, key)} changes {database} right now", 5.0)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


async def _holder(connection: Session, key: str) -> str:
    """Who has the lock, as far as an admin without further rights sees it."""
    found = await (await connection.execute(_HOLDER.encode(), [key])).fetchone()
    who = "another session of the operator"
    if not found:
        return who
    since = f", from {found['address']}, since {to_rfc3339(found['since'])}" if found["since"] else ""
    return f"{who} (process {found['pid']} of the server{since})"
