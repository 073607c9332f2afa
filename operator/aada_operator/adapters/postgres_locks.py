"""One operator at a time changes what belongs to an LMS on its server, also when another is still alive unnoticed.

The Lease with the claims keeps operations apart, and does not fence: an operator that was thought dead may wake up in
the middle of a step. PostgreSQL knows better, because its lock ends with the session that holds it.
"""

import hashlib

from aada_operator.adapters.postgres import Session, one
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS


async def demand_alone(connection: Session, database: str) -> None:
    """Hold the advisory lock of an LMS' database until the session ends.

    Both have to be in the same database: an advisory lock is known in that alone.

    Raises:
        Waiting: OperationInProgress, another session holds it.
    """
    digest = hashlib.sha256(f"aada-operator {database}".encode()).digest()
    key = int.from_bytes(digest[:8], signed=True)
    row = await one(connection, "SELECT pg_try_advisory_lock(%s) AS got", [key])
    if not row["got"]:
        raise Waiting(OPERATION_IN_PROGRESS, f"another session of the operator changes {database} right now", 5.0)
