"""While somebody works on the LMS nobody leaves and the load is not followed; afterwards it goes on by itself."""

from __future__ import annotations

from typing import Any

import kopf
import pytest

from aada_operator.adapters import interlock
from aada_operator.core.database import ConnectionLimits
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import (
    AADA_LMS,
    BACKUPS,
    LEASES,
    RESTORES,
    SCALING_POLICIES,
    SECRET_ROTATIONS,
    ApiResource,
    Object,
)
from aada_operator.core.workqueue import Key
from aada_operator.scaling import handlers
from aada_operator.scaling.calendar import Says
from aada_operator.scaling.decide import Bounds, Size, bounds, upper
from aada_operator.scaling.hold import Hold, holder
from tests.unit.backups.api_server import NAMESPACE, custom_resource
from tests.unit.scaling.samples import TARGET, spec
from tests.unit.scaling.world import KEY, POLICY, Make, World, scaling

FOUR = Size(4, settled=True)
RELEASE = Hold("a release")
ROLLOUT = Hold("the rollout of Deployment aada-backend")
TOP = upper(spec(), None)


def claim(operation: Operation, kind: str = "SecretRotation", name: str = "login") -> Claim:
    return Claim(uid="u", kind=kind, name=name, operation=operation, since="2026-03-01T00:00:00Z", held=True)


def deployment(replicas: int = 4, updated: int = 4, seen: int = 3, reason: str = "ReplicaSetUpdated") -> Object:
    status = {"replicas": replicas, "updatedReplicas": updated, "observedGeneration": seen}
    status["conditions"] = [{"type": "Progressing", "reason": reason}]  # type: ignore[assignment]
    return {"metadata": {"name": "aada-backend", "generation": 3}, "spec": {"replicas": 4}, "status": status}


@pytest.mark.parametrize("operation", [Operation.MIGRATION, Operation.CUTOVER, Operation.ROTATION])
def test_releases_cutovers_and_rotations_hold_the_size(operation: Operation) -> None:
    found = holder([claim(operation)], deployment(), None)
    assert found is not None
    assert (found.by, found.strict) == (f"SecretRotation login ({operation})", operation is Operation.ROTATION)


def test_a_backup_disturbs_no_pod_and_holds_nothing() -> None:
    both = [claim(Operation.BACKUP, "Backup", "nightly"), claim(Operation.ROTATION)]
    assert holder(both[:1], deployment(), None) is None
    assert holder(both, deployment(), None) == Hold("SecretRotation login (Rotation)", strict=True)


def test_who_only_waits_holds_nothing() -> None:
    waiting = claim(Operation.MIGRATION).model_copy(update={"held": False})
    assert holder([waiting], deployment(), None) is None


def test_a_rollout_holds_the_size_as_long_as_it_makes_progress() -> None:
    """One that is stuck, say for an image that is not there, may not leave a class with too few pods."""
    assert holder([], deployment(replicas=5, updated=2), None) == ROLLOUT
    assert holder([], deployment(replicas=5, updated=2, reason="ProgressDeadlineExceeded"), None) is None
    assert holder([], deployment(), None) is None


def test_between_a_migration_and_its_rollout_the_size_is_not_let_go() -> None:
    """The Deployment is changed already, and its status is of before."""
    live = {"spec": {"minReplicas": 4, "maxReplicas": 4}}
    assert holder([], deployment(seen=2), live) == ROLLOUT
    assert holder([], deployment(), live) is None
    assert holder([], deployment(seen=2), {"spec": {"minReplicas": 2, "maxReplicas": 5}}) is None, (
        "the load was followed"
    )


def test_the_size_is_held_from_both_sides_and_the_calendar_may_add() -> None:
    assert bounds(spec(), Says(), TOP, FOUR, hold=RELEASE) == Bounds(4, 4, "Operation")
    assert bounds(spec(), Says(5, "class hours"), TOP, FOUR, hold=RELEASE) == Bounds(5, 5, "Operation")
    assert bounds(spec(), Says(5, freeze="visit"), TOP, FOUR, hold=RELEASE) == Bounds(4, 4, "Freeze")


def test_the_calendar_adds_no_more_than_the_database_bears_and_nobody_leaves_for_it() -> None:
    exam = Says(9, "exam finals")
    assert bounds(spec(maxReplicas=9), exam, (5, "ConnectionBudget"), FOUR, hold=RELEASE) == Bounds(5, 5, "Operation")
    assert bounds(spec(maxReplicas=9), exam, (3, "ConnectionBudget"), FOUR, hold=RELEASE) == Bounds(4, 4, "Operation")


def test_a_rotation_has_counted_its_pods_and_not_even_the_calendar_adds_any() -> None:
    assert bounds(spec(), Says(5, "class hours"), TOP, FOUR, hold=Hold("a rotation", strict=True)).max == 4


# --- in the cluster -------------------------------------------------------------------------------------------------


async def begins(world: World, kind: ApiResource, operation: Operation, name: str = "login") -> None:
    """Somebody claims the LMS and works on it."""
    body = world.server.add(kind, custom_resource(kind.kind, name, {}))
    await interlock.claim(world.server, NAMESPACE, "aada", Claim.of(body, operation, world.clock.now()))  # type: ignore[arg-type]


async def ends(world: World, kind: ApiResource, name: str = "login") -> None:
    uid = world.server.read(kind, name)["metadata"]["uid"]
    await interlock.release(world.server, NAMESPACE, "aada", uid)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "operation"),
    [(SECRET_ROTATIONS, Operation.ROTATION), (RESTORES, Operation.CUTOVER)],
)
async def test_pods_stay_while_somebody_works_on_the_lms_and_go_when_that_is_done(
    make: Make, kind: ApiResource, operation: Operation
) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    await begins(world, kind, operation)
    world.load = 2
    await world.turns(4)
    assert (world.pods, world.bounds, world.status["limitedBy"]) == (4, (4, 4), "Operation")
    assert world.said() == "True HeldByOperation"
    assert f"4 pods stay until {kind.kind} login ({operation}) is done" in world.told()
    assert await world.visit() == [], "and that costs nothing"
    await ends(world, kind)
    await world.turns(3)
    assert (world.pods, world.bounds, world.said()) == (2, (2, 5), "True Scaling")


async def test_the_load_is_not_followed_and_the_class_gets_its_pods(make: Make) -> None:
    """The clock of these tests stands at 01:30."""
    hours = {"days": ["SUN"], "from": "02:00", "to": "03:00", "minReplicas": 4}
    world = await scaling(make, calendar={"timeZone": "Etc/UTC", "classHours": [hours], "prewarm": "15m"})
    await begins(world, RESTORES, Operation.CUTOVER)
    world.load = 5
    await world.turns(3)
    assert world.pods == 2
    assert world.said("ScalingLimited") == "True AtMaximum"
    world.clock.advance(minutes=15)
    await world.turns(2)
    assert world.pods == 4
    assert "4 pods for class hours stay until Restore login (Cutover) is done" in world.told()
    world.load = 2
    world.clock.advance(minutes=75)
    await world.turns(2)
    assert world.pods == 4, "the class is over, the Cutover is not"


async def test_a_server_that_bears_fewer_pods_waits_for_the_end_and_is_told_at_once(make: Make) -> None:
    world = await scaling(make)
    world.load = 5
    await world.turns(4)
    await begins(world, SECRET_ROTATIONS, Operation.ROTATION)
    world.limits = ConnectionLimits(72, 3, roles=world.limits.roles)
    await world.turns(4)
    assert (world.pods, world.fence) == (5, -1)
    assert world.said("ConnectionBudgetExceeded") == "True MaxReplicasTooHigh"
    await ends(world, SECRET_ROTATIONS)
    world.sizes.clear()
    await world.until(lambda: world.pods == 3)
    assert all(a - b <= 1 for a, b in zip(world.sizes, world.sizes[1:], strict=False)), world.sizes


async def test_a_rollout_takes_no_pod_beside_its_own(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    world.updated = 1
    await world.turns(1)
    world.load = 2
    await world.turns(3)
    assert world.pods == 4
    assert "until the rollout of Deployment aada-backend is done" in world.told()
    world.updated = None
    await world.turns(3)
    assert world.pods == 2


async def test_an_operation_whose_object_is_gone_holds_nothing_and_the_list_is_left_to_others(make: Make) -> None:
    world = await scaling(make)
    await begins(world, SECRET_ROTATIONS, Operation.ROTATION)
    await world.turns(1)
    assert world.bounds == (2, 2)
    world.server.remove(SECRET_ROTATIONS, "login")
    writes = await world.visit()
    assert world.bounds == (2, 5)
    assert not [one for one in writes if LEASES.plural in one]


async def test_an_operator_that_begins_anew_holds_on(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    await begins(world, SECRET_ROTATIONS, Operation.ROTATION)
    del world.policy["status"]
    world.restart()
    world.load = 2
    await world.turns(3)
    assert (world.pods, world.said()) == (4, "True HeldByOperation")


async def test_a_size_set_by_hand_meanwhile_is_put_back_to_the_one_that_is_held(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    await begins(world, SECRET_ROTATIONS, Operation.ROTATION)
    await world.turns(1)
    world.server.set_size(1, "kubectl")
    await world.visit()
    assert (world.pods, world.bounds) == (4, (4, 4))


# --- in time --------------------------------------------------------------------------------------------------------


async def test_a_policy_looks_when_an_operation_of_its_namespace_changes() -> None:
    registry, woken = kopf.OperatorRegistry(), list[Key]()
    handlers.register(registry, woken.append)
    watches = {str(one.selector.any_name or one.selector.plural): one for one in registry._watching.get_all_handlers()
               if one.selector}  # fmt: skip

    async def happens(
        resource: ApiResource, name: str, namespace: str = NAMESPACE, step: str = "", **spec: Any
    ) -> list[Key]:
        woken.clear()
        body = custom_resource(resource.kind, name, spec) | {"status": {"step": step, "message": str(len(woken))}}
        body["metadata"] |= {"namespace": namespace, "uid": name}
        changed: Any = watches[resource.plural].fn
        await changed(body=body, event={"type": "MODIFIED"})
        return [key for key in woken if key.plural == SCALING_POLICIES.plural]

    await happens(SCALING_POLICIES, POLICY, target=TARGET)
    for resource in (AADA_LMS, RESTORES, SECRET_ROTATIONS):
        assert await happens(resource, "one") == [KEY], resource.kind
        assert await happens(resource, "one") == [], "it says nothing new of its work"
        assert await happens(resource, "one", step="Claim") == [KEY]
        assert await happens(resource, "one", "elsewhere") == []
    assert BACKUPS.plural not in watches
