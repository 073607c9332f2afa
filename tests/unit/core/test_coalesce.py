"""Reads at one moment are done once; nobody is given an answer of before the question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aada_operator.core.coalesce import Coalescing
from aada_operator.core.errors import Waiting
from tests.unit.core.virtual_time import run

TAKES = 1.0


def now() -> float:
    return asyncio.get_running_loop().time()


class Reads:
    """A read that takes a second and answers when it began; ``error`` is raised instead."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.error: Exception | None = None
        self.coalescing = Coalescing[float]()

    async def _read(self) -> float:
        began = now()
        self.began.append(began)
        await asyncio.sleep(TAKES)
        if self.error:
            raise self.error
        return began

    async def at(self, moment: float, key: str = "one") -> tuple[float, float]:
        """When the read of one who asks at a moment began, and when they had it."""
        await asyncio.sleep(moment - now())
        answer = await self.coalescing.ask(key, self._read)
        return round(answer, 3), round(now(), 3)


def readers(story: Callable[[Reads], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def told() -> None:
            await story(Reads())

        run(told())

    return test


@readers
async def test_who_asks_at_one_moment_is_answered_by_one_read(reads: Reads) -> None:
    assert await asyncio.gather(*(reads.at(0) for _ in range(5))) == [(0, 1)] * 5
    assert reads.began == [0]


@readers
async def test_who_asks_while_a_read_is_under_way_shares_the_next_which_is_no_older_than_the_question(
    reads: Reads,
) -> None:
    found = await asyncio.gather(*map(reads.at, (0, 0.2, 0.9, 1.5)))
    assert found == [(0, 1), (1, 2), (1, 2), (2, 3)]


@readers
async def test_a_later_question_is_asked_anew(reads: Reads) -> None:
    assert [await reads.at(0), await reads.at(5)] == [(0, 1), (5, 6)]


@readers
async def test_different_questions_do_not_wait_for_each_other(reads: Reads) -> None:
    assert [*await asyncio.gather(reads.at(0, "one"), reads.at(0.5, "other"))] == [(0, 1), (0.5, 1.5)]


@readers
async def test_an_error_is_told_to_all_who_waited_and_to_nobody_else(reads: Reads) -> None:
    reads.error = Waiting("ApiServerUnreachable", "the server does not answer")
    found = await asyncio.gather(*map(reads.at, (0, 0)), return_exceptions=True)
    assert found == [reads.error] * 2
    reads.error = None
    assert await reads.at(1) == (1, 2)


@readers
async def test_one_who_goes_leaves_the_others_their_answer(reads: Reads) -> None:
    first, second = asyncio.create_task(reads.at(0)), asyncio.create_task(reads.at(0))
    await asyncio.sleep(0.5)
    first.cancel()
    assert await second == (0, 1)
    with pytest.raises(asyncio.CancelledError):
        await first
