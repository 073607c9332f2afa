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
from aada_operator.scaling.memory import Memory

# As Kubernetes' autoscaler has it: within a tenth of what is aimed at, nothing changes.
TOLERANCE = 0.1
MOST = 100


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


def follow(spec: ScalingPolicySpec, memory: Memory, readings: Sequence[Reading], present: int, now: datetime) -> Memory:
    """What is asked for after another look.

    More is followed at once, fewer once they were enough for `scaleDownStabilization`; while a query is lost nobody
    leaves. A policy that has asked for nothing yet begins with the ``present`` size.
    """
    if not readings:
        return replace(memory, asked=None)
    known = [reading.pods for reading in readings if reading.pods is not None]
    wanted = max(known, default=0)
    if len(known) < len(readings):
        wanted = max(wanted, present)
    window = timedelta(seconds=seconds(spec.behavior.scale_down_stabilization))
    return replace(memory, asked=raised(memory.asked or Held(present), wanted, now, window))
