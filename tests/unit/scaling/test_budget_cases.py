"""Pods counted one by one: whatever is declared and happens, the server is never asked for more than it has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aada_operator.core import capacity
from aada_operator.scaling import budget, decide
from tests.unit.scaling import budget_cases

CASES = 2000


def test_no_case_asks_for_more_connections_than_there_are() -> None:
    outcome = budget_cases.run(CASES)
    assert outcome.violations == ()
    assert outcome.cases == CASES
    assert outcome.borne > CASES // 10, "cases that bear no pod prove nothing"


@pytest.mark.parametrize("forgotten", ["SURGE", "LEAVING", "AS_APPLICATION"])
def test_the_model_notices_what_a_budget_forgets(monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    pods_leave_apart(monkeypatch, lambda grace: grace // 2 + 1)
    for module in (capacity, budget):
        monkeypatch.setattr(module, forgotten, 0, raising=False)
    assert budget_cases.run(CASES).violations


def test_the_model_notices_pods_that_leave_too_soon_after_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that are replaced as soon as a new one is ready, five seconds after the one before."""
    pods_leave_apart(monkeypatch, lambda grace: min(5, grace))
    assert budget_cases.run(CASES).violations


def test_the_model_notices_pods_that_are_added_beside_those_that_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "beside", lambda found, *_: found)
    assert budget_cases.run(CASES).violations


def pods_leave_apart(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], int]) -> None:
    """So many seconds, by their grace period."""
    monkeypatch.setattr(capacity, "pace", lambda pod_spec: seconds(pod_spec["terminationGracePeriodSeconds"]))


def test_the_same_seed_makes_the_same_cases() -> None:
    assert budget_cases.run(50, seed=7) == budget_cases.run(50, seed=7)
