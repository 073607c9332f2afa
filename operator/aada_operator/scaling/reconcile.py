"""A ScalingPolicy, visited: the size handed over, the bounds found, the autoscaler kept, others kept from the size.

The operator remembers nothing: whose size it is stands on the Deployment, the bounds, and what was asked for lately, on
the autoscaler, the limit on the server.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

from aada_operator.adapters import children
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import lms_spec
from aada_operator.api.scaling import ANNOTATION_TAKE_OVER, ScalingPolicySpec
from aada_operator.core.coalesce import Coalescing
from aada_operator.core.controller import Capability, is_held
from aada_operator.core.database import UNLIMITED, ConnectionLimits
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.core.managed_fields import SCALING_MANAGER
from aada_operator.core.resources import AADA_LMS, AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES, Object, key_of
from aada_operator.scaling import (
    activity,
    budget,
    calendar,
    connections,
    decide,
    demand,
    hold,
    manifests,
    queries,
    report,
)
from aada_operator.scaling.budget import Connections
from aada_operator.scaling.calendar import Says
from aada_operator.scaling.closures import ClosureReader
from aada_operator.scaling.decide import Bounds, Size
from aada_operator.scaling.fence import set_limit
from aada_operator.scaling.gauges import gauges
from aada_operator.scaling.hold import Hold
from aada_operator.scaling.memory import Memory, recall
from aada_operator.scaling.report import Seen
from aada_operator.scaling.rush import FOR_DECISIONS, FOR_LOOKS, Rush
from aada_operator.scaling.world import LATER, SOON, ScalingVisit, World, observe, own_autoscaler, target_of

logger = logging.getLogger(__name__)
# The server's settings are not watched: they are asked this often, in seconds.
RESYNC = 30.0
# Queries are asked as often as Kubernetes asks its metrics.
QUERIED = 15.0
# Nothing tells that a pod has ended for which another waits.
LEFT = 5.0


def capability(kube: Kube, allow_local: bool) -> Capability[ScalingPolicySpec]:
    """The kind ScalingPolicy; ``allow_local``: database hosts may be loopback addresses."""
    one = ScalingReconciler(kube, allow_local)
    return Capability(SCALING_POLICIES, ScalingPolicySpec, report.KNOWN, one.reconcile, gauges, one.finalize)


class ScalingReconciler:
    """Brings policies about; it remembers nothing but what it has read of files that did not change."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local
        self._closures = ClosureReader(kube)
        self._limits = Coalescing[ConnectionLimits]()
        self._looks, self._decisions = Rush(FOR_LOOKS), Rush(FOR_DECISIONS)

    async def reconcile(self, visit: ScalingVisit) -> float:
        """One visit; returns seconds until the next."""
        began, now = time.monotonic(), visit.now
        if visit.spec.suspend:
            return await self._pause(visit)
        with self._decisions.part():
            with self._looks.part():
                world, seen = await self._decide(visit)
            await self._looks.over()
            # The moment that was decided for may still be to come.
            began += (visit.now - now).total_seconds()
            await asyncio.sleep(began - time.monotonic())
            # The bounds first: an autoscaler that sees the new size and the old bounds puts the old size back.
            bounded = await self._bound(visit, world, seen, world.autoscaler)
            failpoint("scaling.after-autoscaler")
            await self._bring_within(visit, world, seen)
        await self._decisions.over()
        after, live = await self._watch(visit, world, seen, bounded)
        report.scaling(visit, world.deployment, after, live)
        await self._fence(visit, world, after)
        if after.memory.database.on != seen.memory.database.on:
            return 0.0
        return max(0.0, _due(visit, world, after) - (time.monotonic() - began))

    async def _decide(self, visit: ScalingVisit) -> tuple[World, Seen]:
        """Take the size over where it is not ours yet; what is there, and the bounds that follow."""
        target = await target_of(self._kube, visit)
        # The database takes longest to ask: meanwhile the rest is read.
        asking = asyncio.create_task(connections.ask(self._kube, visit, target, self._allow_local, self._limits))
        try:
            world = await observe(self._kube, visit, target)
            await self._make_room(visit, world)
            await self._take_size(world)
            return world, await self._see(visit, world, asking)
        finally:
            asking.cancel()

    async def finalize(self, visit: ScalingVisit) -> float | None:
        """The policy is deleted: nothing is scaled any more, the size stays, the limit goes."""
        await self._stop(visit)
        try:
            await self._lift(visit)
        except Waiting as waiting:
            if waiting.reason != "AadaLmsNotFound":
                raise
        return None

    async def _pause(self, visit: ScalingVisit) -> float:
        await self._stop(visit)
        name = manifests.deployment_name(visit.spec)
        report.paused(visit, await self._kube.get(DEPLOYMENTS, visit.namespace, name))
        if is_held(visit.body):
            await self._lift(visit)
        return RESYNC

    async def _stop(self, visit: ScalingVisit) -> None:
        if ours := await own_autoscaler(self._kube, visit):
            await self._kube.delete(AUTOSCALERS, ours)

    async def _lift(self, visit: ScalingVisit) -> None:
        """Take the limit from the roles.

        Raises:
            Waiting: AadaLmsNotFound, or why the server cannot be asked.
        """
        name = visit.spec.target.lms_ref.name
        body = await self._kube.get(AADA_LMS, visit.namespace, name)
        spec = lms_spec(body, name)
        assert body, "lms_spec raises when there is none"  # noqa: S101
        found = await connections.limits_of(self._kube, visit, body, spec, self._allow_local)
        await set_limit(self._kube, visit, spec.database, found, UNLIMITED, allow_local=self._allow_local)

    async def _make_room(self, visit: ScalingVisit, world: World) -> None:
        """Never scale beside another autoscaler; one that a person names may go.

        Raises:
            Stalled: AnotherAutoscaler.
        """
        for other in decide.rivals(world.autoscalers, world.deployment["metadata"]["name"], visit.uid):
            name = other["metadata"]["name"]
            if visit.annotations.get(ANNOTATION_TAKE_OVER) == name:
                logger.info("another autoscaler is taken over", extra={"object": str(key_of(visit.body)), "hpa": name})
                await self._kube.delete(AUTOSCALERS, other)
                continue
            await self._stop(visit)
            command = f"kubectl annotate scp {visit.name} {ANNOTATION_TAKE_OVER}={name}"
            message = f"HorizontalPodAutoscaler {name} scales it, too: delete that one, or have it deleted: {command}"
            raise Stalled("AnotherAutoscaler", message)

    async def _take_size(self, world: World) -> None:
        """Hold the number of pods as it is, once the AadaLms leaves it alone: so it lasts when that applies none.

        Raises:
            Waiting: HandingOver, LmsSuspended.
        """
        if not decide.is_handed_over(world.deployment):
            if world.spec.suspend:
                message = "spec.suspend of the AadaLms is true, so its Deployment stays as it is: set it to false"
                raise Waiting("LmsSuspended", message, LATER)
            raise Waiting("HandingOver", "the AadaLms is about to leave the number of pods to this policy", SOON)
        if world.autoscaler is None and not decide.is_held(world.deployment, None):
            # An autoscaler does nothing for a Deployment of no pods.
            await self._apply_size(world, decide.wanted(world.deployment) or 1)
            failpoint("scaling.after-take")

    async def _apply_size(self, world: World, replicas: int) -> None:
        await self._kube.apply(DEPLOYMENTS, manifests.size(world.deployment, replicas), SCALING_MANAGER)

    async def _see(self, visit: ScalingVisit, world: World, asking: Awaitable[Connections]) -> Seen:
        """What bears on the size, and the bounds that follow, at the moment that the visit decides for."""
        spec = visit.spec
        closures = await self._closures.look(visit.namespace, spec.calendar, visit.now)
        visit.now, upcoming = calendar.ahead(spec.calendar, visit.now, closures.times)
        size = decide.meant(world.deployment, world.autoscaler, spec, visit.now)
        asked, readings = await asyncio.gather(asking, queries.look(self._kube, visit, size.wanted, self._allow_local))
        found = connections.solve(asked, visit, world)
        says = calendar.at(spec.calendar, visit.now, closures.times)
        lost = demand.gets_none(spec, world.autoscaler)
        recalled = recall(world.autoscaler)
        memory = demand.follow(spec, recalled, readings, lost, size.wanted, visit.now)
        # Without metrics of its own an autoscaler never has a choice: that says nothing of an operation.
        held = hold.holder(world.claims, world.deployment, world.autoscaler if spec.resource_metrics() else None)
        bounds = _bounds(spec, world, size, says, memory, found, held)
        memory = decide.noted(spec, memory, bounds)
        return Seen(bounds, size, says, upcoming, closures, found, readings, memory, held)

    async def _watch(self, visit: ScalingVisit, world: World, seen: Seen, live: Object) -> tuple[Seen, Object]:
        """What the database does, once all is done that cannot wait: it counts from the next visit on.

        That it is the limit now counts at once: another visit would take as long again, in which pods could be added.
        """
        pressure = await activity.look(self._kube, visit, world, self._allow_local)
        memory = decide.followed(seen.memory, visit.spec, pressure, visit.now)
        after = replace(seen, memory=memory, pressure=pressure)
        if memory.database.on and not seen.memory.database.on:
            after = await self._held(visit, world, after, live)
        if after.memory != seen.memory:
            live = await self._bound(visit, world, after, live)
            failpoint("scaling.after-watch")
        return after, live

    async def _held(self, visit: ScalingVisit, world: World, seen: Seen, live: Object) -> Seen:
        """The bounds around the size that is there now: a pod that came since this visit looked is to stay."""
        spec, name = visit.spec, manifests.deployment_name(visit.spec)
        deployment = await self._kube.get(DEPLOYMENTS, visit.namespace, name) or world.deployment
        now = replace(world, deployment=deployment, autoscaler=live)
        size = decide.meant(deployment, live, spec, visit.now)
        bounds = _bounds(spec, now, size, seen.says, seen.memory, seen.connections, seen.hold)
        return replace(seen, bounds=bounds, memory=decide.noted(spec, seen.memory, bounds))

    async def _bound(self, visit: ScalingVisit, world: World, seen: Seen, live: Object | None) -> Object:
        """Give the autoscaler its bounds, and what is to be remembered; returns it as it is then."""
        pace = decide.pace(world.deployment)
        wanted = manifests.autoscaler(visit.body, visit.spec, seen.bounds, seen.memory, pace)
        return (await children.ensure(self._kube, AUTOSCALERS, wanted, live)).live

    async def _bring_within(self, visit: ScalingVisit, world: World, seen: Seen) -> None:
        """Apply a size that the bounds allow, at once; put back one that somebody set by hand, and say so.

        An autoscaler alone would leave no pods at none. In the visit that makes it, the size was taken as it was.
        """
        if world.autoscaler is None:
            return
        by = decide.set_by_hand(world.deployment, world.autoscaler)
        was, now = decide.wanted(world.deployment), decide.within(seen.size, seen.bounds)
        if not by and was == now:
            return
        await self._apply_size(world, now)
        failpoint("scaling.after-size")
        detail = {"object": str(key_of(visit.body)), "was": was, "now": now}
        if by:
            report.corrected(visit, by, was, now)
            logger.warning("a size set by hand was put back", extra=detail | {"by": by})
        else:
            logger.info("scaled", extra=detail | {"min": seen.bounds.min, "max": seen.bounds.max})

    async def _fence(self, visit: ScalingVisit, world: World, seen: Seen) -> None:
        """Limit the roles where the budget holds; what cannot be done now is told, and tried at the next visit."""
        limits, solved = seen.connections.limits, seen.connections.solved
        leads = decide.leader(world.policies, visit.spec) == visit.name
        try:
            if visit.spec.connection_budget == "Enforce" and leads and limits and solved:
                wanted = budget.fence(solved, seen.size.wanted)
                database, local = world.spec.database, self._allow_local
                await set_limit(self._kube, visit, database, limits, wanted, allow_local=local)
                report.fenced(visit, limits, wanted)
            else:
                if is_held(visit.body) and not seen.connections.failed:
                    await self._lift(visit)
                report.unfenced(visit, seen)
        except Waiting as waiting:
            report.not_fenced(visit, waiting)


def _bounds(
    spec: ScalingPolicySpec, world: World, size: Size, says: Says, memory: Memory, found: Connections, held: Hold | None
) -> Bounds:
    last = decide.last_maximum(spec, world.autoscaler, recall(world.autoscaler))
    bounds = decide.bounds(spec, says, _top(spec, last, size, memory, found), size, memory.floor, held, last)
    return decide.beside(bounds, spec, found.solved, decide.wanted(world.deployment), world.leaving)


def _top(spec: ScalingPolicySpec, last: int | None, size: Size, memory: Memory, found: Connections) -> tuple[int, str]:
    """Pods at the most, and why no more."""
    if found.failed and spec.connection_budget == "Enforce":
        top = decide.without_answer(spec, last, size)
    else:
        top = decide.upper(spec, found.solved)
    return decide.held(spec, top, size, memory)


def _due(visit: ScalingVisit, world: World, seen: Seen) -> float:
    """Seconds from the moment that the visit decides for until the next visit."""
    due = [QUERIED if seen.readings else RESYNC]
    if seen.upcoming:
        due.append((seen.upcoming.time - visit.now - calendar.LEAD).total_seconds())
    if decide.is_stepping_down(visit.spec, seen.bounds, seen.connections.solved):
        due.append(decide.pace(world.deployment))
    if world.leaving and seen.bounds.limited_by == decide.CONNECTION_BUDGET:
        due.append(LEFT)
    return min(due)
