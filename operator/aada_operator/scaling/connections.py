"""The connections of one visit: what server and pooler say, and how many pods they bear, or why nobody knows."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_logins import pooler_limits
from aada_operator.core import capacity
from aada_operator.core.errors import Waiting
from aada_operator.scaling import decide
from aada_operator.scaling.budget import Connections
from aada_operator.scaling.server import Answers
from aada_operator.scaling.world import ScalingVisit, World


def unasked(visit: ScalingVisit, world: World) -> Connections | None:
    """Why the server need not be asked; None when it must be."""
    if visit.spec.connection_budget == "Off":
        return Connections(reason="Off", message="connectionBudget is Off: nobody counts connections")
    if world.component.role != "api":
        return Connections(reason="NoDatabase", message=f"component {world.component.name} has no database")
    if missing := capacity.undeclared(world.spec.components):
        message = f"say what a pod of {', '.join(missing)} may open in components[].connections of the AadaLms"
        return Connections(reason="NotDeclared", message=message)
    return None


async def look(kube: Kube, visit: ScalingVisit, world: World, said: Answers, allow_local: bool) -> Connections:
    """Ask the pooler, if there is one before the server, and solve."""
    if known := unasked(visit, world):
        return known
    if said.refused:
        return _unknown(said.refused)
    try:
        pooler = await pooler_limits(kube, visit.namespace, world.spec.database, allow_local)
    except Waiting as waiting:
        return _unknown(waiting)
    limits, spec = said.limits, visit.spec
    assert limits, "asked for unless there is a reason not to"  # noqa: S101
    others, name, reserved = decide.neighbours(world.policies, spec), spec.target.component, spec.reserved_connections
    return Connections(limits, capacity.solve(world.spec.components, name, limits, reserved, others, pooler))


def _unknown(waiting: Waiting) -> Connections:
    return Connections(reason=waiting.reason, message=waiting.message, failed=True)
