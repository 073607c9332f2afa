"""An iCalendar file closes the school at exactly the times that its events say, and a hostile one costs little."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.scaling.ical import MOST, BadCalendar, closed_times, joined
from tests.unit.scaling.calendars import event, ics
from tests.unit.scaling.samples import at

FIRST, LAST = date(2026, 8, 1), date(2026, 12, 1)
CHICAGO = ZoneInfo("America/Chicago")
DAY = timedelta(days=1)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def closed(*events: str, zone: ZoneInfo = CHICAGO) -> list[tuple[datetime, datetime]]:
    return closed_times(ics(*events), zone, FIRST, LAST)


def test_the_last_day_of_an_event_is_the_one_before_its_dtend() -> None:
    found = closed(event("DTSTART;VALUE=DATE:20261126", "DTEND;VALUE=DATE:20261128"))
    assert found == [(at("2026-11-26T06:00Z"), at("2026-11-28T06:00Z"))]


def test_a_day_without_an_end_is_one_day_on_the_schools_clocks() -> None:
    day = event("DTSTART;VALUE=DATE:20261126")
    assert closed(day) == [(at("2026-11-26T06:00Z"), at("2026-11-27T06:00Z"))]
    assert closed(day, zone=ZoneInfo("Asia/Kathmandu")) == [(at("2026-11-25T18:15Z"), at("2026-11-26T18:15Z"))]


def test_a_day_on_which_clocks_are_set_is_as_long_as_on_the_wall() -> None:
    assert closed(event("DTSTART;VALUE=DATE:20261101")) == [(at("2026-11-01T05:00Z"), at("2026-11-02T06:00Z"))]


def test_part_of_a_day_is_closed_in_the_zone_of_the_event() -> None:
    found = closed(
        event("DTSTART;TZID=Europe/Berlin:20261015T120000", "DTEND;TZID=Europe/Berlin:20261015T140000"),
        event("DTSTART:20261016T120000Z", "DURATION:PT1H"),
        event("DTSTART:20261019T120000", "DTEND:20261019T130000"),
    )
    assert found == [
        (at("2026-10-15T10:00Z"), at("2026-10-15T12:00Z")),
        (at("2026-10-16T12:00Z"), at("2026-10-16T13:00Z")),
        (at("2026-10-19T17:00Z"), at("2026-10-19T18:00Z")),
    ]


def test_an_event_that_comes_again_keeps_its_hour_when_clocks_are_set() -> None:
    found = closed(event(
        "DTSTART;TZID=America/Chicago:20261028T100000", "DTEND;TZID=America/Chicago:20261028T110000",
        "RRULE:FREQ=WEEKLY;COUNT=2",
    ))  # fmt: skip
    assert [begin for begin, _ in found] == [at("2026-10-28T15:00Z"), at("2026-11-04T16:00Z")]


def test_the_fourth_thursday_of_november_is_found_in_a_rule_of_long_ago() -> None:
    found = closed(event("DTSTART;VALUE=DATE:19701126", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"))
    assert [begin for begin, _ in found] == [at("2026-11-26T06:00Z")]


def test_one_of_a_row_that_was_moved_or_called_off_counts_where_it_is() -> None:
    found = closed(
        event("DTSTART;VALUE=DATE:20261005", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE;VALUE=DATE:20261019", uid="row"),
        event("DTSTART;VALUE=DATE:20261014", "RECURRENCE-ID;VALUE=DATE:20261012", uid="row"),
        event("DTSTART;VALUE=DATE:20261023", "STATUS:CANCELLED"),
    )
    assert [begin.date() for begin, _ in found] == [date(2026, 10, 5), date(2026, 10, 14)]


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """All-day events that come again, by day or by week, some of them left out."""
    start = date(2026, 6, 1) + draw(st.integers(0, 150)) * DAY
    weekly = draw(st.booleans())
    return {
        "start": start,
        "days": draw(st.integers(1, 9)),
        "every": draw(st.integers(1, 20)),
        "weekly": weekly,
        "weekdays": draw(st.sets(st.integers(0, 6), min_size=1)) | {start.weekday()} if weekly else set(),
        "count": draw(st.none() | st.integers(1, 30)),
        "left_out": draw(st.sets(st.integers(0, 200), max_size=5)),
    }


def as_event(row: dict[str, Any]) -> str:
    rule = f"RRULE:FREQ={'WEEKLY' if row['weekly'] else 'DAILY'};INTERVAL={row['every']}"
    if row["weekly"]:
        rule += ";BYDAY=" + ",".join(WEEKDAYS[day] for day in sorted(row["weekdays"]))
    if row["count"]:
        rule += f";COUNT={row['count']}"
    out = [f"EXDATE;VALUE=DATE:{row['start'] + number * DAY:%Y%m%d}" for number in sorted(row["left_out"])]
    end = row["start"] + row["days"] * DAY
    return event(f"DTSTART;VALUE=DATE:{row['start']:%Y%m%d}", f"DTEND;VALUE=DATE:{end:%Y%m%d}", rule, *out)


def days_of(row: dict[str, Any]) -> set[date]:
    """The same, day by day as a person would go through a wall calendar."""
    found: set[date] = set()
    seen, monday = 0, row["start"] - row["start"].weekday() * DAY
    for number in range(400):
        day = row["start"] + number * DAY
        if row["weekly"]:
            hit = day.weekday() in row["weekdays"] and ((day - monday).days // 7) % row["every"] == 0
        else:
            hit = number % row["every"] == 0
        if not hit or (row["count"] and seen >= row["count"]):
            continue
        seen += 1
        if number not in row["left_out"]:
            found |= {day + more * DAY for more in range(row["days"])}
    return found


@given(st.lists(rows(), min_size=1, max_size=3), st.sampled_from(["Etc/UTC", "America/Chicago", "Europe/Berlin"]))
def test_the_school_is_closed_on_the_days_of_a_wall_calendar(found: list[dict[str, Any]], zone: str) -> None:
    school = ZoneInfo(zone)
    times = closed(*map(as_event, found), zone=school)
    wanted = set().union(*map(days_of, found))
    for number in range((LAST - FIRST).days):
        day = FIRST + number * DAY
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=school)
        assert any(begin <= noon < end for begin, end in times) == (day in wanted), day


MOMENTS = st.datetimes(datetime(2026, 9, 1), datetime(2026, 9, 9)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(st.lists(st.tuples(MOMENTS, MOMENTS).map(lambda pair: (min(pair), max(pair)))), MOMENTS)
def test_joined_times_are_the_same_times_in_order_and_apart(
    times: list[tuple[datetime, datetime]], moment: datetime
) -> None:
    found = joined(times)
    assert any(a <= moment < b for a, b in found) == any(a <= moment < b for a, b in times)
    assert all(one[1] < other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no iCalendar file"),
        ("holidays: [2026-11-26]", "no iCalendar file"),
        ("<html><body>Sign in</body></html>", "no iCalendar file"),
        (event("DTSTART;VALUE=DATE:20261126"), "begins with no VCALENDAR"),
        (ics(event("SUMMARY:x", uid="lost")), "event 'lost' has no DTSTART: add it"),
        (ics(event("DTSTART;VALUE=DATE:20260231")), "20260231"),
        (ics(event("DTSTART;VALUE=DATE:20261126", "RRULE:FREQ=SOMETIMES")), "SOMETIMES"),
        (ics(event("DTSTART;TZID=Europe/Atlantis:20261126T100000", uid="sunk")),
         "event 'sunk': TZID 'Europe/Atlantis' is not a time zone; example: Europe/Berlin"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(text: str, said: str) -> None:
    with pytest.raises(BadCalendar) as found:
        closed_times(text, CHICAGO, FIRST, LAST)
    assert found.value.reason == "CalendarInvalid"
    assert said in str(found.value)


def test_a_file_of_very_many_times_is_refused() -> None:
    event_ = event("DTSTART:20260801T000000Z", "DURATION:PT1M", "RRULE:FREQ=HOURLY")
    with pytest.raises(BadCalendar, match=f"more than {MOST}") as found:
        closed(event_)
    assert found.value.reason == "CalendarTooCostly"


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(BadCalendar, match="256 KiB") as found:
        closed_times("x" * (256 * 1024 + 1), CHICAGO, FIRST, LAST)
    assert found.value.reason == "CalendarTooLarge"


def test_a_file_without_events_closes_nothing() -> None:
    assert closed() == []
