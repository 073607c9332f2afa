"""Looks first, then decisions, then the rest: at a bell many policies decide at one moment, on a small control plane.

The first size that is applied sets controllers, nodes and endpoints to work, and those who still look then wait for
these. So who has decided lets the others look to the end, for a moment; and what follows a decision (a look at the
database, the status and what that wakes, the fence) has time until all are applied.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds that a decision waits for the looks of others: one that is slower holds nobody up.
FOR_LOOKS = 0.25
# Seconds that what follows it waits for the decisions of others.
FOR_DECISIONS = 1.0


class Rush:
    """Visits that do the same at one moment; ``patience`` is how many seconds one waits for the others at the most."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._taking_part: set[asyncio.Future[None]] = set()

    @contextmanager
    def part(self) -> Iterator[None]:
        """In the block a visit takes part."""
        done = asyncio.get_running_loop().create_future()
        self._taking_part.add(done)
        try:
            yield
        finally:
            self._taking_part.discard(done)
            done.set_result(None)

    async def over(self) -> None:
        """Wait for those that take part now; who begins later is not waited for."""
        if self._taking_part:
            await asyncio.wait(set(self._taking_part), timeout=self._patience)
