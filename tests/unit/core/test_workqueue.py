"""The work queue: every wish for a visit is honoured, in time, and never two visits of one object at once."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aada_operator.core.errors import Waiting
from aada_operator.core.workqueue import FIRST_BACKOFF, LONGEST_BACKOFF, Key, WorkQueue, backoff
from tests.unit.core.virtual_time import run

A = Key("backups", "school", "a")
B = Key("backups", "school", "b")
# Virtual time takes a nanosecond more per jump.
SLACK = 1e-3


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Recorder:
    """A worker that takes ``takes`` seconds, answers from ``answers`` (an exception is raised) and notes its visits."""

    takes: float = 0.0
    answers: list[float | Exception | None] = field(default_factory=list)
    visits: list[tuple[float, Key]] = field(default_factory=list)
    at_work: "Counter[Key]" = field(default_factory=Counter)

    async def __call__(self, key: Key) -> float | None:
        self.visits.append((now(), key))
        self.at_work[key] += 1
        assert self.at_work[key] == 1, "two visits of one object at once"
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.at_work[key] -= 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def moments(self, key: Key = A) -> list[float]:
        return [round(moment, 3) for moment, visited in self.visits if visited == key]


@dataclass
class Running:
    """A queue that is served."""

    queue: WorkQueue
    task: "asyncio.Task[None]"

    async def stop_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def serve(worker: Recorder, workers: int = 2) -> Running:
    queue = WorkQueue()
    return Running(queue, asyncio.create_task(queue.run(worker, workers)))


def test_a_key_added_many_times_before_its_visit_is_visited_once() -> None:
    async def scenario() -> None:
        worker = Recorder()
        running = serve(worker)
        for _ in range(100):
            running.queue.add(A)
        assert running.queue.depth() == 1
        await running.stop_after(10)
        assert worker.moments() == [0]

    run(scenario())


def test_a_change_during_a_visit_is_not_lost_and_leads_to_exactly_one_more_visit() -> None:
    async def scenario() -> None:
        worker = Recorder(takes=10)
        running = serve(worker)
        running.queue.add(A)
        await asyncio.sleep(3)
        for _ in range(5):
            running.queue.add(A)
        await running.stop_after(100)
        assert worker.moments() == [0, 10]

    run(scenario())


def test_objects_are_visited_beside_one_another() -> None:
    async def scenario() -> None:
        worker = Recorder(takes=10)
        running = serve(worker, workers=2)
        running.queue.add(A)
        running.queue.add(B)
        await running.stop_after(5)
        assert worker.moments(A) == worker.moments(B) == [0]

    run(scenario())


def test_a_visit_that_asks_to_be_repeated_is_repeated_then() -> None:
    async def scenario() -> None:
        worker = Recorder(answers=[30.0, 5.0, None])
        running = serve(worker)
        running.queue.add(A)
        await running.stop_after(1000)
        assert worker.moments() == [0, 30, 35]

    run(scenario())


def test_a_visit_that_asks_to_be_repeated_at_once_is_repeated_at_once() -> None:
    async def scenario() -> None:
        worker = Recorder(answers=[0.0, None])
        running = serve(worker)
        running.queue.add(A)
        await running.stop_after(10)
        assert worker.moments() == [0, 0]

    run(scenario())


def test_the_earliest_of_several_wishes_counts() -> None:
    async def scenario() -> None:
        worker = Recorder()
        running = serve(worker)
        for delay in (50, 20, 70):
            running.queue.add_after(A, delay)
        await running.stop_after(1000)
        assert worker.moments() == [20]

    run(scenario())


def test_a_visit_because_of_a_change_replaces_the_delayed_one() -> None:
    async def scenario() -> None:
        worker = Recorder(answers=[60.0, 60.0])
        running = serve(worker)
        running.queue.add(A)
        await asyncio.sleep(50)
        running.queue.add(A)
        await running.stop_after(59)
        assert worker.moments() == [0, 50], "the resync of the first visit, at 60, must be gone"

    run(scenario())


def test_an_object_that_changes_often_does_not_pile_up_delayed_visits() -> None:
    async def scenario() -> None:
        worker = Recorder(answers=[300.0] * 500)
        running = serve(worker)
        for _ in range(500):
            running.queue.add(A)
            await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        assert len(loop._scheduled) < 250, "timers of visits that took place must go"  # type: ignore[attr-defined]
        await running.stop_after(0)

    run(scenario())


def test_a_visit_that_raises_is_tried_again_later_and_later_until_it_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> list[float]:
        worker = Recorder(answers=[RuntimeError("first"), RuntimeError("second"), None, RuntimeError("third")])
        running = serve(worker)
        running.queue.add(A)
        await asyncio.sleep(100)
        running.queue.add(A)
        await running.stop_after(100)
        return worker.moments()

    with caplog.at_level(logging.ERROR):
        first, second, third, fourth, fifth = run(scenario())
    assert first == 0
    assert 0.8 <= second <= 1.2
    assert 1.6 <= third - second <= 2.4
    assert 0.8 <= fifth - fourth <= 1.2, "a success starts the back-off anew"
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3, "a bug must leave its traceback"


def test_what_is_expected_to_happen_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        running = serve(Recorder(answers=[Waiting("ApiServerUnreachable", "the server does not answer")]))
        running.queue.add(A)
        await running.stop_after(0.5)

    with caplog.at_level(logging.INFO):
        run(scenario())
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert vars(record)["reason"] == "ApiServerUnreachable"


def test_one_failing_object_does_not_keep_others_from_their_visits() -> None:
    async def scenario() -> None:
        worker = Recorder(answers=[RuntimeError("a is broken")])
        running = serve(worker, workers=1)
        running.queue.add(A)
        running.queue.add(B)
        await running.stop_after(0.5)
        assert worker.moments(B) == [0]

    run(scenario())


def test_a_stuck_visit_is_seen_by_its_age() -> None:
    async def scenario() -> None:
        running = serve(Recorder(takes=1000))
        assert running.queue.longest_visit() == 0
        running.queue.add(A)
        await asyncio.sleep(400)
        running.queue.add(B)
        await asyncio.sleep(100)
        assert running.queue.longest_visit() == pytest.approx(500, abs=SLACK)
        await running.stop_after(0)

    run(scenario())


@given(st.integers(1, 10_000))
def test_backoff_grows_and_stays_bounded(failures: int) -> None:
    exact = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 100))
    assert 0.8 * exact <= backoff(failures) <= 1.2 * exact


@dataclass(frozen=True)
class Wish:
    """Somebody wants a visit: ``at`` a time, ``delay`` seconds later."""

    at: float
    key: Key
    delay: float


wishes = st.lists(
    st.builds(Wish, st.floats(0, 100), st.sampled_from([A, B]), st.one_of(st.just(0.0), st.floats(0.001, 100))),
    max_size=30,
)


@settings(max_examples=150)
@given(wishes, st.floats(0, 20), st.integers(1, 3))
def test_every_wish_is_followed_by_a_visit_in_time(wanted: list[Wish], takes: float, workers: int) -> None:
    """Whatever the order of changes, delays and slow visits; the recorder itself asserts one visit at a time."""

    async def scenario() -> Recorder:
        worker = Recorder(takes=takes)
        running = serve(worker, workers)
        for wish in sorted(wanted, key=lambda w: w.at):
            await asyncio.sleep(wish.at - now())
            running.queue.add_after(wish.key, wish.delay) if wish.delay else running.queue.add(wish.key)
        await running.stop_after(1000)
        return worker

    visits = run(scenario()).visits
    for wish in wanted:
        # At worst the key's own visit has just begun, and with one worker the other key's comes between.
        latest = wish.at + wish.delay + 3 * takes + SLACK
        assert any(wish.at - SLACK <= moment <= latest and key == wish.key for moment, key in visits)
    assert len(visits) <= len(wanted), "a visit that nobody wanted"
