"""Operations go on where the world says they are, whatever was killed in between."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aada_operator.api.common import StepStatus
from aada_operator.core import steps
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Waiting
from aada_operator.core.steps import Progress, Step, advance

NAMES = ("Fence", "Copy", "Swap")
START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: nothing that stood in its memory survives."""


@dataclass
class World:
    """What really happened, and the status that was written before the process died."""

    done: set[str] = field(default_factory=set)
    acted: list[str] = field(default_factory=list)
    status: list[dict[str, Any]] = field(default_factory=list)
    current: str | None = ""
    visits: int = 0

    def steps(self, **trouble: Exception) -> list[Step]:
        return [self._step(name, trouble.get(name)) for name in NAMES]

    def _step(self, name: str, trouble: Exception | None) -> Step:
        async def done() -> bool:
            return name in self.done

        async def act() -> None:
            if trouble:
                raise trouble
            self.acted.append(name)
            self.done.add(name)

        return Step(name, done, act)

    def visit(self, operation: list[Step] | None = None) -> bool:
        self.visits += 1
        moment = START + timedelta(minutes=self.visits)
        return asyncio.run(advance("swap", operation or self.steps(), self.status, moment, self._record))

    def _record(self, progress: Progress) -> None:
        self.status, self.current = progress.steps, progress.current


def test_takes_one_step_per_visit_in_order_and_then_is_done() -> None:
    world = World()
    assert [world.visit() for _ in range(4)] == [False, False, False, True]
    assert world.acted == list(NAMES)
    assert world.current is None


def test_the_status_tells_when_each_step_began_and_ended() -> None:
    world = World()
    for _ in range(4):
        world.visit()
    minutes = [to_rfc3339(START + timedelta(minutes=n)) for n in range(5)]
    assert world.status == [
        {"name": "Fence", "startedAt": minutes[1], "finishedAt": minutes[2]},
        {"name": "Copy", "startedAt": minutes[2], "finishedAt": minutes[3]},
        {"name": "Swap", "startedAt": minutes[3], "finishedAt": minutes[4]},
    ]
    for entry in world.status:
        StepStatus.model_validate(entry)


def test_steps_to_come_are_listed_from_the_beginning() -> None:
    world = World()
    world.visit()
    assert [entry["name"] for entry in world.status] == list(NAMES)
    assert world.status[2] == {"name": "Swap"}


def test_a_visit_that_finds_everything_done_changes_nothing() -> None:
    world = World()
    for _ in range(4):
        world.visit()
    before = [dict(entry) for entry in world.status]
    assert world.visit()
    assert world.status == before


@pytest.mark.parametrize("step", NAMES)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("status_written", [True, False])
def test_a_kill_around_any_step_loses_nothing_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, step: str, side: str, status_written: bool
) -> None:
    world = World()
    armed = {f"swap.{step}.{side}-act"}

    def kill(name: str) -> None:
        if name in armed:
            armed.clear()
            raise Killed

    monkeypatch.setattr(steps, "failpoint", kill)
    for _ in range(5):
        written = world.status
        try:
            world.visit()
        except Killed:
            world.status = world.status if status_written else written
    assert world.acted == list(NAMES)
    assert world.current is None
    assert not armed, "the fail-point was never reached"


def test_a_step_that_waits_is_seen_in_the_status_and_stops_those_after_it() -> None:
    world = World()
    world.visit()
    with pytest.raises(Waiting):
        world.visit(world.steps(Copy=Waiting("LockTimeout", "somebody holds a lock")))
    assert world.current == "Copy"
    assert "startedAt" in world.status[1]
    assert "finishedAt" not in world.status[1]
    assert world.acted == ["Fence"]


def test_a_step_that_cannot_tell_whether_it_is_done_is_seen_in_the_status() -> None:
    """As when a server does not answer: whoever looks must not be told of the step before."""

    async def silent() -> bool:
        raise Waiting("ConnectionRefused", "nobody answers")

    world = World()
    world.visit()
    fence, copy, swap = world.steps()
    with pytest.raises(Waiting):
        world.visit([fence, Step(copy.name, silent, copy.act), swap])
    assert world.current == "Copy"
    assert [sorted(entry) for entry in world.status] == [
        ["finishedAt", "name", "startedAt"],
        ["name", "startedAt"],
        ["name"],
    ]
    assert world.acted == ["Fence"]


def test_a_step_that_waited_keeps_the_time_of_its_first_try() -> None:
    world = World()
    for _ in range(3):
        with pytest.raises(Waiting):
            world.visit(world.steps(Fence=Waiting("LockTimeout", "somebody holds a lock")))
    assert world.status[0]["startedAt"] == to_rfc3339(START + timedelta(minutes=1))


def test_a_step_that_is_undone_by_somebody_is_done_again() -> None:
    world = World()
    for _ in range(4):
        world.visit()
    world.done.discard("Copy")
    assert not world.visit()
    assert world.acted[-1] == "Copy"
    assert "finishedAt" not in world.status[1]


def test_what_the_status_says_is_never_believed() -> None:
    world = World(status=[{"name": name, "startedAt": "x", "finishedAt": "y"} for name in NAMES])
    for _ in range(4):
        world.visit()
    assert world.acted == list(NAMES)


def test_a_step_that_has_begun_and_waits_can_be_killed_after_it_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[str] = []
    monkeypatch.setattr(steps, "failpoint", points.append)
    with pytest.raises(Waiting):
        World().visit(World().steps(Fence=Waiting("Draining", "sessions end", 1.0)))
    assert points == ["swap.Fence.before-act", "swap.Fence.after-act"]
