"""PgBouncer: a login through it, and what its admin console tells."""

from aada_operator.adapters import postgres
from aada_operator.adapters.postgres import Endpoint, Login, one
from aada_operator.adapters.postgres_refusal import PASSWORD_REFUSED
from aada_operator.core.database import PoolerLimits
from aada_operator.core.errors import Waiting

# What PgBouncer answers to a wrong password or to a user that it does not know: versions differ, and 08P01 is also how
# it says other things. So a refusal counts only beside a login that is let in at the same moment.
REFUSALS = frozenset({PASSWORD_REFUSED, "08P01"})
_CONSOLE = "pgbouncer"


async def session_user(endpoint: Endpoint, login: Login, database: str) -> str:
    """Who a session through the pooler is at the server; raises as `postgres.session`."""
    async with postgres.session(endpoint, login, database, pooled=True) as session:
        return str((await one(session, "SELECT session_user AS login"))["login"])


async def limits(endpoint: Endpoint, admin: Login, database: str) -> PoolerLimits:
    """How many sessions it may open for a database, and how many clients it lets in, as its settings are now.

    Raises:
        Waiting: PoolerCommandRefused, or as `postgres.session`.
    """
    async with postgres.session(endpoint, admin, _CONSOLE, pooled=True) as console:
        rows = await (await console.execute("SHOW DATABASES")).fetchall()
        settings = await (await console.execute("SHOW CONFIG")).fetchall()
    found = next((row for row in rows if row["name"] == database), None)
    if found is None:
        message = f"{endpoint.field}: {endpoint.host}:{endpoint.port} does not know {database}: name it in [databases]"
        raise Waiting("PoolerCommandRefused", message, 15.0)
    told = {row["key"]: row["value"] for row in settings}
    # The column was called otherwise before 1.24.
    reserve = found.get("reserve_pool_size", found.get("reserve_pool"))
    return PoolerLimits(
        pool_size=int(found["pool_size"]),
        reserve=int(reserve or 0),
        most=int(found["max_connections"]),
        per_login=int(told.get("max_user_connections") or 0),
        clients=int(told["max_client_conn"]),
        forced=bool(found["force_user"]),
    )
