"""What turns only when the opposite has lasted: so that a number around a limit changes nothing every other minute."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime


@dataclass(frozen=True)
class Latch:
    """Whether something is on; ``since`` is when the opposite was first seen without a break, None when it is not."""

    on: bool = False
    since: AwareDatetime | None = None


OFF = Latch()


def turned(latch: Latch, seen: bool | None, now: datetime, on_after: timedelta, off_after: timedelta) -> Latch:
    """The latch after another look; None, nobody could look, proves nothing and breaks no series."""
    if seen is None:
        return latch
    if seen == latch.on:
        return Latch(latch.on)
    since = latch.since or now
    if now - since >= (on_after if seen else off_after):
        return Latch(seen)
    return Latch(latch.on, since)


@dataclass(frozen=True)
class Held:
    """A number that falls late; ``since`` is when fewer were first enough, ``highest`` is the most since then."""

    value: int = 0
    since: AwareDatetime | None = None
    highest: int = 0


def raised(held: Held, wanted: int, now: datetime, window: timedelta) -> Held:
    """The number after another look: more at once, fewer when they were enough for ``window``.

    It falls to the most that was wanted meanwhile, so never below the highest of the last ``window``.
    """
    if wanted >= held.value:
        return Held(wanted)
    since, highest = held.since or now, max(held.highest, wanted) if held.since else wanted
    if now - since < window:
        return Held(held.value, since, highest)
    return Held(highest) if wanted == highest else Held(highest, now, wanted)
