"""Load that varies around a limit for longer than the size waits before it falls: pods do not come and go with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.scaling import demand
from aada_operator.scaling.demand import Reading, pods_for
from aada_operator.scaling.memory import Memory
from aada_operator.scaling.simulation.autoscaler import SYNC
from aada_operator.scaling.simulation.recording import Sample
from aada_operator.scaling.simulation.replay import Day, Pod, replay
from tests.bench.storm import reversals
from tests.unit.scaling.prometheus import PROMETHEUS, metric
from tests.unit.scaling.samples import spec

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
# Half an hour of looks: six times as long as the five minutes before pods leave.
LOOKS = 120
Sizes = list[tuple[float, int]]


def by_query(loads: Iterable[float], window: str) -> Sizes:
    """The sizes that the operator itself asks for; a pod bears one."""
    declared = spec(prometheus=PROMETHEUS, metrics=[metric()], behavior={"scaleDownStabilization": window})
    memory, pods, sizes = Memory(), 3, Sizes()
    for number, load in enumerate(loads):
        now = NOW + number * SYNC
        memory = demand.follow(declared, memory, [Reading("load", pods_for(load, 1.0, pods))], False, pods, now)
        pods = memory.floor
        sizes.append(((now - NOW).total_seconds(), pods))
    return sizes


def by_cpu(loads: Iterable[float], window: str) -> Sizes:
    """The sizes of an autoscaler within the operator's bounds, as `aada-operator simulate scaling` replays them."""
    declared = spec(behavior={"scaleDownStabilization": window})
    samples = [Sample(NOW + number * SYNC, load) for number, load in enumerate(loads)]
    steps = replay(Day(declared, samples, Pod(1.0, 2.0, timedelta(seconds=15)), 1.0))
    return [((step.time - NOW).total_seconds(), step.pods) for step in steps]


def noise(seed: int, part: float) -> list[float]:
    """What three pods bear, and up to a ``part`` of that less or more, anew at each look."""
    dice = random.Random(seed)
    return [3 * dice.uniform(1 - part, 1 + part) for _ in range(LOOKS)]


@pytest.mark.parametrize("follow", [by_query, by_cpu])
@pytest.mark.parametrize("seed", range(10))
def test_noise_around_a_limit_turns_the_size_once_in_five_minutes_at_the_most(
    follow: Callable[[Iterable[float], str], Sizes], seed: int
) -> None:
    """Three pods or four: now this is asked for, now that."""
    assert reversals(follow(noise(seed, 0.25), "300s")) <= 1
    assert reversals(follow(noise(seed, 0.25), "0s")) > 5, "without the window it would come and go: this is noise"


@given(st.integers(0, 2**32))
def test_whatever_the_load_pods_leave_once_in_five_minutes_at_the_most(seed: int) -> None:
    """A load that is far smaller for five minutes and then is not lets pods leave, and they come back."""
    sizes = by_query(noise(seed, 0.7), "300s")
    left = [when for (_, before), (when, pods) in pairwise(sizes) if pods < before]
    assert all(later - earlier >= 300 for earlier, later in pairwise(left)), sizes
    assert reversals(sizes) <= 2, "down, and up again"
