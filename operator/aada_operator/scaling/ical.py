"""An iCalendar file as the times in which a school is closed; pure, and a program of its own.

A few lines of such a file can ask for more computing than there is, in its rules or its time zones. So the operator has
it read by another process (`closures`), to which the kernel gives bounded time and memory.
"""

import json
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from aada_operator.scaling.wall import Interval, earliest

if TYPE_CHECKING:
    from icalendar import Component, Event

# Bytes of a file: some thousand events, read in seconds.
LARGEST = 256 * 1024
# Separate times within the window, after those that touch were joined.
MOST = 1000
TOO_LARGE, INVALID, COSTLY = "CalendarTooLarge", "CalendarInvalid", "CalendarTooCostly"


@dataclass(frozen=True)
class Closures:
    """``times`` are in order and apart; a ``reason`` says why a file that is named does not count."""

    times: tuple[Interval, ...] = ()
    reason: str = ""
    message: str = ""


class BadCalendar(ValueError):
    """``reason`` is for a condition, the message for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def closed_times(text: str, zone: ZoneInfo, first: date, last: date) -> list[Interval]:
    """The times of all events between two days, joined, apart and in order; all-day events are days of ``zone``.

    Raises:
        BadCalendar: CalendarTooLarge, CalendarInvalid, CalendarTooCostly.
    """
    if len(text.encode()) > LARGEST:
        raise BadCalendar(TOO_LARGE, f"the file is larger than {LARGEST // 1024} KiB: leave out what is over")
    found = joined(_intervals(_occurrences(text, first, last), zone))
    if len(found) > MOST:
        raise BadCalendar(COSTLY, f"its events make more than {MOST} separate times in four months: leave some out")
    return found


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times, in order; those that touch or overlap are one."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif begin < end:
            found.append((begin, end))
    return found


def _occurrences(text: str, first: date, last: date) -> "list[Event]":
    # Only who has such a file pays for the libraries.
    from icalendar import Calendar
    from recurring_ical_events import of

    try:
        found: list[Event] = of(_checked(Calendar.from_ical(text))).between(first, last)
    except (BadCalendar, MemoryError):
        raise
    except Exception as error:  # whatever the libraries make of what is no calendar
        said = " ".join(str(error).split())[:200]
        raise BadCalendar(INVALID, f"the file is no iCalendar file: {said}") from error
    return found


def _checked(calendar: "Component") -> "Component":
    """Refuse what the libraries read without a word, but not as it is meant."""
    if calendar.name != "VCALENDAR":
        raise BadCalendar(INVALID, "the file begins with no VCALENDAR: export it as iCalendar (.ics)")
    for event in calendar.walk("VEVENT"):
        _check(event)
    return calendar


def _check(event: "Component") -> None:
    uid = str(event.get("UID", ""))[:60]
    start = event.get("DTSTART")
    if start is None:
        raise BadCalendar(INVALID, f"event {uid!r} has no DTSTART: add it")
    zone = start.params.get("TZID")
    if zone and getattr(start.dt, "tzinfo", None) is None:
        raise BadCalendar(INVALID, f"event {uid!r}: TZID {zone[:60]!r} is not a time zone; example: Europe/Berlin")


def _intervals(events: "Iterable[Event]", zone: ZoneInfo) -> Iterator[Interval]:
    for event in events:
        if str(event.get("STATUS", "")).upper() != "CANCELLED":
            yield _moment(event.start, zone), _moment(event.end, zone)


def _moment(when: date, zone: ZoneInfo) -> datetime:
    """A day begins, and a time without a zone is, on the school's clocks."""
    if not isinstance(when, datetime):
        when = datetime.combine(when, time())
    return when.astimezone(UTC) if when.tzinfo else earliest(when, zone)


def main() -> int:
    """Read a request from standard input, print the times or why there are none; returns the exit code."""
    asked: dict[str, Any] = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpuSeconds"], asked["cpuSeconds"]))
    resource.setrlimit(resource.RLIMIT_DATA, (asked["memory"], asked["memory"]))
    zone, first, last = ZoneInfo(asked["zone"]), date.fromisoformat(asked["first"]), date.fromisoformat(asked["last"])
    try:
        found = closed_times(asked["text"], zone, first, last)
    except BadCalendar as bad:
        json.dump({"reason": bad.reason, "message": str(bad)}, sys.stdout)
        return 0
    json.dump({"times": [(begin.isoformat(), end.isoformat()) for begin, end in found]}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
