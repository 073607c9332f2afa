"""Work that is one item ahead of its use: in order, never further, and an error comes where its result would."""

from __future__ import annotations

import threading

import pytest

from aada_operator.core.errors import Waiting
from aada_operator.worker.parallel import one_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_results_come_in_order(count: int) -> None:
    with one_ahead(lambda item: item * 2, iter(range(count))) as results:
        assert list(results) == [item * 2 for item in range(count)]


def test_the_next_is_worked_on_while_one_is_used_and_none_further() -> None:
    begun: list[int] = []
    second = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            second.set()
        return item

    with one_ahead(work, iter(range(9))) as results:
        assert next(results) == 0
        assert second.wait(5)
    assert begun == [0, 1]


def test_an_error_is_raised_in_its_place() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise Waiting("Here", "at the second")
        return item

    with one_ahead(work, iter(range(3))) as results:
        assert next(results) == 0
        with pytest.raises(Waiting, match="at the second"):
            next(results)
