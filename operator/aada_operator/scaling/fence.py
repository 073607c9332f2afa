"""The CONNECTION LIMIT of the application's roles: however many pods there are, others keep their connections.

Roles that the operator made have the limit of the policy while there is one; roles that were given are left alone, and
their limits count in the budget. The finalizer stands as long as a limit may: it is lifted before the policy
goes.
"""

from aada_operator.adapters import postgres_limits
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_locks import alone
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.api.lms import Database
from aada_operator.core.controller import FINALIZER, is_held
from aada_operator.core.database import UNLIMITED, ConnectionLimits
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import SCALING_POLICIES, leaves
from aada_operator.scaling.budget import to_be_limited
from aada_operator.scaling.world import ScalingVisit


async def set_limit(
    kube: Kube, visit: ScalingVisit, database: Database, seen: ConnectionLimits, wanted: int, *, allow_local: bool
) -> None:
    """Give the roles the limit that is wanted, -1 for none; roles that have it cost nothing.

    Raises:
        Waiting: OperationInProgress, another session changes these roles; or the reasons of `postgres.session`.
    """
    if wanted != UNLIMITED and not is_held(visit.body):
        await kube.set_finalizer(SCALING_POLICIES, visit.body, FINALIZER, present=True)
    failpoint("scaling.fence.before-limit")
    if roles := to_be_limited(seen.roles, wanted):
        async with (
            admin_session(kube, visit.namespace, database, allow_local) as session,
            alone(session, database.name),
        ):
            await postgres_limits.limit(session, roles, wanted)
    failpoint("scaling.fence.after-limit")
    if wanted == UNLIMITED and is_held(visit.body) and not leaves(visit.body):
        await kube.set_finalizer(SCALING_POLICIES, visit.body, FINALIZER, present=False)
