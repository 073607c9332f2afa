"""One operator at a time changes what belongs to an LMS on its server, also when another is still alive unnoticed.

The Lease with the claims keeps operations apart, and does not fence: an operator that was thought dead may wake up in
the middle of a step. PostgreSQL knows better, because its lock ends with the session that holds it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aada_operator.adapters.postgres import Session, one
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS


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
        raise Waiting(OPERATION_IN_PROGRESS, f"another session of the operator changes {database} right now", 5.0)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])
