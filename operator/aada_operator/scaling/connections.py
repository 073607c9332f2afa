"""The connections of one visit: what server and pooler say, and how many pods they bear, or why nobody knows."""

import asyncio
from dataclasses import replace
from functools import partial

from aada_operator.adapters import postgres, postgres_limits
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.postgres_logins import admin_access, pooler_limits
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core import capacity
from aada_operator.core.coalesce import Coalescing
from aada_operator.core.database import ConnectionLimits, Names, role_mark
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.scaling import decide
from aada_operator.scaling.budget import Connections
from aada_operator.scaling.world import ScalingVisit, Target, World


async def ask(
    kube: Kube, visit: ScalingVisit, target: Target, allow_local: bool, together: Coalescing[ConnectionLimits]
) -> Connections:
    """Ask the server, and the pooler before it, unless there is nothing to be asked; nothing is solved yet.

    Policies of one AadaLms that ask at one moment do so ``together``: what the server says is the same for all.
    """
    spec = visit.spec
    if spec.connection_budget == "Off":
        return Connections(reason="Off", message="connectionBudget is Off: nobody counts connections")
    if target.component.role != "api":
        return Connections(reason="NoDatabase", message=f"component {target.component.name} has no database")
    if missing := capacity.undeclared(target.spec.components):
        message = f"say what a pod of {', '.join(missing)} may open in components[].connections of the AadaLms"
        return Connections(reason="NotDeclared", message=message)
    try:
        of_lms = (target.lms["metadata"]["uid"], target.lms["metadata"]["resourceVersion"])
        asking = partial(limits_of, kube, visit, target.lms, target.spec, allow_local)
        limits = await together.ask(of_lms, asking)
        pooler = await pooler_limits(kube, visit.namespace, target.spec.database, allow_local)
    except Waiting as waiting:
        return Connections(reason=waiting.reason, message=waiting.message, failed=True)
    return Connections(limits, pooler)


def solve(asked: Connections, visit: ScalingVisit, world: World) -> Connections:
    """How many pods the connections bear that were ``asked`` for."""
    if asked.limits is None:
        return asked
    spec, components = visit.spec, world.spec.components
    others, name, reserved = decide.neighbours(world.policies, spec), spec.target.component, spec.reserved_connections
    return replace(asked, solved=capacity.solve(components, name, asked.limits, reserved, others, asked.pooler))


async def limits_of(
    kube: Kube, visit: ScalingVisit, lms: Object, spec: AadaLmsSpec, allow_local: bool
) -> ConnectionLimits:
    """What the server says of its connections, and of the application's roles.

    Raises:
        Waiting: SecretMissing, or the reasons of `postgres.session`.
    """
    database = spec.database
    secret = database.app_secret(lms["metadata"]["name"])
    application, (endpoint, admin) = await asyncio.gather(
        read_keys(kube, visit.namespace, secret, ["username"]),
        admin_access(kube, visit.namespace, database, allow_local),
    )
    given = application["username"].decode(errors="replace")
    logins = sorted({*Names(database.name, given).logins, given})
    async with postgres.session(endpoint, admin, postgres.MAINTENANCE) as session:
        return await postgres_limits.look(session, database.name, logins, role_mark(lms["metadata"]["uid"]))
