"""Kills the operator at every write to the API server that something takes, several times in one go of it."""

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
    """Kills ``before`` a write or ``after`` it; a write is named by what it is and the how-manieth of its kind."""

    moment: str
    left: set[str] = field(default_factory=set)
    _seen: Counter[str] = field(default_factory=Counter)
    _since: int = APART

    def before(self, write: str) -> None:
        """A write comes. Raises Crash for one before which the operator was not killed yet."""
        if self.moment == "before":
            self._kill(self._name(write, 1))

    def after(self, write: str) -> None:
        """A write is done. Raises Crash for one after which the operator was not killed yet."""
        self._seen[_kind(write)] += 1
        self._since += 1
        if self.moment == "after":
            self._kill(self._name(write))

    async def learn(self, go: Callable[[], Awaitable[object]]) -> None:
        """Let it happen undisturbed, once, and note the writes."""
        await go()
        self.left = {f"{write} {number + 1}" for write, count in self._seen.items() for number in range(count)}

    def goes(self) -> Iterator[int]:
        """As often as it has to happen until the operator was killed at each; gives the number of writes that are left.

        Raises AssertionError when a go had none of them.
        """
        while before := len(self.left):
            self._seen.clear()
            self._since = APART
            yield before
            assert len(self.left) < before, f"never killed at {sorted(self.left)}"

    def _name(self, write: str, ahead: int = 0) -> str:
        return f"{_kind(write)} {self._seen[_kind(write)] + ahead}"

    def _kill(self, name: str) -> None:
        if self._since >= APART and name in self.left:
            self.left.discard(name)
            self._since = 0
            raise Crash(name)


def _kind(write: str) -> str:
    """A write without the numbers of revisions, which are others each time."""
    return re.sub(r"\d+", "#", write)
