"""What a replayed day shows, in numbers; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from aada_operator.scaling.simulation.autoscaler import SYNC
from aada_operator.scaling.simulation.replay import Step

# A change back within this time is a reversal.
REVERSAL = timedelta(minutes=5)
_MINUTES = SYNC / timedelta(minutes=1)


@dataclass(frozen=True)
class Findings:
    """Times in minutes, but for ``replica_hours``; ``unserved_percent`` is of the day's load."""

    replica_hours: float
    fewest_pods: int
    most_pods: int
    changes: int
    reversals: int
    minutes_at_max_replicas: float
    minutes_at_connection_budget: float
    minutes_overloaded: float
    unserved_percent: float
    minutes_without_metrics: float

    def as_dict(self) -> dict[str, Any]:
        """The same, for people who read JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def find(steps: Sequence[Step]) -> Findings:
    """Sum a day up."""
    over = [step for step in steps if step.load is not None and step.load > step.borne]
    load = sum(step.load or 0.0 for step in steps)
    lost = sum((step.load or 0.0) - step.borne for step in over)
    return Findings(
        replica_hours=round(sum(step.pods for step in steps) * _MINUTES / 60, 2),
        fewest_pods=min(step.pods for step in steps),
        most_pods=max(step.pods for step in steps),
        changes=len(changes(steps)),
        reversals=_reversals(steps),
        minutes_at_max_replicas=_at_limit(steps, "MaxReplicas"),
        minutes_at_connection_budget=_at_limit(steps, "ConnectionBudget"),
        minutes_overloaded=len(over) * _MINUTES,
        unserved_percent=round(100 * lost / load, 2) if load else 0.0,
        minutes_without_metrics=sum(step.load is None for step in steps) * _MINUTES,
    )


def changes(steps: Sequence[Step]) -> list[tuple[Step, int]]:
    """The steps at which the size became another one, each with the size before."""
    return [(step, before.pods) for before, step in pairwise(steps) if step.pods != before.pods]


def _reversals(steps: Sequence[Step]) -> int:
    found = [(step.time, step.pods > before) for step, before in changes(steps)]
    return sum(up != was_up and time - then <= REVERSAL for (then, was_up), (time, up) in pairwise(found))


def _at_limit(steps: Sequence[Step], limit: str) -> float:
    """Minutes in which the load asks for more pods than this limit allows."""
    return sum(step.asked > step.bounds.max and step.bounds.limited_by == limit for step in steps) * _MINUTES


def hours(steps: Sequence[Step], zone: ZoneInfo) -> list[tuple[datetime, list[Step]]]:
    """The steps of each hour on the school's clocks."""
    found: list[tuple[datetime, list[Step]]] = []
    for step in steps:
        hour = step.time.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        if not found or found[-1][0] != hour or found[-1][0].fold != hour.fold:
            found.append((hour, []))
        found[-1][1].append(step)
    return found
