"""When requests are due, and what a size that goes up and down counts for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.api.calendar import Calendar
from aada_operator.scaling import calendar
from tests.bench import bells, storm


def test_the_rate_rises_evenly_and_then_stays() -> None:
    dues = storm.rising(rate=10, ramp=60, hold=30)
    per_ten_seconds = [sum(begin <= due < begin + 10 for due in dues) for begin in range(0, 90, 10)]
    assert per_ten_seconds == pytest.approx([8, 25, 42, 58, 75, 92, 100, 100, 100], abs=1)
    assert all(before <= after for before, after in pairwise(dues))


def test_noise_stays_around_its_rate_and_is_the_same_each_time() -> None:
    dues = storm.noisy(rate=5, seconds=300)
    assert dues == storm.noisy(rate=5, seconds=300)
    per_step = [sum(begin <= due < begin + 10 for due in dues) for begin in range(0, 300, 10)]
    assert all(24 <= count <= 75 for count in per_step)
    assert len(set(per_step)) > 10


@pytest.mark.parametrize(
    ("sizes", "turns"), [([1], 0), ([1, 2, 4], 0), ([1, 4, 2], 1), ([1, 4, 4, 2, 2, 3], 2), ([2, 2, 2], 0)]
)
def test_only_a_change_of_direction_counts(sizes: list[int], turns: int) -> None:
    assert storm.reversals(enumerate(sizes)) == turns


def test_the_worst_five_minutes_count_wherever_they_lie() -> None:
    """Neither the whole time, which would make an hour worse than a minute, nor an average, which would hide them."""
    calm = [(minute * 60.0, 2 + minute // 10 % 2) for minute in range(60)]
    assert storm.reversals(calm) == 1
    restless = [(3601.0, 4), (3700.0, 2), (3900.9, 3), (3901.1, 2)]
    assert storm.reversals([*calm, *restless]) == 3, "at 3601, which goes up again, 3700 and 3900.9; not at 3901.1"
    assert storm.reversals([*calm, *restless], window=100) == 2


@given(st.integers(0, 86_399))
def test_a_bell_rings_at_the_moment_that_it_names(second: int) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=second, milliseconds=300)
    moment, said = bells.bell(now)
    found = Calendar.model_validate(said)
    assert 0 < (moment - now).total_seconds() <= bells.LEAD
    assert calendar.at(found, moment - timedelta(milliseconds=1)).floor == 0
    assert calendar.at(found, moment).floor == 2
