"""What the calendar says at a moment: how many pods at least, whether nothing is scaled, and what changes next; pure.

Times of the calendar are those of the school's clocks. Where a clock is set forward or back, a time that does not exist
or comes twice is read so that class hours are never shorter than on the wall.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from aada_operator.api.calendar import Calendar, ClassHours, Holidays, Window
from aada_operator.api.common import seconds
from aada_operator.scaling.wall import Interval, earliest, latest

# How far the next change is looked for: longer than any holidays.
HORIZON = timedelta(days=120)
# A visit begins so long before a change: all is read and decided when the moment comes, and a class does not wait.
LEAD = timedelta(seconds=2)
_DAY = timedelta(days=1)
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
CLASS_HOURS = "class hours"


@dataclass(frozen=True)
class Says:
    """The calendar at one moment; ``floor`` is 0 and ``because`` is empty when nothing applies."""

    floor: int = 0
    because: str = ""
    freeze: str = ""


@dataclass(frozen=True)
class Transition:
    """What it says from a time on."""

    time: datetime
    says: Says


@dataclass(frozen=True)
class _Span:
    begin: datetime
    end: datetime
    floor: int
    name: str
    freezes: bool = False

    def covers(self, moment: datetime) -> bool:
        return self.begin <= moment < self.end


def at(calendar: Calendar | None, now: datetime, closed: Sequence[Interval] = ()) -> Says:
    """What it says now; in times that are ``closed``, which are in order and apart, class hours do not count."""
    return _says(list(_spans(calendar, now, now, closed)), now) if calendar else Says()


def next_transition(calendar: Calendar | None, now: datetime, closed: Sequence[Interval] = ()) -> Transition | None:
    """The first later time at which it says something else; None when there is none within `HORIZON`."""
    if calendar is None:
        return None
    spans = list(_spans(calendar, now, now + HORIZON, closed))
    present = _says(spans, now)
    edges = sorted({edge for span in spans for edge in (span.begin, span.end) if now < edge <= now + HORIZON})
    changes = ((edge, _says(spans, edge)) for edge in edges)
    return next((Transition(edge, says) for edge, says in changes if says != present), None)


def ahead(
    calendar: Calendar | None, now: datetime, closed: Sequence[Interval] = ()
) -> tuple[datetime, Transition | None]:
    """The time to decide for, which is that of a change that is about to come, else now; and the change after it."""
    upcoming = next_transition(calendar, now, closed)
    if upcoming and upcoming.time - now <= LEAD:
        return upcoming.time, next_transition(calendar, upcoming.time, closed)
    return now, upcoming


def _says(spans: list[_Span], moment: datetime) -> Says:
    covering = [span for span in spans if span.covers(moment)]
    highest = max((span for span in covering if not span.freezes), key=lambda span: span.floor, default=None)
    freeze = next((span.name for span in covering if span.freezes), "")
    return Says(highest.floor, highest.name, freeze) if highest else Says(freeze=freeze)


def _spans(calendar: Calendar, first: datetime, last: datetime, closed: Sequence[Interval]) -> Iterator[_Span]:
    """All that could apply between two moments."""
    zone, prewarm = ZoneInfo(calendar.time_zone), timedelta(seconds=seconds(calendar.prewarm))
    for day in _days(first.astimezone(zone).date() - _DAY, (last + prewarm).astimezone(zone).date() + _DAY):
        if _in_term(calendar, day) and not _is_holiday(calendar.holidays, day):
            for hours in calendar.class_hours:
                if _DAYS[day.weekday()] in hours.days:
                    yield from _class(hours, day, zone, prewarm, closed)
    for exam in calendar.exam_windows:
        begin, end = _moments(exam, zone)
        yield _Span(begin - prewarm, end, exam.min_replicas, f"exam {exam.name}")
    for freeze in calendar.freezes:
        yield _Span(*_moments(freeze, zone), 0, freeze.name, freezes=True)


def _class(
    hours: ClassHours, day: date, zone: ZoneInfo, prewarm: timedelta, closed: Sequence[Interval]
) -> Iterator[_Span]:
    begin = earliest(datetime.combine(day, time.fromisoformat(hours.from_)), zone)
    end = latest(datetime.combine(day, time.fromisoformat(hours.to)), zone)
    for first, last in _outside(begin, end, closed):
        yield _Span(first - prewarm, last, hours.min_replicas, CLASS_HOURS)


def _outside(begin: datetime, end: datetime, closed: Sequence[Interval]) -> Iterator[Interval]:
    """What is left of a time without those that are closed."""
    for off, on in closed[bisect_right(closed, begin, key=lambda interval: interval[1]) :]:
        if begin < min(off, end):
            yield begin, min(off, end)
        begin = max(begin, on)
        if begin >= end:
            return
    if begin < end:
        yield begin, end


def _moments(window: Window, zone: ZoneInfo) -> tuple[datetime, datetime]:
    return earliest(datetime.fromisoformat(window.from_), zone), latest(datetime.fromisoformat(window.to), zone)


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + number * _DAY


def _in_term(calendar: Calendar, day: date) -> bool:
    text = day.isoformat()
    return not calendar.terms or any(term.from_ <= text <= term.to for term in calendar.terms)


def _is_holiday(holidays: Holidays | None, day: date) -> bool:
    if holidays is None or holidays.country is None:
        return False
    return day in _public(holidays.country, holidays.subdivision, day.year)


@lru_cache(maxsize=64)
def _public(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    # Only who has holidays pays for the library.
    from holidays import country_holidays

    return frozenset(country_holidays(country, subdiv=subdivision, years=year))
