"""The calendar: whatever the clock on the wall shows, the pods are there for the class, and before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.api.calendar import Calendar
from aada_operator.scaling.calendar import Says, at, next_transition
from tests.unit.scaling.samples import at as moment

CHICAGO = ZoneInfo("America/Chicago")
CLASS: dict[str, Any] = {"from": "08:00", "to": "15:30", "minReplicas": 3}
EXAM: dict[str, Any] = {"name": "finals", "from": "2026-12-14T08:00", "to": "2026-12-14T12:00", "minReplicas": 5}
FREEZE: dict[str, Any] = {"name": "visit", "from": "2026-10-05T06:00", "to": "2026-10-06T06:00"}


def calendar(**patch: Any) -> Calendar:
    return Calendar.model_validate({"timeZone": "America/Chicago", "prewarm": "0s"} | patch)


def school(text: str) -> datetime:
    """A time on the school's wall."""
    return datetime.fromisoformat(text).replace(tzinfo=CHICAGO).astimezone(UTC)


def floor(given_: Calendar | None, text: str) -> int:
    return at(given_, school(text)).floor


def test_without_a_calendar_nothing_is_said() -> None:
    assert at(None, school("2026-09-01T09:00")) == Says()
    assert next_transition(None, school("2026-09-01T09:00")) is None


@pytest.mark.parametrize(
    ("wall", "pods"),
    [
        ("2026-09-01T07:59", 0),
        ("2026-09-01T08:00", 3),
        ("2026-09-01T15:29", 3),
        ("2026-09-01T15:30", 0),
        ("2026-09-05T09:00", 0),  # a Saturday
    ],
)
def test_class_hours_hold_from_the_first_minute_to_the_last(wall: str, pods: int) -> None:
    assert floor(calendar(classHours=[CLASS]), wall) == pods


def test_the_pods_are_there_before_the_class_begins() -> None:
    early = calendar(classHours=[CLASS], prewarm="15m")
    assert [floor(early, f"2026-09-01T07:{minute}") for minute in (44, 45)] == [0, 3]


def test_a_class_in_the_first_hour_is_warmed_up_on_the_day_before() -> None:
    early = calendar(classHours=[CLASS | {"from": "00:00", "days": ["TUE"]}], prewarm="1h")
    assert floor(early, "2026-08-31T23:30") == 3


@pytest.mark.parametrize(("wall", "pods"), [("2026-08-14T09:00", 0), ("2026-08-17T09:00", 3), ("2026-12-18T09:00", 3),
                                            ("2026-12-21T09:00", 0)])  # fmt: skip
def test_class_hours_count_in_terms_only(wall: str, pods: int) -> None:
    assert floor(calendar(classHours=[CLASS], terms=[{"from": "2026-08-17", "to": "2026-12-18"}]), wall) == pods


def test_holidays_lower_the_floor_and_exams_on_them_do_not_care() -> None:
    public = calendar(classHours=[CLASS], holidays={"country": "US"})
    assert [floor(public, f"2026-09-0{day}T09:00") for day in (7, 8)] == [0, 3], "Labor Day"
    exam = EXAM | {"from": "2026-09-07T08:00", "to": "2026-09-07T12:00"}
    assert floor(calendar(classHours=[CLASS], holidays={"country": "US"}, examWindows=[exam]), "2026-09-07T09:00") == 5


def test_holidays_of_a_state_are_those_of_that_state() -> None:
    """Lincoln's birthday is a holiday in Illinois and not in Texas."""
    days = {state: floor(calendar(classHours=[CLASS], holidays={"country": "US", "subdivision": state}),
                         "2026-02-12T09:00") for state in ("IL", "TX")}  # fmt: skip
    assert days == {"IL": 0, "TX": 3}


def test_of_several_floors_the_highest_counts() -> None:
    both = calendar(classHours=[CLASS], examWindows=[EXAM])
    assert at(both, school("2026-12-14T09:00")) == Says(5, "exam finals")
    assert at(both, school("2026-12-14T13:00")) == Says(3, "class hours")


def test_a_freeze_says_so_beside_the_floor() -> None:
    frozen = calendar(classHours=[CLASS], freezes=[FREEZE])
    assert at(frozen, school("2026-10-05T09:00")) == Says(3, "class hours", "visit")
    assert at(frozen, school("2026-10-06T06:00")).freeze == ""


def test_the_next_change_is_told() -> None:
    warm = calendar(classHours=[CLASS], prewarm="15m")
    found = next_transition(warm, school("2026-09-01T06:00"))
    assert found is not None
    assert (found.time, found.says) == (school("2026-09-01T07:45"), Says(3, "class hours"))
    found = next_transition(warm, school("2026-09-04T10:00"))
    assert found is not None
    assert (found.time, found.says) == (school("2026-09-04T15:30"), Says())


def test_the_next_change_after_a_long_holiday_is_found() -> None:
    summer = calendar(classHours=[CLASS], terms=[{"from": "2026-08-17", "to": "2026-12-18"}])
    found = next_transition(summer, school("2026-06-01T09:00"))
    assert found is not None
    assert found.time == school("2026-08-17T08:00")


def test_an_edge_that_changes_nothing_is_not_told() -> None:
    """Two classes one after the other."""
    joined = calendar(classHours=[CLASS | {"to": "12:00"}, CLASS | {"from": "12:00"}])
    found = next_transition(joined, school("2026-09-01T09:00"))
    assert found is not None
    assert found.time == school("2026-09-01T15:30")


def test_a_class_in_the_hour_that_does_not_exist_is_not_lost() -> None:
    """8 March 2026, 02:00 is 03:00."""
    night = calendar(classHours=[CLASS | {"days": ["SUN"], "from": "02:00", "to": "03:00"}])
    assert at(night, moment("2026-03-08T07:30Z")).floor == 3
    assert at(night, moment("2026-03-08T09:01Z")).floor == 0


def test_a_class_in_the_hour_that_comes_twice_holds_both_times() -> None:
    """1 November 2026, 02:00 is 01:00 again."""
    night = calendar(classHours=[CLASS | {"days": ["SUN"], "from": "01:00", "to": "02:00"}])
    assert [at(night, moment(f"2026-11-01T0{hour}:30Z")).floor for hour in (5, 6, 7, 8)] == [0, 3, 3, 0]


def test_a_class_that_ends_in_the_hour_that_comes_twice_ends_the_second_time() -> None:
    night = calendar(classHours=[CLASS | {"days": ["SUN"], "from": "00:00", "to": "01:30"}])
    assert [at(night, moment(f"2026-11-01T07:{minute}Z")).floor for minute in (15, 45)] == [3, 0]


ZONES = st.sampled_from(["America/Chicago", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Etc/UTC"])
MINUTES = st.integers(0, 23 * 60 + 58)


@st.composite
def class_hours(draw: st.DrawFn) -> dict[str, Any]:
    begin = draw(MINUTES)
    end = draw(st.integers(begin + 1, 23 * 60 + 59))
    days = draw(st.sets(st.sampled_from(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]), min_size=1))
    texts = {name: f"{value // 60:02d}:{value % 60:02d}" for name, value in (("from", begin), ("to", end))}
    return texts | {"days": sorted(days), "minReplicas": draw(st.integers(1, 9))}


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda found: found.replace(tzinfo=UTC))
# Hours around the changes of the clocks in the zones above.
CHANGES = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from([moment(f"{day}T00:00Z") for day in
                     ("2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-04", "2026-10-03")]),
    st.integers(-600, 1800),
)  # fmt: skip


@given(ZONES, st.lists(class_hours(), min_size=1, max_size=3), st.one_of(MOMENTS, CHANGES))
def test_whenever_the_wall_shows_class_hours_the_floor_is_up(
    zone: str, hours: list[dict[str, Any]], now: datetime
) -> None:
    given_ = calendar(classHours=hours, timeZone=zone)
    wall = now.astimezone(ZoneInfo(zone))
    day, clock = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")[wall.weekday()], wall.strftime("%H:%M")
    wanted = max((one["minReplicas"] for one in hours if day in one["days"] and one["from"] <= clock < one["to"]),
                 default=0)  # fmt: skip
    assert at(given_, now).floor >= wanted


@given(ZONES, st.lists(class_hours(), min_size=1, max_size=3), st.one_of(MOMENTS, CHANGES))
def test_nothing_changes_before_the_next_transition_and_something_does_then(
    zone: str, hours: list[dict[str, Any]], now: datetime
) -> None:
    given_ = calendar(classHours=hours, timeZone=zone, prewarm="15m")
    found = next_transition(given_, now)
    if found is None:
        return
    present = at(given_, now)
    steps = [now + (found.time - now) * part / 16 for part in range(16)]
    assert {at(given_, step) for step in steps} == {present}
    assert at(given_, found.time) == found.says != present
