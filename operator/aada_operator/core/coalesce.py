"""Reads that several ask for at one moment, done once (a single flight), and never older than the question.

Who asks while a read is under way may not have its answer, which may be of before: they wait for the next one, with all
who asked meanwhile. So nobody asks twice at one time, and the busier a server is, the fewer it is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Coalescing(Generic[Answer]):
    """Reads by key: at most one under way for each, and one that waits for it."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Answer]] = {}
        self._next: dict[Hashable, asyncio.Task[Answer]] = {}

    async def ask(self, key: Hashable, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of a read that begins now or later; its error is raised to all who wait for it.

        ``read`` is the same question for the same ``key``, whoever asks. Who is cancelled leaves the others theirs.
        """
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._read(key, self._under_way.get(key), read))
        return await asyncio.shield(task)

    async def _read(
        self, key: Hashable, before: asyncio.Task[Answer] | None, read: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if before is not None:
            await asyncio.wait([before])
        self._under_way[key] = self._next.pop(key)
        try:
            return await read()
        finally:
            del self._under_way[key]
