"""The pods of one component through some minutes of its life, second by second, as Kubernetes starts and ends them.

A model of a Deployment that rolls, of an autoscaler that looks every 15 seconds, and of an operator that sees who
leaves. How long a pod needs until it is ready, and until it has ended, is random within what its manifest allows. It
knows nothing of the connection budget but the sizes that the operator's own functions let it have.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

SYNC = 15
SLOWEST_START = 12.0


@dataclass(frozen=True)
class Rules:
    """What manifests say, in seconds: a new pod is ready for ``ready`` before an old one leaves, the autoscaler takes
    one pod away in ``period``, None where there is none, and a pod has ended after ``grace``."""

    grace: int
    ready: int = 0
    period: int | None = None


@dataclass
class Life:
    """``most`` says how many pods are allowed beside those that are there and those that leave.

    ``highest`` is the most pods ever that had connections.
    """

    dice: random.Random
    rules: Rules
    size: int
    most: Callable[[int, int], int]
    now: int = 0
    highest: int = 0
    _old: int = 0
    _new: int = 0
    # When those that have just started are available.
    _late_old: list[float] = field(default_factory=list)
    _late_new: list[float] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)
    _rolled: float = -1000.0
    _taken: float = -1000.0

    def __post_init__(self) -> None:
        self._new = self.size

    def run(self, seconds: int) -> int:
        """So many seconds; returns the most pods that had connections."""
        for self.now in range(seconds):
            self._age()
            allowed = self.most(self.size, len(self._ends))
            self._roll()
            if self.rules.period:
                self._resize(allowed)
            while self._act():
                self.highest = max(self.highest, self._there + len(self._ends))
            self.highest = max(self.highest, self._there + len(self._ends))
        return self.highest

    @property
    def _rolling(self) -> bool:
        return bool(self._old or self._late_old)

    @property
    def _there(self) -> int:
        return self._old + self._new + len(self._late_old) + len(self._late_new)

    def _age(self) -> None:
        self._ends = [end for end in self._ends if end > self.now]
        late_old = [one for one in self._late_old if one > self.now]
        late_new = [one for one in self._late_new if one > self.now]
        self._old += len(self._late_old) - len(late_old)
        self._new += len(self._late_new) - len(late_new)
        self._late_old, self._late_new = late_old, late_new

    def _roll(self) -> None:
        """Begin to replace all pods; one rollout at a time, and where pods are not paced the former ones have ended."""
        if self._rolling:
            self._rolled = self.now
        elif self.dice.random() < 0.1 and (self.rules.ready or self.now - self._rolled > self.rules.grace):
            self._rolled = self.now  # it may be over before the next look
            self._old, self._new = self._new, 0
            self._late_old, self._late_new = self._late_new, []

    def _resize(self, allowed: int) -> None:
        """The autoscaler, unless a rollout holds it; the calendar; somebody who changes maxReplicas."""
        whim = self.dice.random()
        if whim < 0.02:
            self.size = max(self.size, min(self.size + self.dice.randint(0, 5), allowed))
        elif whim < 0.03 and not self._rolling:
            self.size = self.dice.randint(min(1, self.size), self.size)
        elif self.now % SYNC == 0 and not self._rolling:
            self._autoscale(allowed)

    def _autoscale(self, allowed: int) -> None:
        if self.dice.random() < 0.5:
            self.size = max(self.size, min(self.size + self.dice.randint(0, 4), allowed))
        elif self.size > 1 and self.now - self._taken >= (self.rules.period or 0):
            self.size, self._taken = self.size - 1, self.now

    def _act(self) -> bool:
        """One pod that a Deployment starts or ends: a surge of one, none unavailable."""
        allowed = self.size + (1 if self._rolling else 0)
        if self._there < allowed:
            ready = self.now + self.dice.choice((0.0, self.dice.uniform(0, SLOWEST_START)))
            self._late_new.append(ready + self.rules.ready)
            if self._late_new[-1] <= self.now:
                self._age()
        elif self._there > allowed or (self._late_old and self._there - self.size > len(self._late_new)):
            self._end()
        elif self._old and self._old + self._new > self.size:
            self._old -= 1
            self._leave()
        else:
            return False
        return True

    def _end(self) -> None:
        """Those go first that are not available yet."""
        for late in (self._late_old, self._late_new):
            if late:
                late.pop()
                return self._leave()
        if self._old:
            self._old -= 1
        else:
            self._new -= 1
        return self._leave()

    def _leave(self) -> None:
        grace = self.rules.grace
        self._ends.append(self.now + self.dice.choice((grace, self.dice.uniform(0, grace))))
