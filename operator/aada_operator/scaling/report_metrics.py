"""What a ScalingPolicy says of the metrics that it follows, and of a load that is beyond its bounds; pure."""

from collections.abc import Sequence
from typing import Any

from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.scaling import decide, demand
from aada_operator.scaling.decide import Bounds
from aada_operator.scaling.demand import Reading, condition
from aada_operator.scaling.memory import Memory
from aada_operator.scaling.pressure import DATABASE_BOUND, Pressure

ACTIVE = "MetricsAvailable"
LIMITED = "ScalingLimited"
FALLBACK = "Fallback"


def numbers(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """What each query asks for, for the status."""
    return [{"name": one.name, "pods": one.pods, "reason": one.reason or "Followed"} for one in readings]


def followed(
    visit: Visit[ScalingPolicySpec], deployment: Object, readings: Sequence[Reading], autoscaler: Object
) -> None:
    """Whether all that is followed is seen; without, the size is held within the bounds."""
    lost = [(one.reason, f"{one.name}: {one.message}") for one in readings if one.pods is None]
    said = condition(autoscaler, "ScalingActive") if visit.spec.resource_metrics() else {"status": "True"}
    if missing := decide.unrequested(visit.spec, deployment):
        component = visit.spec.target.component
        message = f"set resources.requests.{' and .'.join(missing)} of component {component}: a percentage is of that"
        lost.insert(0, ("RequestsMissing", message))
    elif said and said["status"] != "True":
        why = f"the autoscaler gets no metrics ({said.get('reason', '')}): is metrics-server there?"
        lost.insert(0, ("MetricsMissing", why))
    if lost:
        message = "; ".join(message for _, message in lost)
        visit.conditions.set(ACTIVE, False, lost[0][0], f"{message}. Until then nobody leaves; the bounds still hold")
    elif said is None:
        visit.conditions.set(ACTIVE, "Unknown", "AwaitingMetrics", "the autoscaler has not looked yet")
    else:
        visit.conditions.set(ACTIVE, True, "Followed", "")


def limited(visit: Visit[ScalingPolicySpec], found: Bounds, asked: int, autoscaler: Object) -> None:
    """Whether the load asks for more or fewer pods than the bounds allow; ``asked`` is what the queries ask for."""
    said = condition(autoscaler, "ScalingLimited") if visit.spec.resource_metrics() else {"status": "False"}
    too_many = said is not None and said["status"] == "True" and said.get("reason") == "TooManyReplicas"
    if too_many or asked > found.max:
        message = f"the load asks for more than {found.max} pods: {found.limited_by} allows no more"
        visit.conditions.set(LIMITED, True, "AtMaximum", message)
    elif said is None:
        visit.conditions.set(LIMITED, "Unknown", "AwaitingMetrics", "the autoscaler has not looked yet")
    elif (said["status"] == "True" or not visit.spec.resource_metrics()) and asked < found.min:
        visit.conditions.set(LIMITED, True, "AtMinimum", f"the load asks for fewer than {found.min} pods")
    else:
        visit.conditions.set(LIMITED, False, "WithinBounds", "")


def falls_back(visit: Visit[ScalingPolicySpec], memory: Memory) -> None:
    """Whether the fallback holds, since when, and for how many pods."""
    pods = demand.falls_back(visit.spec, memory, visit.now)
    if pods and memory.lost_since:
        since = to_rfc3339(memory.lost_since)
        message = f"a metric is lost since {since}: {pods} pods at least, and nobody leaves; MetricsAvailable says why"
        visit.conditions.set(FALLBACK, True, "MetricsLost", message)
    else:
        visit.conditions.set(FALLBACK, False, "NotNeeded", "")


def database(visit: Visit[ScalingPolicySpec], found: Pressure, memory: Memory) -> None:
    """Whether the database is the limit, with the figures and the way out."""
    held = "no pods are added" if visit.spec.database_bound.action == "Hold" else "more pods would make it worse"
    if memory.database.on and found.bound:
        visit.conditions.set(DATABASE_BOUND, True, found.reason, f"{found.message}; until then {held}")
    elif memory.database.on:
        message = f"{found.message or 'it has room again'}; it must last for five minutes, until then {held}"
        visit.conditions.set(DATABASE_BOUND, True, "Recovering", message)
    elif found.bound is None:
        visit.conditions.set(DATABASE_BOUND, "Unknown", found.reason, found.message)
    else:
        visit.conditions.set(DATABASE_BOUND, False, "HasRoom", "")
