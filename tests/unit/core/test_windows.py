"""Maintenance windows: work begins inside an Allow and outside every Deny, in the school's time zone, on every day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aada_operator.api.windows import MaintenanceWindow
from aada_operator.core import schedule
from aada_operator.core.windows import MOST_SLOTS, Opening, is_open, opening
from tests.unit.core.test_schedule import AUTUMN, BERLIN, SPRING, changes, everywhere, walked

SUNDAY = {"schedule": "0 3 * * SUN", "duration": "2h"}
NIGHTLY = {"schedule": "0 1 * * *", "duration": "4h"}
# Exams from Monday to Friday; 2026-03-02 is a Monday.
EXAMS = {"kind": "Deny", "schedule": "0 0 2 3 *", "duration": "5d"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def windows(*given_: dict[str, Any]) -> list[MaintenanceWindow]:
    return [MaintenanceWindow.model_validate(one) for one in given_]


def test_without_windows_work_may_always_begin() -> None:
    now = at("2026-03-04T10:00:00Z")
    assert opening([], now) == Opening(now, None)


@pytest.mark.parametrize(
    ("moment", "start"),
    [
        ("2026-03-04T10:00:00Z", "2026-03-08T03:00:00Z"),
        ("2026-03-08T02:59:59Z", "2026-03-08T03:00:00Z"),
        ("2026-03-08T03:00:00Z", "2026-03-08T03:00:00Z"),
        ("2026-03-08T04:59:59.500Z", "2026-03-08T04:59:59.500Z"),
        ("2026-03-08T05:00:00Z", "2026-03-15T03:00:00Z"),
    ],
)
def test_with_one_work_waits_for_it(moment: str, start: str) -> None:
    found = opening(windows(SUNDAY), at(moment))
    assert found is not None
    assert found.start == at(start)
    assert found.end == at(start).replace(hour=5, minute=0, second=0, microsecond=0)
    assert is_open(windows(SUNDAY), at(moment)) == (start == moment)


def test_a_window_is_read_in_its_time_zone() -> None:
    found = opening(windows(SUNDAY | {"timeZone": "America/Chicago"}), at("2026-03-01T12:00:00Z"))
    assert found == Opening(at("2026-03-08T08:00:00Z"), at("2026-03-08T10:00:00Z"))


def test_a_deny_alone_leaves_all_other_times_open() -> None:
    now = at("2026-03-01T12:00:00Z")
    assert opening(windows(EXAMS), now) == Opening(now, at("2026-03-02T00:00:00Z"))
    during = opening(windows(EXAMS), at("2026-03-04T10:00:00Z"))
    assert during is not None
    assert during.start == at("2026-03-07T00:00:00Z")


def test_a_deny_wins_over_an_allow() -> None:
    found = opening(windows(NIGHTLY, EXAMS), at("2026-03-02T01:00:00Z"))
    assert found == Opening(at("2026-03-07T01:00:00Z"), at("2026-03-07T05:00:00Z"))


def test_a_deny_in_the_middle_of_an_allow_ends_it_and_what_is_left_opens_again() -> None:
    both = windows(NIGHTLY, {"kind": "Deny", "schedule": "0 2 * * *", "duration": "30m"})
    assert opening(both, at("2026-03-04T00:00:00Z")) == Opening(at("2026-03-04T01:00:00Z"), at("2026-03-04T02:00:00Z"))
    assert opening(both, at("2026-03-04T02:00:00Z")) == Opening(at("2026-03-04T02:30:00Z"), at("2026-03-04T05:00:00Z"))


def test_windows_that_touch_are_one() -> None:
    both = windows(NIGHTLY, {"schedule": "0 5 * * *", "duration": "1h"})
    found = opening(both, at("2026-03-04T02:00:00Z"))
    assert found == Opening(at("2026-03-04T02:00:00Z"), at("2026-03-04T06:00:00Z"))


@pytest.mark.parametrize(
    "denied",
    [
        {"schedule": "0 0 * * *", "duration": "24h"},
        {"schedule": "0 0 1 * *", "duration": "31d"},
        {"schedule": "30 * * * *", "duration": "2h"},
    ],
)
def test_where_everything_is_denied_work_never_begins(denied: dict[str, Any]) -> None:
    assert opening(windows({"kind": "Deny"} | denied), at("2026-03-04T02:00:00Z")) is None
    assert opening(windows(NIGHTLY, {"kind": "Deny"} | denied), at("2026-03-04T02:00:00Z")) is None


def test_a_deny_of_every_minute_is_seen_through_in_bounded_time() -> None:
    minutes = {"schedule": "* * * * *", "duration": "1m"}
    assert opening(windows(minutes, minutes | {"kind": "Deny"}), at("2026-03-04T02:00:00Z")) is None
    found = opening(windows(minutes), at("2026-03-04T02:00:00Z"))
    assert found == Opening(at("2026-03-04T02:00:00Z"), None)
    assert MOST_SLOTS > 366 * 24


def test_an_end_that_is_more_than_a_month_away_is_none_and_is_not_looked_for() -> None:
    """Each visit asks, and an hourly window has 8,760 slots a year."""
    now = at("2026-03-04T02:00:00Z")
    assert opening(windows({"schedule": "0 0 1 * *", "duration": "28d"}), now) == Opening(
        now, at("2026-03-29T00:00:00Z")
    )
    always, slots = windows({"schedule": "0 * * * *", "duration": "2h"}), 0

    def counted(*_: Any) -> Iterator[datetime]:
        nonlocal slots
        while True:
            yield now + timedelta(hours=slots)
            slots += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "slots", counted)
        assert opening(always, now) == Opening(now, None)
    assert slots < 32 * 24


def test_over_a_change_of_the_clocks_a_window_is_as_long_as_it_says() -> None:
    """At 02:00 the clock becomes 03:00, or at 03:00 it becomes 02:00: one to four o'clock is two hours, or four."""
    nightly = windows({"schedule": "0 1 * * *", "duration": "3h", "timeZone": BERLIN})
    assert opening(nightly, SPRING) == Opening(SPRING, at("2026-03-29T03:00:00Z"))
    assert opening(nightly, AUTUMN) == Opening(AUTUMN, at("2026-10-25T02:00:00Z"))


# --- against a walk over all minutes ---------------------------------------------------------------------------------

lengths = st.sampled_from(["1m", "20m", "90m", "2h", "5h", "24h", "2d"])
schedules = st.builds(
    "{} {} * * {}".format,
    st.sampled_from(["0", "30", "59", "0,20", "*/15"]),
    st.sampled_from(["0", "1", "2", "3", "2,3", "23", "*", "*/5"]),
    st.sampled_from(["*", "*", "0", "0,3", "6"]),
)
some = st.builds(
    lambda kind, schedule, duration, zone: MaintenanceWindow(
        kind=kind, schedule=schedule, duration=duration, time_zone=zone
    ),
    st.sampled_from(["Allow", "Deny"]),
    schedules,
    lengths,
    everywhere,
)
moments = st.builds(lambda day, seconds: day + timedelta(seconds=seconds), changes, st.integers(-36 * 3600, 36 * 3600))
SPAN = timedelta(hours=30)


def is_inside(window: MaintenanceWindow, minutes: list[datetime]) -> set[datetime]:
    """The minutes in which a window is open, found by walking over all of them."""
    length = timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[window.duration[-1]]: int(window.duration[:-1])})
    begun = walked(window.schedule, window.time_zone, minutes[0] - length, minutes[-1])
    newest = ((minute, bisect_right(begun, minute)) for minute in minutes)
    return {minute for minute, count in newest if count and minute < begun[count - 1] + length}


def plain(given_: list[MaintenanceWindow], after: datetime) -> Opening | None:
    """The first opening in ``SPAN``, minute by minute: slow, and easy to believe."""
    first = after.replace(second=0, microsecond=0)
    minutes = [first + timedelta(minutes=n) for n in range(int(SPAN / timedelta(minutes=1)))]
    inside = [(window.kind, is_inside(window, minutes)) for window in given_]
    allows = [found for kind, found in inside if kind == "Allow"]
    allowed = set.union(*allows) if allows else set(minutes)
    allowed -= set().union(*(found for kind, found in inside if kind == "Deny"))
    start = next((minute for minute in minutes if minute in allowed), None)
    if start is None:
        return None
    end = next((minute for minute in minutes if minute > start and minute not in allowed), None)
    return Opening(max(start, after), end)


@settings(max_examples=100)
@given(st.lists(some, max_size=4), moments)
@example(windows({"schedule": "30 2 * * *", "duration": "90m", "timeZone": BERLIN}), SPRING - timedelta(hours=3))
@example(windows({"schedule": "30 2 * * *", "duration": "90m", "timeZone": BERLIN}), AUTUMN + timedelta(minutes=70))
@example([], datetime(2026, 6, 1, tzinfo=UTC))
def test_an_opening_is_that_of_a_walk_over_all_minutes(given_: list[MaintenanceWindow], after: datetime) -> None:
    expected, found = plain(given_, after), opening(given_, after)
    if expected is None:
        assert found is None or found.start >= after.replace(second=0) + SPAN
        return
    assert found is not None
    assert found.start == expected.start
    if expected.end is not None:
        assert found.end == expected.end
    else:
        assert found.end is None or found.end >= after.replace(second=0) + SPAN
