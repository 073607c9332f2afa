"""Kills the operator at every write to the API server that something takes, several times in one go of it.

Where it runs in a process of its own (`operator_process`) it is killed at every fail-point on the way, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from tests.unit.backups.api_server import Crash

# Writes from one kill to the next: enough to see that it goes on, and few enough that a go has several.
APART = 3


@dataclass
class Killer:
    """Kills ``before`` a write, ``after`` it, or at ``both`` moments, and ``apart`` writes or fail-points later again.

    Each is named by what it is and the how-manieth of its kind.
    """

    moment: str
    apart: int = APART
    left: set[str] = field(default_factory=set)
    _writes: Counter[str] = field(default_factory=Counter)
    _points: Counter[str] = field(default_factory=Counter)
    _since: int = APART

    def before(self, write: str) -> None:
        """A write comes. Raises Crash for one before which the operator was not killed yet."""
        self._kill(f"before {_kind(write)} {self._writes[_kind(write)] + 1}")

    def after(self, write: str) -> None:
        """A write is done. Raises Crash for one after which the operator was not killed yet."""
        self._writes[_kind(write)] += 1
        self._since += 1
        self._kill(f"after {_kind(write)} {self._writes[_kind(write)]}")

    def at(self, point: str) -> None:
        """A fail-point is reached. Raises Crash at one at which the operator was not killed yet."""
        self._points[point] += 1
        self._since += 1
        self._kill(f"{point} {self._points[point]}")

    async def learn(self, go: Callable[[], Awaitable[object]]) -> None:
        """Let it happen undisturbed, once, and note the writes and fail-points."""
        await go()
        moments = ("before", "after") if self.moment == "both" else (self.moment,)
        self.left = {f"{moment} {write}" for moment in moments for write in _numbered(self._writes)}
        self.left |= set(_numbered(self._points))

    def goes(self) -> Iterator[int]:
        """As often as it has to happen until the operator was killed at each; gives the number of those that are left.

        Raises AssertionError when a go had none of them.
        """
        while before := len(self.left):
            self._writes.clear()
            self._points.clear()
            self._since = self.apart
            yield before
            assert len(self.left) < before, f"never killed at {sorted(self.left)}"

    def _kill(self, name: str) -> None:
        if self._since >= self.apart and name in self.left:
            self.left.discard(name)
            self._since = 0
            raise Crash(name)


def _numbered(seen: Counter[str]) -> Iterator[str]:
    return (f"{name} {number + 1}" for name, count in seen.items() for number in range(count))


def _kind(write: str) -> str:
    """A write without the numbers of revisions, which are others each time."""
    return re.sub(r"\d+", "#", write)
