"""Pods leave one after another, and an autoscaler that looks late or early undoes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core import capacity
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.database import ConnectionLimits
from aada_operator.core.resources import AUTOSCALERS, DEPLOYMENTS, PODS, Object
from aada_operator.lms import manifests
from aada_operator.lms.sizes import Size
from tests.unit.lms.samples import owner
from tests.unit.scaling.samples import component, lms
from tests.unit.scaling.world import CONTROLLER, DEPLOYMENT, KEY, POLICY, Make, World, scaling

# Five pods of ten connections were there, and the server has room for three now.
FEWER = ConnectionLimits(72, 3)


def rollout(size: Size | None = None, grace: int | None = None, **patch: Any) -> Object:
    """What the Deployment of a component says of its rollouts."""
    pods = {"podTemplate": {"spec": {"terminationGracePeriodSeconds": grace}}} if grace is not None else {}
    school = lms(component(**{**patch, **pods}), component("tasks"))
    found: Object = manifests.deployment(owner(), school, school.components[0], {}, size)["spec"]
    return found


@pytest.mark.parametrize("grace", [0, 1, 30, 45, 600])
def test_no_more_pods_are_leaving_than_connections_are_counted_for(grace: int) -> None:
    """Whatever their requests do: each has ended when its grace period has."""
    pace = rollout(Size(None, "2"), grace)["minReadySeconds"]
    leave_at = range(0, 10_000, pace)
    for moment in leave_at[:50]:
        assert sum(left <= moment < left + grace for left in leave_at) <= capacity.LEAVING


def test_a_rollout_is_paced_where_more_may_leave_than_are_counted() -> None:
    assert rollout(replicas=3)["minReadySeconds"] == 23
    assert rollout(Size(None, "1"), replicas=1)["minReadySeconds"] == 23, "a policy may have made it large"
    assert "minReadySeconds" not in rollout(replicas=2)
    assert "minReadySeconds" not in rollout(Size(None, "3"), replicas=3, role="web"), "it has no connections"


def test_a_rollout_that_is_paced_has_as_much_time_to_make_progress() -> None:
    """The API server refuses a deadline that is not longer than that."""
    slow = rollout(replicas=3, grace=3600)
    assert slow["progressDeadlineSeconds"] == slow["minReadySeconds"] + manifests.PROGRESS_SECONDS


async def test_an_autoscaler_takes_pods_away_at_the_pace_of_a_rollout(make: Make) -> None:
    world = await scaling(make)
    pace = world.server.read(DEPLOYMENTS, DEPLOYMENT)["spec"]["minReadySeconds"]
    down = world.server.read(AUTOSCALERS, POLICY)["spec"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": pace}]


@pytest.fixture
async def crowded(make: Make) -> World:
    """Five pods, as the load asks for."""
    world = await scaling(make)
    world.load = 5
    await world.turns(6)
    assert world.pods == 5
    return world


async def test_the_autoscaler_has_its_bounds_before_the_size_changes(crowded: World) -> None:
    """One that sees the new size and the old bounds would put the old size back."""
    crowded.limits = FEWER
    writes = [one for one in await crowded.visit() if one.startswith("apply")]
    kinds = [one.split()[1].partition("/")[0] for one in writes]
    assert kinds[:2] == [AUTOSCALERS.plural, DEPLOYMENTS.plural]
    assert (crowded.pods, crowded.bounds) == (4, (2, 4))


async def test_what_an_autoscaler_that_read_old_bounds_put_back_is_taken_away_at_once(crowded: World) -> None:
    crowded.limits = FEWER
    await crowded.visit()
    crowded.server.set_size(5, CONTROLLER)
    said = {"desiredReplicas": 5, "lastScaleTime": to_rfc3339(crowded.clock.now())}
    crowded.server.read(AUTOSCALERS, POLICY)["status"] |= said
    await crowded.visit()
    assert (crowded.pods, crowded.bounds) == (4, (2, 4))
    assert crowded.said("ReplicasManaged") == "True ByPolicy", "nobody did that by hand"


def leave(world: World, count: int) -> None:
    """Pods that are on their way out."""
    labels = {LABEL_LMS: "aada", LABEL_COMPONENT: "backend"}
    for number in range(count):
        metadata = {"name": f"left-{number}", "labels": labels, "deletionTimestamp": "2026-03-01T04:00:00Z"}
        world.server.add(PODS, {"metadata": metadata})


async def test_pods_that_leave_keep_their_connections_until_they_end(make: Make) -> None:
    world = await scaling(make)
    leave(world, 3)
    delay = await world.controller.visit(KEY)
    assert (world.pods, world.bounds) == (2, (2, 2)), "of five that the server bears three are leaving"
    assert world.status["limitedBy"] == "ConnectionBudget"
    assert delay is not None
    assert delay <= 5, "nothing tells when a pod has ended"
    for number in range(3):
        world.server.remove(PODS, f"left-{number}")
    await world.visit()
    assert world.bounds == (2, 5)


async def test_pods_come_back_as_those_end_that_somebody_removed_by_hand(make: Make) -> None:
    world = await scaling(make, minReplicas=4)
    await world.turns(2)
    assert world.pods == 4
    world.server.set_size(0, "kubectl")
    leave(world, 4)
    await world.visit()
    assert world.pods == 1, "five that the server bears, of which four are leaving"
    for number in range(4):
        world.server.remove(PODS, f"left-{number}")
    await world.turns(1)
    assert world.pods == 4
