"""A keyed work queue, in the manner of client-go: one visit per key at a time, no key twice in line, delayed adds.

An add while a key is being worked on is not lost: the key runs once more afterwards. A visit that raised is tried
again with exponential backoff and jitter, so that a thousand objects behind one dead server do not knock together.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from aada_operator.core.errors import OperatorError

logger = logging.getLogger(__name__)

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 300.0
# Seconds up to which a delay is kept to the moment.
SHORT = 5.0


class Key(NamedTuple):
    """Which object: the plural of its kind, its namespace and name."""

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.plural}/{self.namespace}/{self.name}"


Worker = Callable[[Key], Awaitable[float | None]]


@dataclass
class WorkQueue:
    """Keys in line, at work and delayed; its time is that of the running event loop."""

    _ready: asyncio.Queue[Key] = field(default_factory=asyncio.Queue)
    _queued: set[Key] = field(default_factory=set)
    _active: dict[Key, float] = field(default_factory=dict)
    _again: set[Key] = field(default_factory=set)
    _timers: dict[Key, asyncio.TimerHandle] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)

    def add(self, key: Key) -> None:
        """Put a key in line, now."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, delay: float) -> None:
        """Put a key in line after ``delay`` seconds; the earliest of several wishes counts."""
        loop = asyncio.get_running_loop()
        moment = loop.time() + delay
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= moment:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(moment, self._release, key)

    def depth(self) -> int:
        """Keys that wait in line, without the delayed ones."""
        return self._ready.qsize()

    def longest_visit(self) -> float:
        """Seconds that the oldest visit at work has taken so far; 0 when none is."""
        return asyncio.get_running_loop().time() - min(self._active.values()) if self._active else 0.0

    async def run(self, worker: Worker, workers: int) -> None:
        """Serve the queue until cancelled; ``worker`` returns seconds until the next visit, or None."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._serve(worker))

    def _release(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)

    async def _serve(self, worker: Worker) -> None:
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._active[key] = asyncio.get_running_loop().time()
            if timer := self._timers.pop(key, None):
                timer.cancel()  # this visit is what the delayed one wanted
            await self._visit(worker, key)
            del self._active[key]
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _visit(self, worker: Worker, key: Key) -> None:
        try:
            delay = await worker(key)
        except Exception as error:
            failures = self._failures.get(key, 0) + 1
            self._failures[key] = failures
            delay = backoff(failures)
            _log_failure(key, error, delay)
        else:
            self._failures.pop(key, None)
        if delay is not None:
            self.add_after(key, delay)


def _log_failure(key: Key, error: Exception, delay: float) -> None:
    """What the API server has refused for now is expected to happen; anything else is a bug, with its traceback."""
    detail: dict[str, object] = {"object": str(key), "retry_in_seconds": round(delay, 1)}
    if isinstance(error, OperatorError):
        logger.warning("visit put off", extra=detail | {"reason": error.reason})
    else:
        logger.error("visit failed", exc_info=error, extra=detail)


def backoff(failures: int, first: float = FIRST_BACKOFF, longest: float = LONGEST_BACKOFF) -> float:
    """Seconds before the next try: doubled with every failure, up to ``longest``, with a fifth of jitter."""
    delay: float = min(longest, first * 2 ** min(failures - 1, 30))
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing


def spread(delay: float) -> float:
    """The delay or up to a tenth less, at random.

    Objects that were first seen together, at a start, would otherwise be visited together ever after, and a change
    would have to wait behind all of them. A short delay is kept: something is due then.
    """
    return delay if delay <= SHORT else delay * random.uniform(0.9, 1.0)  # noqa: S311 - spreads load, guards nothing
