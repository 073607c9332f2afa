"""Times on a school's clocks as moments, where clocks are set forward or back, too; pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

# From a moment on, and until another.
Interval = tuple[datetime, datetime]


def earliest(wall: datetime, zone: ZoneInfo) -> datetime:
    """A time on the wall as a moment; the first of two where it comes twice."""
    return min(_readings(wall, zone))


def latest(wall: datetime, zone: ZoneInfo) -> datetime:
    """The same; the second of two."""
    return max(_readings(wall, zone))


def _readings(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Two moments where the clock is set, one otherwise."""
    return [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
