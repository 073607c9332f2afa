"""What `make show-scaling` makes of its figures: every decision counts, and what must never happen is a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench import scaling

FINE: dict[str, Any] = {"budget_violations": 0, "too_many_connections": 0, "decision_p99_ms": 10_000}


@pytest.mark.parametrize(
    ("patch", "code"),
    [({}, 0), ({"budget_violations": 1}, 1), ({"too_many_connections": 2}, 1), ({"storm_failed_plain": 9}, 0)],
)
def test_a_bound_that_was_broken_is_named_and_fails_the_command(
    patch: dict[str, Any], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time is only measured, and the last line is the JSON whatever happened."""
    monkeypatch.setattr(scaling, "run", lambda _: FINE | patch)
    assert scaling.main([]) == code
    *said, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == FINE | patch
    assert [line.rpartition(": ")[2] for line in said] == [name for name in patch if code]


def test_the_slowest_kind_of_decision_counts_among_all_and_has_its_own_figure() -> None:
    found = {"calendar": [10.0] * 20, "budget": [100.0] * 20, "database_bound": [900.0] * 20, "alone": [5000.0] * 20}
    shown = scaling.summed_up(found)
    assert (shown["decisions"], shown["decision_p50_ms"], shown["decision_p99_ms"]) == (60, 100, 900)
    assert shown["decision_database_bound_p99_ms"] == 900
    assert (shown["decision_calendar_p99_ms"], shown["decision_budget_p99_ms"]) == (10, 100)
