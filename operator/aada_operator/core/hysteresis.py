"""What turns only when the opposite has lasted: so that a number around a limit changes nothing every other minute."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime


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
