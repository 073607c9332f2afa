"""What the database does, as one visit saw it, and what follows from it."""

from aada_operator.adapters import prometheus
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_errors import TOO_MANY_CONNECTIONS
from aada_operator.core.database import Activity
from aada_operator.core.errors import Waiting
from aada_operator.scaling import queries
from aada_operator.scaling.pressure import Pressure, judge
from aada_operator.scaling.server import Answers
from aada_operator.scaling.world import ScalingVisit, World


def unasked(visit: ScalingVisit, world: World) -> Pressure | None:
    """Why the server need not be asked; None when it must be."""
    if visit.spec.connection_budget == "Off":
        return Pressure(None, "Off", "connectionBudget is Off: the database is not asked")
    if visit.spec.database_bound.action == "Off":
        return Pressure(None, "Off", "databaseBound.action is Off: nobody looks")
    if world.component.role != "api":
        return Pressure(None, "NoDatabase", f"component {world.component.name} has no database")
    return None


async def look(kube: Kube, visit: ScalingVisit, world: World, said: Answers, allow_local: bool) -> Pressure:
    """Judge what sessions do, and what Prometheus says of the server's CPU, where that is asked for."""
    if known := unasked(visit, world):
        return known
    if said.refused:
        return _unknown(said.refused)
    assert said.activity, "asked for unless there is a reason not to"  # noqa: S101
    spec = visit.spec
    found = judge(spec, said.activity, None)
    if found.bound is not False or not spec.database_bound.cpu_query:
        return found
    try:
        return judge(spec, Activity(), await _cpu(kube, visit, spec.database_bound.cpu_query, allow_local))
    except Waiting as waiting:
        return _unknown(waiting)


def _unknown(waiting: Waiting) -> Pressure:
    # A server without a connection left for its admin has none for another pod.
    return Pressure(waiting.reason == TOO_MANY_CONNECTIONS or None, waiting.reason, waiting.message)


async def _cpu(kube: Kube, visit: ScalingVisit, query: str, allow_local: bool) -> float:
    """The part of the server's CPU that is in use; raises Waiting, as the query and its Secrets."""
    server = visit.spec.prometheus
    assert server, "a spec with a query has a server"  # noqa: S101
    try:
        return await prometheus.ask(await queries.server_of(kube, visit.namespace, server, allow_local), query)
    except Waiting as waiting:
        raise Waiting(waiting.reason, f"databaseBound.cpuQuery: {waiting.message}") from None
