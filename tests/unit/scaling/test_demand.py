"""How many pods queries ask for: a number becomes pods, more at once, fewer when they were enough for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.hysteresis import Held, raised
from aada_operator.core.resources import Object
from aada_operator.scaling import demand
from aada_operator.scaling.demand import Reading, pods_for
from aada_operator.scaling.memory import ANNOTATION_MEMORY, Memory, recall, written
from tests.unit.scaling.prometheus import PROMETHEUS, metric
from tests.unit.scaling.samples import at, spec

NOW = at("2026-03-01T04:00Z")
WINDOW = timedelta(minutes=5)
QUERIES = spec(prometheus=PROMETHEUS, metrics=[metric(), metric("sessions")])
LOST = Reading("sessions", None, "QueryEmpty", "the query gives nothing")


@pytest.mark.parametrize(
    ("value", "present", "pods"),
    [
        (0, 2, 0), (-5, 2, 0), (50, 1, 1), (101, 1, 3), (150.00000001, 1, 3), (1e300, 2, 100), (120, 0, 3),
        # Within a tenth of what is aimed at nothing changes: three pods for 150.
        (135, 3, 3), (164, 3, 3), (134, 4, 3), (166, 3, 4),
    ],
)  # fmt: skip
def test_a_number_becomes_so_many_pods(value: float, present: int, pods: int) -> None:
    assert pods_for(value, 50, present) == pods


def follow(memory: Memory, *readings: Reading, present: int = 2, after: timedelta = timedelta(0)) -> Memory:
    return demand.follow(QUERIES, memory, readings, False, present, NOW + after)


def test_the_query_that_asks_for_most_counts_at_once() -> None:
    assert follow(Memory(Held(2)), Reading("requests", 3), Reading("sessions", 5)).floor == 5


def test_fewer_pods_are_asked_for_only_once_they_were_enough_for_the_whole_window() -> None:
    memory = follow(Memory(Held(5)), Reading("requests", 2))
    memory = follow(memory, Reading("requests", 4), after=timedelta(minutes=2))
    assert follow(memory, Reading("requests", 2), after=timedelta(minutes=4, seconds=59)).floor == 5
    assert follow(memory, Reading("requests", 2), after=WINDOW).floor == 4, "what was needed two minutes ago"


def test_a_policy_begins_with_the_size_that_is_there() -> None:
    assert follow(Memory(), Reading("requests", 1), present=4).floor == 4
    assert follow(Memory(), Reading("requests", 6), present=4).floor == 6


def test_while_a_query_is_lost_nobody_leaves_and_the_others_may_ask_for_more() -> None:
    memory = Memory(Held(2))
    assert follow(memory, Reading("requests", 1), LOST, present=4).floor == 4
    assert follow(memory, Reading("requests", 5), LOST, present=4).floor == 5
    for minutes in range(60):
        memory = follow(memory, LOST, present=4, after=timedelta(minutes=minutes))
        assert memory.floor == 4


def test_a_policy_without_queries_asks_for_nothing_and_remembers_nothing() -> None:
    memory = demand.follow(spec(), Memory(), (), False, 4, NOW)
    assert written(memory) == {}
    assert written(demand.follow(spec(), Memory(), (), True, 4, NOW)) == {}, "without a fallback nobody has to know"


WITH_FALLBACK = spec(fallback={"replicas": 4, "after": "3m"})


def looks(*lost: bool, present: int = 2) -> list[int]:
    """What is asked for at looks a minute apart, of a policy that follows the CPU."""
    memory, asked = Memory(), []
    for minute, one in enumerate(lost):
        memory = demand.follow(WITH_FALLBACK, memory, (), one, present, NOW + timedelta(minutes=minute))
        asked.append(memory.floor)
    return asked


def test_the_fallback_holds_once_a_metric_is_lost_for_so_long() -> None:
    assert looks(*[True] * 5) == [0, 0, 0, 4, 4]


def test_a_metric_that_is_back_meanwhile_begins_it_anew() -> None:
    assert looks(True, True, False, True, True, True, True) == [0, 0, 0, 0, 0, 0, 4]


def test_what_the_fallback_asked_for_stays_for_the_window_when_the_metric_is_back() -> None:
    assert looks(*[True] * 4, *[False] * 7) == [0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0]


def test_a_lost_query_falls_back_too_and_never_to_fewer_than_are_there() -> None:
    wanted = spec(prometheus=PROMETHEUS, metrics=[metric("sessions")], fallback={"replicas": 4, "after": "3m"})
    for present, pods in ((2, [2, 2, 2, 4]), (5, [5, 5, 5, 5])):
        memory, asked = Memory(), []
        for minute in range(4):
            memory = demand.follow(wanted, memory, [LOST], False, present, NOW + timedelta(minutes=minute))
            asked.append(memory.floor)
        assert asked == pods


def test_an_autoscaler_that_was_switched_off_with_its_pods_has_lost_nothing() -> None:
    def says(status: str, reason: str) -> Object:
        return {"status": {"conditions": [{"type": "ScalingActive", "status": status, "reason": reason}]}}

    assert demand.gets_none(spec(), says("False", "FailedGetResourceMetric"))
    assert not demand.gets_none(spec(), says("False", "ScalingDisabled"))
    assert not demand.gets_none(spec(), says("True", "ValidMetricFound"))
    assert not demand.gets_none(spec(), None)
    assert not demand.gets_none(QUERIES, says("False", "FailedGetResourceMetric")), "it does not need any"


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9)), min_size=1, max_size=60))
def test_it_is_never_below_what_the_window_wanted_and_never_above_what_two_did(looks: list[tuple[int, int]]) -> None:
    """Looks come up to two minutes apart."""
    held, now, seen = Held(), NOW, list[tuple[datetime, int]]()
    for gap, wanted in looks:
        now += timedelta(seconds=gap)
        seen.append((now, wanted))
        held = raised(held, wanted, now, WINDOW)
        within = [pods for moment, pods in seen if now - moment < WINDOW]
        longer = [pods for moment, pods in seen if now - moment <= 2 * WINDOW + timedelta(minutes=4)]
        assert max(within) <= held.value <= max(longer)


def test_what_is_remembered_is_read_back_as_it_was() -> None:
    memory = Memory(Held(5, NOW, 3), most=6)
    assert recall({"metadata": {"annotations": written(memory)}}) == memory


@pytest.mark.parametrize(
    "text", ["", "no JSON", '{"asked": 3}', '{"asked": {"value": 3, "since": "2026-03-01T04:00"}}']
)
def test_what_somebody_else_wrote_there_is_no_memory(text: str) -> None:
    assert recall({"metadata": {"annotations": {ANNOTATION_MEMORY: text}}}) == Memory()
    assert recall(None) == Memory()
