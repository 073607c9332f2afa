"""iCalendar files as tests need them."""

from __future__ import annotations

from itertools import count

_NUMBERS = count()


def event(*lines: str, uid: str = "") -> str:
    """One event of these lines."""
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid or next(_NUMBERS)}", *lines, "END:VEVENT", ""])


def ics(*events: str) -> str:
    """A file of these events."""
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", ""]) + "".join(events) + "END:VCALENDAR\r\n"
