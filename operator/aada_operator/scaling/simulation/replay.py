"""A day, replayed: the operator's bounds and the autoscaler's sizes, every 15 seconds; pure.

Bounds come from the functions with which the operator decides. What pods cannot bear is lost, it does not queue.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.api.common import seconds
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.capacity import Budget
from aada_operator.scaling import calendar, decide
from aada_operator.scaling.decide import Bounds, Size
from aada_operator.scaling.simulation.autoscaler import SYNC, Pods, Stabilization, clamped, recommended
from aada_operator.scaling.simulation.recording import Sample, every
from aada_operator.scaling.wall import Interval


@dataclass(frozen=True)
class Pod:
    """One pod, in units of the load: what it requests, what it bears, and how long it takes until it is ready."""

    requests: float
    bears: float
    start: timedelta


@dataclass(frozen=True)
class Day:
    """All that a replay depends on; ``target`` is the use that is aimed at, of what is requested."""

    spec: ScalingPolicySpec
    samples: Sequence[Sample]
    pod: Pod
    target: float
    budget: Budget | None = None
    closed: Sequence[Interval] = ()


@dataclass(frozen=True)
class Step:
    """15 seconds: ``asked`` is the size for the load, ``pods`` the one within the bounds.

    ``borne`` is the load that the ``ready`` pods bear, ``because`` what the calendar says.
    """

    time: datetime
    load: float | None
    asked: int
    pods: int
    ready: int
    borne: float
    bounds: Bounds
    because: str


def replay(day: Day) -> Iterator[Step]:
    """The steps of a day, from a size that was there and ready before it began."""
    stabilization = Stabilization(timedelta(seconds=seconds(day.spec.behavior.scale_down_stabilization)))
    first = day.samples[0].time
    bounds, _ = _bounds(day, first, Size(0, settled=True))
    pods = Pods((first,) * bounds.min)
    for sample in every(list(day.samples), SYNC):
        now, ready = sample.time, pods.ready(sample.time)
        bounds, because = _bounds(day, now, Size(pods.count, settled=True))
        asked = pods.count if sample.load is None else recommended(pods.count, ready, _use(day, sample.load, ready))
        if bounds.min <= pods.count <= bounds.max and sample.load is not None:
            wanted = clamped(stabilization.settled(now, pods.count, asked), (bounds.min, bounds.max))
        else:  # Kubernetes puts the size right before it looks at metrics, and keeps it without any
            wanted = clamped(pods.count, (bounds.min, bounds.max))
        pods = pods.resized(wanted, now + day.pod.start)
        ready = pods.ready(now)
        yield Step(now, sample.load, asked, pods.count, ready, ready * day.pod.bears, bounds, because)


def _bounds(day: Day, now: datetime, size: Size) -> tuple[Bounds, str]:
    says = calendar.at(day.spec.calendar, now, day.closed)
    found = decide.bounds(day.spec, says, decide.upper(day.spec, day.budget), size)
    return found, f"freeze {says.freeze}" if says.freeze else says.because


def _use(day: Day, load: float, ready: int) -> float:
    """Average use of the ready pods, 1.0 for what is aimed at: none can be used more than it bears."""
    return min(load, ready * day.pod.bears) / (max(ready, 1) * day.pod.requests * day.target)
