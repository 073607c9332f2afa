"""The model of the autoscaler decides as Kubernetes documents it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.lms import manifests
from aada_operator.scaling.simulation.autoscaler import PACE, SYNC, Pods, Stabilization, recommended
from tests.unit.lms.samples import owner
from tests.unit.scaling.samples import at, component, lms

NOW = at("2026-09-01T08:00Z")


@pytest.mark.parametrize(
    ("pods", "ready", "use", "wanted"),
    [
        (4, 4, 2.0, 8),
        (4, 4, 0.5, 2),
        (3, 3, 1.2, 4),
        (4, 4, 1.1, 4),
        (20, 20, 0.91, 20),
        (4, 4, 0.89, 4),
        (10, 10, 0.89, 9),
        (4, 0, 3.0, 4),
    ],
    ids=[
        "twice as many for twice the use",
        "half for half of it",
        "what is left over needs a pod, too",
        "ten percent more change nothing",
        "nine percent less change nothing",
        "a pod is not cut in pieces",
        "eleven percent less of ten are one",
        "nobody ready, nothing known",
    ],
)
def test_the_size_follows_the_use(pods: int, ready: int, use: float, wanted: int) -> None:
    assert recommended(pods, ready, use) == wanted


def test_pods_that_are_not_ready_count_as_idle_when_more_are_asked_for() -> None:
    assert recommended(4, 2, 2.1) == 4, "four will do, once all serve"
    assert recommended(4, 2, 3.0) == 6


def test_fewer_pods_only_when_fewer_were_enough_for_all_of_the_window() -> None:
    model = Stabilization(timedelta(minutes=5))
    sizes = [6]
    for number in range(30):
        sizes.append(model.settled(NOW + number * SYNC, sizes[-1], 6 if number == 0 else 2))
    assert sizes[1:21] == [6] * 20, "the six were asked for less than five minutes ago"
    assert sizes[21:] == [5, 5, 4, 4, 3, 3, 2, 2, 2, 2], "one after another, and looked at every 15 seconds"


def test_the_pace_is_that_of_the_operators_own_pods() -> None:
    school = lms(component(replicas=3))
    deployment = manifests.deployment(owner(), school, school.components[0], {})
    assert PACE.total_seconds() == deployment["spec"]["minReadySeconds"]


@pytest.mark.parametrize(("pods", "most"), [(1, 5), (3, 7), (10, 20)])
def test_in_one_look_the_size_doubles_or_grows_by_four(pods: int, most: int) -> None:
    assert Stabilization(timedelta()).settled(NOW, pods, 100) == most


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 20))
def test_the_size_never_falls_below_what_was_asked_for_within_the_window(asked: list[int], looks: int) -> None:
    model, size = Stabilization(looks * SYNC), asked[0]
    for number, one in enumerate(asked):
        after = model.settled(NOW + number * SYNC, size, one)
        recent = asked[max(0, number - looks + 1) : number + 1] or [one]
        if after < size:
            assert after == size - 1 >= max([one, *recent])
        size = after


def test_new_pods_serve_later_and_the_youngest_leave_first() -> None:
    later: datetime = NOW + timedelta(seconds=30)
    pods = Pods((NOW,) * 2).resized(4, later)
    assert (pods.count, pods.ready(NOW), pods.ready(later)) == (4, 2, 4)
    assert pods.resized(3, later).ready(NOW) == 2
