"""The connections of one visit: what server and pooler say, and how many pods they bear, or why nobody knows."""

from aada_operator.adapters import postgres_limits
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres_logins import admin_session, pooler_limits
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core import capacity
from aada_operator.core.database import ConnectionLimits, Names, role_mark
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.scaling import decide
from aada_operator.scaling.budget import Connections
from aada_operator.scaling.world import ScalingVisit, World


async def look(kube: Kube, visit: ScalingVisit, world: World, allow_local: bool) -> Connections:
    """Ask the server, and the pooler before it, unless there is nothing to be asked."""
    spec = visit.spec
    if spec.connection_budget == "Off":
        return Connections(reason="Off", message="connectionBudget is Off: nobody counts connections")
    if world.component.role != "api":
        return Connections(reason="NoDatabase", message=f"component {world.component.name} has no database")
    if missing := capacity.undeclared(world.spec.components):
        message = f"say what a pod of {', '.join(missing)} may open in components[].connections of the AadaLms"
        return Connections(reason="NotDeclared", message=message)
    try:
        limits = await limits_of(kube, visit, world.lms, world.spec, allow_local)
        pooler = await pooler_limits(kube, visit.namespace, world.spec.database, allow_local)
    except Waiting as waiting:
        return Connections(reason=waiting.reason, message=waiting.message, failed=True)
    others, name, reserved = decide.neighbours(world.policies, spec), spec.target.component, spec.reserved_connections
    return Connections(limits, capacity.solve(world.spec.components, name, limits, reserved, others, pooler))


async def limits_of(
    kube: Kube, visit: ScalingVisit, lms: Object, spec: AadaLmsSpec, allow_local: bool
) -> ConnectionLimits:
    """What the server says of its connections, and of the application's roles.

    Raises:
        Waiting: SecretMissing, or the reasons of `postgres.session`.
    """
    database = spec.database
    secret = database.app_secret(lms["metadata"]["name"])
    given = (await read_keys(kube, visit.namespace, secret, ["username"]))["username"].decode(errors="replace")
    logins = sorted({*Names(database.name, given).logins, given})
    async with admin_session(kube, visit.namespace, database, allow_local) as session:
        return await postgres_limits.look(session, database.name, logins, role_mark(lms["metadata"]["uid"]))
