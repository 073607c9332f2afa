"""A HorizontalPodAutoscaler on average use of a resource, as Kubernetes 1.23 to 1.35 decide every 15 seconds; pure.

Left out: pods that crash, and the five minutes in which the use of a pod that has just started may be ignored.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SYNC = timedelta(seconds=15)
# A use this near to the aim changes nothing.
TOLERANCE = 0.1
# In one sync the size at most doubles, or grows by so many pods.
BURST = 4
# One pod leaves, then no other for so long: that of pods with the grace period that an AadaLms gives them.
PACE = timedelta(seconds=23)


@dataclass(frozen=True)
class Pods:
    """Pods with the times from which they are ready, in order."""

    ready_from: tuple[datetime, ...]

    @property
    def count(self) -> int:
        return len(self.ready_from)

    def ready(self, now: datetime) -> int:
        """How many serve."""
        return sum(moment <= now for moment in self.ready_from)

    def resized(self, count: int, ready_from: datetime) -> "Pods":
        """So many pods: new ones are ready from then on, the youngest leave first."""
        return Pods(self.ready_from[:count] + (ready_from,) * (count - self.count))


def recommended(pods: int, ready: int, use: float) -> int:
    """The size at which pods would be used as is aimed at; ``use`` is that of the ready ones, 1.0 is the aim.

    Pods that are not ready count as idle when more are asked for, and not at all when fewer are.
    """
    if ready == 0 or abs(use - 1) <= TOLERANCE:
        return pods
    if use < 1:
        return math.ceil(use * ready - 1e-9)
    spread = use * ready / pods
    return math.ceil(spread * pods - 1e-9) if spread > 1 + TOLERANCE else pods


@dataclass
class Stabilization:
    """Fewer pods only when fewer were enough for all of a window, and then one after another; more at once."""

    window: timedelta
    _left: datetime | None = None
    _seen: deque[tuple[datetime, int]] = field(default_factory=deque)

    def settled(self, now: datetime, pods: int, asked: int) -> int:
        """The size after a recommendation: neither down too early, nor up too fast."""
        self._seen.append((now, asked))
        while self._seen[0][0] <= now - self.window and len(self._seen) > 1:
            self._seen.popleft()
        if asked >= pods:
            return min(asked, max(2 * pods, pods + BURST))
        fewer = max(size for _, size in self._seen) < pods
        if not fewer or (self._left and now - self._left < PACE):
            return pods
        self._left = now
        return pods - 1


def clamped(size: int, bounds: Sequence[int]) -> int:
    """The size within the least and the most."""
    return min(max(size, bounds[0]), bounds[1])
