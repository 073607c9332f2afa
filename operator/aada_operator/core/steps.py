"""Operations as ordered steps that survive a kill at any point.

Each step can tell from the real world whether it is done, and acting twice does no harm. So nothing has to be
remembered: after a crash the list is asked from its beginning and goes on at the first step that is not done.
Progress in ``status.steps`` is for people; decisions never read it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import OperatorError
from aada_operator.core.failpoints import failpoint


@dataclass(frozen=True)
class Step:
    """One step.

    ``done`` asks the world; ``act`` brings the step about or begins it, and may raise Waiting or Stalled.
    """

    name: str
    done: Callable[[], Awaitable[bool]]
    act: Callable[[], Awaitable[None]]


def demand(name: str, check: Callable[[], Awaitable[object]]) -> Step:
    """A step that is done when its check passes, and can do nothing but say why it does not."""
    trouble: list[OperatorError] = []

    async def done() -> bool:
        try:
            await check()
        except OperatorError as error:
            trouble.append(error)
        return not trouble

    async def act() -> None:
        raise trouble[0]

    return Step(name, done, act)


def unless(holds: Callable[[], Awaitable[bool]], step: Step) -> Step:
    """A step that is done as well once something later holds, after which it could not be asked or acted any more."""

    async def done() -> bool:
        return await holds() or await step.done()

    return Step(step.name, done, step.act)


@dataclass(frozen=True)
class Progress:
    """Where an operation is after one visit: ``current`` is None when all steps are done."""

    current: str | None
    steps: list[dict[str, Any]]


async def advance(
    operation: str,
    steps: Sequence[Step],
    recorded: list[dict[str, Any]],
    now: datetime,
    record: Callable[[Progress], None],
) -> bool:
    """Take the first step that is not done, once; True when none was left.

    ``record`` gets the progress before the step acts, so that a step that waits or fails is seen in the status; also
    one that cannot even be asked whether it is done.

    Raises:
        Waiting, Stalled: as the step says.
    """
    known = {entry["name"]: entry for entry in recorded}
    entries: list[dict[str, Any]] = []
    for position, step in enumerate(steps):
        started = _started(known.get(step.name, {}), step.name, now)
        later = [known.get(other.name, {"name": other.name}) for other in steps[position + 1 :]]
        try:
            done = await step.done()
        except OperatorError:
            record(Progress(step.name, [*entries, started, *later]))
            raise
        if done:
            entries.append(_finished(known.get(step.name, {}), step.name, now))
            continue
        record(Progress(step.name, [*entries, started, *later]))
        failpoint(f"{operation}.{step.name}.before-act")
        try:
            await step.act()
        finally:
            # Also for what was only begun, and is waited for now.
            failpoint(f"{operation}.{step.name}.after-act")
        return False
    record(Progress(None, entries))
    return True


def _started(known: dict[str, Any], name: str, now: datetime) -> dict[str, Any]:
    return {"name": name, "startedAt": known.get("startedAt") or to_rfc3339(now)}


def _finished(known: dict[str, Any], name: str, now: datetime) -> dict[str, Any]:
    moment = to_rfc3339(now)
    return {
        "name": name,
        "startedAt": known.get("startedAt") or moment,
        "finishedAt": known.get("finishedAt") or moment,
    }
