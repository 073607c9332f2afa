"""One measurement: one operator, a number of objects, and all figures of it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import aiohttp

from tests.bench.arms import Arm, Operator, running
from tests.bench.audit import AuditLog, Request
from tests.bench.load import Load
from tests.bench.testing_ground import Ground
from tests.testbed.shell import TestbedError

Figures = dict[str, float]
# No phase takes longer on any machine on which the figures would be of use.
PHASE_SECONDS = 180.0
LOOK_SECONDS = 0.5
QUIET_SECONDS = 1.5
OURS = "backuppolicies"


@dataclass(frozen=True)
class Plan:
    """What a measurement does after the first sight; `edits` 0: nothing."""

    size: int
    edits: int = 0
    edits_per_second: float = 20.0


class Watcher:
    """What one operator asked of the API server, from the audit log."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self.requests: list[Request] = []

    def look(self) -> list[Request]:
        self.requests += self._log.new()
        return self.requests

    def since(self, moment: float) -> list[Request]:
        return [request for request in self.look() if request.received >= moment]

    def writes(self, moment: float = 0.0) -> int:
        return sum(request.is_write for request in self.since(moment))

    def watch_begun(self) -> float | None:
        """When the list was asked for that the watch of the measured kind goes on from; None before that."""
        ours = [request for request in self.look() if request.resource == OURS and not request.name]
        begun = next((number for number, request in enumerate(ours) if request.verb == "watch"), None)
        lists = [request.received for request in ours[:begun] if request.verb == "list"]
        return None if begun is None else max(lists)

    def visited(self, moment: float) -> set[str]:
        """Names of the objects that were read since then: every visit begins with that."""
        return {request.name for request in self.since(moment) if request.verb == "get" and request.resource == OURS}


async def measure(arm: Arm, plan: Plan, place: Ground, http: aiohttp.ClientSession, label: str) -> Figures:
    """Start an operator on fresh objects and measure; ends with nothing left of either.

    Raises TestbedError, with the operator's last words, when a phase does not end or the operator does.
    """
    namespace = f"bench-{label}"
    load = Load(http, namespace, plan.size)
    async with phase("make the objects"):
        await load.open()
    try:
        log = place.folder / f"{label}.log"
        with (
            closing(AuditLog(place.cluster.audit_log, place.audit_name(arm.name))) as audit,
            running(arm, namespace, place.kubeconfig(arm.name), log) as operator,
        ):
            return await _figures(plan, load, operator, Watcher(audit))
    finally:
        async with phase("remove the objects"):
            await load.close()


async def _figures(plan: Plan, load: Load, operator: Operator, watcher: Watcher) -> Figures:
    figures = await _first_sight(plan, load, operator, watcher)
    async with phase("become quiet", operator):
        await _quiet(watcher)
    if plan.size:
        # Not earlier: the log has a request a moment after its answer was seen.
        figures["first_sight_writes"] = watcher.writes() / plan.size
    figures |= {"rss_mib": operator.rss(), "start_cpu_s": operator.cpu()}
    if plan.edits:
        figures |= await _edits(plan, load, operator)
        async with phase("become quiet after the edits", operator):
            await _quiet(watcher)
        figures |= await _unchanged(load, operator, watcher)
    return figures


async def _first_sight(plan: Plan, load: Load, operator: Operator, watcher: Watcher) -> Figures:
    async with phase("begin to watch", operator):
        await _until(lambda: watcher.watch_begun() is not None)
    begun = watcher.watch_begun() or 0.0
    figures = {"start_to_watch_s": begun - operator.started}
    if plan.size:
        async with phase("see every object", operator):
            last = await load.first_sight()
        figures |= {
            "first_sight_s": last - operator.started,
            "watch_to_first_sight_s": last - begun,
        }
    return figures


async def _edits(plan: Plan, load: Load, operator: Operator) -> Figures:
    before = operator.cpu()
    async with phase("follow the edits", operator):
        latencies = await load.edit(plan.edits, plan.edits_per_second)
    hundredths = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "edit_p50_ms": hundredths[49] * 1000,
        "edit_p99_ms": hundredths[98] * 1000,
        "edit_cpu_ms": (operator.cpu() - before) / plan.edits * 1000,
    }


async def _unchanged(load: Load, operator: Operator, watcher: Watcher) -> Figures:
    """Wait until each object was visited once more although nothing changed, and count what was written."""
    begin, cpu = time.time(), operator.cpu()
    async with phase("visit every unchanged object again", operator):
        await _until(lambda: watcher.visited(begin).issuperset(load.names))
    return {
        "unchanged_writes": watcher.writes(begin),
        "unchanged_visited": len(watcher.visited(begin)),
        "unchanged_window_s": time.time() - begin,
        "unchanged_cpu_s": operator.cpu() - cpu,
    }


async def _quiet(watcher: Watcher) -> None:
    """Wait until the operator has written nothing for a while, so that what comes next is not its aftermath."""
    await asyncio.sleep(QUIET_SECONDS)
    await _until(lambda: watcher.writes(time.time() - QUIET_SECONDS) == 0)


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def phase(what: str, operator: Operator | None = None) -> AsyncIterator[None]:
    """Bound a phase in time, and by the life of the operator; say what was going on when it fails."""
    watchdog = None
    try:
        async with asyncio.timeout(PHASE_SECONDS) as limit:
            watchdog = asyncio.create_task(_end_with(operator, limit)) if operator else None
            yield
    except* (TimeoutError, aiohttp.ClientError) as errors:
        words = operator.last_words() if operator else ""
        raise TestbedError(f"the phase `{what}` failed ({errors.exceptions[0]!r}):\n{words}") from errors
    finally:
        if watchdog:
            watchdog.cancel()


async def _end_with(operator: Operator, limit: asyncio.Timeout) -> None:
    """A phase that needs the operator need not wait for its whole time when the operator is gone."""
    await _until(lambda: not operator.is_alive())
    limit.reschedule(asyncio.get_running_loop().time())
