"""The look of one visit at what the database does, and what follows from it."""

from aada_operator.adapters import postgres_activity, prometheus
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_errors import TOO_MANY_CONNECTIONS
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.core.database import Activity
from aada_operator.core.errors import Waiting
from aada_operator.scaling import queries
from aada_operator.scaling.pressure import Pressure, judge
from aada_operator.scaling.world import ScalingVisit, World


async def look(kube: Kube, visit: ScalingVisit, world: World, allow_local: bool) -> Pressure:
    """Ask the server, and Prometheus about its CPU, unless there is nothing to be asked."""
    spec = visit.spec
    if spec.connection_budget == "Off":
        return Pressure(None, "Off", "connectionBudget is Off: the database is not asked")
    if spec.database_bound.action == "Off":
        return Pressure(None, "Off", "databaseBound.action is Off: nobody looks")
    if world.component.role != "api":
        return Pressure(None, "NoDatabase", f"component {world.component.name} has no database")
    try:
        found = judge(spec, await activity_of(kube, visit, world, allow_local), None)
        if found.bound is False and spec.database_bound.cpu_query:
            cpu = await _cpu(kube, visit, spec.database_bound.cpu_query, allow_local)
            return judge(spec, Activity(), cpu)
    except Waiting as waiting:
        # A server without a connection left for its admin has none for another pod.
        return Pressure(waiting.reason == TOO_MANY_CONNECTIONS or None, waiting.reason, waiting.message)
    return found


async def activity_of(kube: Kube, visit: ScalingVisit, world: World, allow_local: bool) -> Activity:
    """What the server's sessions do; raises Waiting, as `admin_session`."""
    async with admin_session(kube, visit.namespace, world.spec.database, allow_local) as session:
        return await postgres_activity.look(session)


async def _cpu(kube: Kube, visit: ScalingVisit, query: str, allow_local: bool) -> float:
    """The part of the server's CPU that is in use; raises Waiting, as the query and its Secrets."""
    server = visit.spec.prometheus
    assert server, "a spec with a query has a server"  # noqa: S101
    try:
        return await prometheus.ask(await queries.server_of(kube, visit.namespace, server, allow_local), query)
    except Waiting as waiting:
        raise Waiting(waiting.reason, f"databaseBound.cpuQuery: {waiting.message}") from None
