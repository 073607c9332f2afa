"""How many pods the operator itself asks for, by the queries of a policy; pure.

It is a floor: the autoscaler follows CPU and memory above it. Without these, floor and ceiling are one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aada_operator.api.common import seconds
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.hysteresis import Held, raised
from aada_operator.core.resources import Object
from aada_operator.scaling.memory import Memory

# As Kubernetes' autoscaler has it: within a tenth of what is aimed at, nothing changes.
TOLERANCE = 0.1
MOST = 100
# What an autoscaler says of a Deployment of no pods.
NO_PODS = "ScalingDisabled"


@dataclass(frozen=True)
class Reading:
    """What a query says: pods that it asks for, or None and why nobody knows."""

    name: str
    pods: int | None
    reason: str = ""
    message: str = ""


def pods_for(value: float, target: float, present: int) -> int:
    """Pods that bear ``value`` when each bears ``target``; ``present`` ones are left alone when they nearly do."""
    if present and abs(value / (target * present) - 1) <= TOLERANCE:
        return present
    # What arithmetic adds to a whole number is no reason for another pod.
    return max(0, min(math.ceil(round(value / target, 6)), MOST))


def follow(
    spec: ScalingPolicySpec, memory: Memory, readings: Sequence[Reading], lost: bool, present: int, now: datetime
) -> Memory:
    """What is asked for after another look; ``lost``: the autoscaler gets no metrics.

    More is followed at once, fewer once they were enough for `scaleDownStabilization`. While a query is lost nobody
    leaves; after a time, or when the autoscaler gets none, the fallback is asked for, too. A policy that has asked for
    nothing yet begins with the ``present`` size.
    """
    known = [reading.pods for reading in readings if reading.pods is not None]
    blind = len(known) < len(readings)
    lost_since = (memory.lost_since or now) if blind or lost else None
    kept = replace(memory, lost_since=lost_since if spec.fallback else None)
    wanted = max([*known, present if blind else 0, falls_back(spec, kept, now)])
    window = timedelta(seconds=seconds(spec.behavior.scale_down_stabilization))
    asked = raised(memory.asked or Held(present if readings else 0), wanted, now, window)
    return replace(kept, asked=asked if readings or asked.value else None)


def falls_back(spec: ScalingPolicySpec, memory: Memory, now: datetime) -> int:
    """The pods of the fallback, once a metric has been lost for so long; 0 before."""
    if spec.fallback is None or memory.lost_since is None:
        return 0
    return spec.fallback.replicas if now - memory.lost_since >= timedelta(seconds=seconds(spec.fallback.after)) else 0


def gets_none(spec: ScalingPolicySpec, autoscaler: Object | None) -> bool:
    """Whether the autoscaler looked and got no metrics."""
    said = condition(autoscaler, "ScalingActive")
    return bool(spec.resource_metrics() and said and said["status"] == "False" and said.get("reason") != NO_PODS)


def condition(autoscaler: Object | None, kind: str) -> Object | None:
    """What an autoscaler says of itself."""
    said = ((autoscaler or {}).get("status") or {}).get("conditions") or []
    return next((one for one in said if one["type"] == kind), None)
