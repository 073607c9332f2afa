"""Several things done side by side that succeed or fail together."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import psycopg

from aada_operator.core.errors import OperatorError
from aada_operator.worker.server import Connection

Result = TypeVar("Result")
Item = TypeVar("Item")


class GiveUp:
    """What has to be done for giving up, which may be called for at any time and by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._called = False

    def by(self, action: Callable[[], None]) -> None:
        """Add an action; it is done at once when it is called for already."""
        with self._lock:
            self._actions.append(action)
            late = self._called
        if late:
            action()

    @property
    def called(self) -> bool:
        """Whether it was called for."""
        return self._called

    def __call__(self) -> None:
        with self._lock:
            self._called = True
            actions = list(self._actions)
        for action in actions:
            action()


def run_all(jobs: Sequence[Callable[[], Result]], give_up: GiveUp) -> list[Result]:
    """The results of all jobs, each of which runs in a thread of its own.

    When one fails, ``give_up`` must make the others end soon; the first failure is raised when all have ended.
    """
    with ThreadPoolExecutor(len(jobs), thread_name_prefix="stream") as executor:
        try:
            futures = [executor.submit(job) for job in jobs]
            for done in as_completed(futures):
                done.result()
        except BaseException:
            give_up()
            raise
        return [future.result() for future in futures]


def taken(queue: "deque[Item]") -> Iterator[Item]:
    """Items until none is left; any number of threads may take from one queue."""
    while True:
        try:
            yield queue.popleft()
        except IndexError:
            return


@contextmanager
def one_ahead(work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Iterator[Result]]:
    """Results of ``work`` in the order of ``items``: while one is used, a thread is at the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as executor:
        yield _one_ahead(lambda item: executor.submit(work, item), items)


def _one_ahead(submit: "Callable[[Item], Future[Result]]", items: Iterator[Item]) -> Iterator[Result]:
    waiting = deque(map(submit, islice(items, 1)))
    for item in items:
        waiting.append(submit(item))
        yield waiting.popleft().result()
    for last in waiting:
        yield last.result()


@contextmanager
def in_background(work: Callable[[], Result], connection: Connection, give_up: GiveUp) -> "Iterator[Future[Result]]":
    """Run ``work``, which uses ``connection``, beside the body.

    When it fails, ``give_up`` makes the body fail, and its own error is raised instead of the body's. When the body
    fails first, its statement is cancelled, and what it says then is a consequence that nobody needs to hear.
    """
    causes: list[BaseException] = []

    def ended(done: "Future[Result]") -> None:
        if error := done.exception():
            if not give_up.called:
                causes.append(error)
            give_up()

    with ThreadPoolExecutor(1, thread_name_prefix="measure") as executor:
        future = executor.submit(work)
        future.add_done_callback(ended)
        give_up.by(partial(_cancel, future, connection))
        try:
            yield future
        except BaseException:
            cause = next(iter(causes), None)
            _cancel(future, connection)
            if isinstance(cause, OperatorError):
                raise cause from None
            raise


def _cancel(future: "Future[Any]", connection: Connection) -> None:
    # A cancellation that arrives between two statements hits none of them, so it is repeated.
    while not future.done():
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=5)
        wait([future], timeout=1)
