"""Decisions first: at a bell many policies decide at one moment, on a control plane that may be small.

What follows a decision (a look at the database, the status and what that wakes, the fence) has time: it waits for the
decisions that others were about to make, and takes nothing from them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds that it waits at the most: one that waits for a frozen database holds nobody up.
PATIENCE = 1.0


class Rush:
    """Visits that are about to decide."""

    def __init__(self) -> None:
        self._deciding: set[asyncio.Future[None]] = set()

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """In the block a visit decides."""
        done = asyncio.get_running_loop().create_future()
        self._deciding.add(done)
        try:
            yield
        finally:
            self._deciding.discard(done)
            done.set_result(None)

    async def over(self) -> None:
        """Wait for those that decide now; who begins later is not waited for."""
        if self._deciding:
            await asyncio.wait(set(self._deciding), timeout=PATIENCE)
