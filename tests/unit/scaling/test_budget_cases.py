"""Pods counted one by one: whatever is declared, a rollout at full scale never asks the server for more than it has."""

from __future__ import annotations

import pytest

from aada_operator.core import capacity
from aada_operator.scaling import budget
from tests.unit.scaling import budget_cases

CASES = 500


def test_no_case_asks_for_more_connections_than_there_are() -> None:
    outcome = budget_cases.run(CASES)
    assert outcome.violations == ()
    assert outcome.cases == CASES
    assert outcome.borne > CASES // 10, "cases that bear no pod prove nothing"


@pytest.mark.parametrize("forgotten", ["SURGE", "LEAVING", "AS_APPLICATION"])
def test_the_model_notices_what_a_budget_forgets(monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    for module in (capacity, budget):
        monkeypatch.setattr(module, forgotten, 0, raising=False)
    assert budget_cases.run(CASES).violations


def test_the_same_seed_makes_the_same_cases() -> None:
    assert budget_cases.run(50, seed=7) == budget_cases.run(50, seed=7)
