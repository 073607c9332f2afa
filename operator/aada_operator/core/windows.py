"""Maintenance windows: whether work may begin now, when it may next, and until when; pure.

All that must not disturb a school by day asks `opening`. A window lasts its duration from the slot of its schedule on,
which `core.schedule` finds over changes of the clocks as well. Without a window of kind Allow work may always begin; a
Deny wins over any Allow.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from aada_operator.api.common import seconds
from aada_operator.api.windows import MaintenanceWindow
from aada_operator.core import schedule

ALLOW, DENY = "Allow", "Deny"
YEAR = timedelta(days=366)
# One that is open for longer is as good as always open, and each of its slots would be walked over at each look.
_MONTH = timedelta(days=31)
# Hourly windows for a year are fewer: whoever denies every minute must not keep the operator busy.
MOST_SLOTS = 10_000


@dataclass(frozen=True)
class Opening:
    """Work may begin from ``start`` on and before ``end``; None when that is more than a month away."""

    start: datetime
    end: datetime | None


def opening(windows: Sequence[MaintenanceWindow], after: datetime) -> Opening | None:
    """The first time from ``after`` on in which work may begin; None when there is none within a year.

    It starts at ``after`` itself when that is inside.
    """
    horizon = after + YEAR
    allowed = after if has_allow(windows) else horizon
    denied = reached = after
    start: datetime | None = None
    for slot, kind, end in _slots(windows, after, horizon):
        if start is None and max(reached, denied) < min(slot, allowed):
            start = max(reached, denied)
        if start is not None and (allowed < slot or kind == DENY or slot > start + _MONTH):
            return _opening(start, min(allowed, slot))
        if kind == ALLOW:
            allowed = max(allowed, end)
        else:
            denied = max(denied, end)
        reached = max(reached, slot)
    return Opening(start, None) if start is not None else None


def _opening(start: datetime, end: datetime) -> Opening:
    return Opening(start, end if end <= start + _MONTH else None)


def is_open(windows: Sequence[MaintenanceWindow], now: datetime) -> bool:
    """Whether work may begin now."""
    found = opening(windows, now)
    return found is not None and found.start <= now


def has_allow(windows: Sequence[MaintenanceWindow]) -> bool:
    """Whether somebody said when work may begin, and not only when it may not."""
    return any(window.kind == ALLOW for window in windows)


def _slots(
    windows: Sequence[MaintenanceWindow], after: datetime, horizon: datetime
) -> Iterator[tuple[datetime, str, datetime]]:
    """(begin, kind, end) of all that is open at ``after`` or opens later, by begin; the last one is the horizon."""
    merged = heapq.merge(*(_slots_of(window, after) for window in windows), [(horizon, "", horizon)])
    for slot in islice(merged, MOST_SLOTS):
        yield slot
        if slot[0] >= horizon:
            return


def _slots_of(window: MaintenanceWindow, after: datetime) -> Iterator[tuple[datetime, str, datetime]]:
    length = timedelta(seconds=seconds(window.duration))
    for slot in schedule.slots([window.schedule], window.time_zone, after - length):
        yield slot, window.kind, slot + length
