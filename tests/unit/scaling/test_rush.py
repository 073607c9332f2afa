"""Who is done waits for others that do the same at that moment, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from aada_operator.scaling.rush import Rush
from tests.unit.core.virtual_time import run

PATIENCE = 1.0


async def decides(rush: Rush, begins: float, takes: float) -> tuple[float, float]:
    """When one has decided, and when it goes on."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(begins)
    with rush.part():
        await asyncio.sleep(takes)
    decided = loop.time()
    await rush.over()
    return round(decided, 3), round(loop.time(), 3)


async def together(*decisions: tuple[float, float]) -> list[tuple[float, float]]:
    rush = Rush(PATIENCE)
    return await asyncio.gather(*(decides(rush, begins, takes) for begins, takes in decisions))


def test_one_that_is_alone_goes_on_at_once() -> None:
    assert run(together((0, 0.3))) == [(0.3, 0.3)]


def test_who_has_decided_goes_on_when_the_last_one_has() -> None:
    assert run(together((0, 0.1), (0, 0.2), (0.05, 0.4))) == [(0.1, 0.45), (0.2, 0.45), (0.45, 0.45)]


def test_who_begins_after_a_decision_is_not_waited_for() -> None:
    assert run(together((0, 0.1), (0, 0.3), (0.2, 0.5)))[0] == (0.1, 0.3)


def test_one_that_takes_long_holds_nobody_up_for_long() -> None:
    assert run(together((0, 0.1), (0, 60)))[0] == (0.1, 0.1 + PATIENCE)


def test_a_decision_that_fails_or_is_broken_off_is_not_waited_for() -> None:
    async def story() -> float:
        rush = Rush(PATIENCE)
        with pytest.raises(ZeroDivisionError), rush.part():
            _ = 1 / 0
        broken_off = asyncio.create_task(decides(rush, 0, 60))
        await asyncio.sleep(0.1)
        broken_off.cancel()
        return (await decides(rush, 0, 0.1))[1]

    assert run(story()) == 0.2
