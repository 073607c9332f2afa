"""Slots of a cron schedule in a time zone.

The cron rules, those around a change of daylight saving too, are cronsim's, which follows Debian's cron: a daily
slot inside the skipped hour runs right after it, and a slot in the repeated hour runs once.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby, islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

# Missed slots are counted up to here, so that a schedule of minutes that slept for years costs no time.
MOST_MISSED = 10_000
# In a repeated hour the wall clock alone does not tell which slots have passed; no zone repeats more than this.
_LARGEST_SHIFT = timedelta(hours=3)
_WEEK, _LONG, _MANY = timedelta(days=10), timedelta(days=400), 1000


@dataclass(frozen=True)
class Due:
    """The newest slot that has passed, and how many older ones passed with it."""

    slot: datetime
    missed: int


def next_slot(expressions: list[str], time_zone: str, after: datetime) -> datetime:
    """The first slot of any expression that is later than ``after``, in UTC.

    Raises:
        cronsim.CronSimError: the expression is invalid; models check it before.
        StopIteration: the expression never comes true within 50 years, such as 30 February.
    """
    return next(slots(expressions, time_zone, after))


def due(expressions: list[str], time_zone: str, after: datetime, now: datetime) -> Due | None:
    """The newest slot of any expression in ``(after, now]``: missed slots are caught up once, older ones counted."""
    newest = max(filter(None, (_newest(expression, time_zone, now) for expression in expressions)), default=None)
    if newest is None or newest <= after:
        return None
    older = takewhile(lambda slot: slot < newest, slots(expressions, time_zone, after))
    return Due(newest, sum(1 for _ in islice(older, MOST_MISSED)))


@lru_cache(maxsize=1024)
def widest_gap(expressions: tuple[str, ...], time_zone: str, after: datetime) -> timedelta:
    """The longest time between two neighbouring slots of any expression, looking from ``after`` on.

    It is looked for in more than a year, or in so many slots that a year holds no wider gap but for rare schedules of
    many slots a day: those are looked at for ten days at least, which have every day of the week.
    """
    widest, before = timedelta(0), after
    for number, slot in enumerate(slots(list(expressions), time_zone, after)):
        if number:
            widest = max(widest, slot - before)
        before = slot
        if slot - after > _LONG or (number > _MANY and slot - after > _WEEK):
            break
    return widest


def _newest(expression: str, time_zone: str, now: datetime) -> datetime | None:
    """The newest slot up to ``now``, found by walking back from where no clock can have been set back to yet."""
    start = (now + _LARGEST_SHIFT).astimezone(ZoneInfo(time_zone))
    before = (slot.astimezone(UTC) for slot in CronSim(expression, start, reverse=True))
    return next((slot for slot in before if slot <= now), None)


def slots(expressions: list[str], time_zone: str, after: datetime) -> Iterator[datetime]:
    """The slots of all expressions later than ``after``, in order and in UTC; one that several have comes once."""
    merged = heapq.merge(*(_slots_of(expression, time_zone, after) for expression in expressions))
    return (slot for slot, _ in groupby(merged))


def _slots_of(expression: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    for local in CronSim(expression, after.astimezone(ZoneInfo(time_zone))):
        slot = local.astimezone(UTC)
        if slot > after:
            yield slot
