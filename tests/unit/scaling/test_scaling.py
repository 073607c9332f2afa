"""A ScalingPolicy from its creation to its deletion: whose number of pods it is, and that it never jumps."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from aada_operator.core.database import ConnectionLimits, RoleLimit
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES
from aada_operator.core.workqueue import Key
from aada_operator.scaling import calendar, reconcile
from tests.unit.backups.api_server import NAMESPACE
from tests.unit.scaling.world import CONTROLLER, DEPLOYMENT, KEY, POLICY, Make, World, scaling


async def test_the_number_of_pods_is_handed_over_without_a_jump(make: Make) -> None:
    world = await scaling(make)
    assert set(world.sizes) == {2}, "nobody was started or ended"
    assert (world.said(), world.bounds) == ("True Scaling", (2, 5))
    assert "aada-operator" not in world.server.owners(), "the AadaLms applies no number any more"


async def test_the_load_is_followed_and_the_aadalms_leaves_it_alone(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(4)
    assert (world.pods, world.status["desired"], world.status["current"]) == (4, 4, 4)
    world.declare(replicas=1)
    await world.turns(4)
    assert world.pods == 4


async def test_a_policy_at_rest_costs_no_write(make: Make) -> None:
    world = await scaling(make)
    await world.turns(2)
    assert await world.visit() == []
    before = len(world.server.writes)
    await world.lms_turn()
    assert world.server.writes[before:] == []


async def test_deletion_leaves_the_size_until_somebody_says_another(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(4)
    world.server.remove(SCALING_POLICIES, POLICY)
    await world.turns(4)
    assert world.server.names(SCALING_POLICIES) == []
    assert world.server.names(AUTOSCALERS) == []
    assert (world.pods, world.fence) == (4, -1), "the size stays, the roles are free"
    world.declare(replicas=3)
    await world.turns(2)
    assert world.pods == 3


async def test_taking_the_mark_away_gives_the_number_back_to_the_aadalms(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(4)
    world.server.remove(SCALING_POLICIES, POLICY)
    await world.turns(4)
    world.server.read(DEPLOYMENTS, DEPLOYMENT)["metadata"]["annotations"].pop("lms.aada.edu/scaled-from")
    await world.turns(1)
    assert world.pods == 2


@pytest.mark.parametrize("replicas", [0, 4, 9])
@pytest.mark.parametrize("load", [2, None])
async def test_a_size_set_by_hand_is_put_back_and_told(make: Make, replicas: int, load: int | None) -> None:
    world = await scaling(make)
    world.load = load
    await world.turns(2)
    world.server.set_size(replicas, "kubectl")
    await world.lms_turn()
    await world.visit()
    assert world.pods == 2
    assert world.said("ReplicasManaged") == "False ScaledByHand"
    assert f"{'kubectl' if replicas else 'somebody'} set {replicas} pods by hand, and 2 are back" in world.told(
        "ReplicasManaged"
    )
    assert "spec.suspend" in world.told("ReplicasManaged")
    world.clock.advance(minutes=6)
    await world.turns(1)
    assert world.said("ReplicasManaged") == "True ByPolicy"
    assert world.status["lastCorrection"]["was"] == replicas


async def test_what_the_autoscaler_chose_is_not_put_back(make: Make) -> None:
    world = await scaling(make)
    world.server.set_size(3, CONTROLLER)
    await world.visit()
    assert (world.pods, world.said("ReplicasManaged")) == (3, "True ByPolicy")


async def test_a_pause_leaves_the_size_to_people(make: Make) -> None:
    world = await scaling(make)
    world.edit(suspend=True)
    await world.turns(2)
    assert (world.bounds, world.fence, world.pods) == (None, -1, 2)
    assert world.said("Paused") == "True Suspended"
    world.server.set_size(7, "kubectl")
    await world.turns(3)
    assert world.pods == 7
    assert world.status["desired"] == 7
    assert await world.visit() == []


async def test_after_a_pause_it_goes_on_from_the_size_that_people_chose(make: Make) -> None:
    world = await scaling(make)
    world.edit(suspend=True)
    await world.turns(2)
    world.server.set_size(4, "kubectl")
    world.edit(suspend=False)
    world.load = 4
    world.sizes.clear()
    await world.turns(3)
    assert set(world.sizes) == {4}
    assert world.said("ReplicasManaged") == "True ByPolicy", "nobody is blamed for what a pause is for"


async def test_the_budget_bounds_the_autoscaler_and_limits_the_roles(make: Make) -> None:
    world = await scaling(make, maxReplicas=20)
    world.load = 20
    await world.turns(4)
    assert (world.pods, world.bounds, world.fence) == (5, (2, 5), 91)
    assert world.status["limitedBy"] == "ConnectionBudget"
    assert world.status["budget"] == {
        "perPod": 10, "maxConnections": 100, "reserved": 12, "available": 88, "maxPods": 5,
        "limitingTerm": "MaxConnections", "connectionLimit": 91,
    }  # fmt: skip
    assert world.said("ConnectionBudgetExceeded") == "True MaxReplicasTooHigh"
    assert "(20 + 1 in a rollout + 2 that leave) x 10 = 230 connections" in world.told("ConnectionBudgetExceeded")
    assert "max_connections 242" in world.told("ConnectionBudgetExceeded")
    assert world.said("ScalingLimited") == "True AtMaximum"
    assert world.said("ConnectionsFenced") == "True Limited"


async def test_another_server_means_another_solution_and_pods_leave_one_by_one(make: Make) -> None:
    world = await scaling(make)
    world.load = 5
    await world.turns(4)
    world.limits = ConnectionLimits(72, 3, roles=world.limits.roles)
    world.sizes.clear()
    await world.until(lambda: world.pods == 3)
    assert all(a - b <= 1 for a, b in zip(world.sizes, world.sizes[1:], strict=False)), world.sizes
    await world.turns(2)
    assert (world.pods, world.fence) == (3, 63)


async def test_a_limit_never_hits_pods_that_are_too_many_already(make: Make) -> None:
    world = await scaling(make)
    world.load = 5
    await world.turns(4)
    world.limits = ConnectionLimits(72, 3, roles=world.limits.roles)
    await world.visit()
    assert world.fence == -1
    assert world.said("ConnectionsFenced") == "False OverBudget"


async def test_a_database_that_bears_no_pod_is_told_and_nobody_ends(make: Make) -> None:
    world = await scaling(make, reservedConnections=97)
    world.load = 5
    await world.turns(3)
    assert (world.pods, world.bounds, world.fence) == (2, (2, 2), -1)
    assert world.said("ConnectionBudgetExceeded") == "True TooFewConnections"


async def test_a_database_that_is_away_leaves_everything_as_it_was(make: Make) -> None:
    world = await scaling(make, maxReplicas=20)
    world.away = Waiting("ConnectionRefused", "nothing listens at db:5432")
    world.load = 20
    await world.turns(3)
    assert (world.pods, world.bounds, world.status["limitedBy"]) == (5, (2, 5), "DatabaseUnreachable")
    assert world.said("ConnectionBudgetExceeded") == "Unknown ConnectionRefused"
    assert world.said() == "True Scaling"


async def test_a_warning_bounds_nothing_and_lifts_the_limit(make: Make) -> None:
    world = await scaling(make, maxReplicas=20)
    assert world.fence == 91
    world.edit(connectionBudget="Warn")
    world.load = 7
    await world.turns(3)
    assert (world.pods, world.fence) == (7, -1)
    assert world.said("ConnectionBudgetExceeded") == "True MaxReplicasTooHigh"
    assert world.said("ConnectionsFenced") == "Unknown NotEnforced"
    world.edit(connectionBudget="Off")
    await world.turns(2)
    assert world.said("ConnectionBudgetExceeded") == "Unknown Off"


async def test_a_role_that_was_given_is_left_alone(make: Make) -> None:
    world = make()
    world.limits = ConnectionLimits(100, 3, roles=(RoleLimit("aada_app", -1, ours=False),))
    await world.turns(2)
    world.create()
    await world.turns(4)
    assert (world.fence, world.said("ConnectionsFenced")) == (-1, "Unknown RoleNotOurs")


async def test_others_who_have_more_sessions_than_are_reserved_are_told(make: Make) -> None:
    world = await scaling(make)
    world.limits = ConnectionLimits(100, 3, roles=world.limits.roles, others=30)
    await world.turns(1)
    assert world.said("ConnectionBudgetExceeded") == "True OthersUseMore"
    assert "30 at least" in world.told("ConnectionBudgetExceeded")


async def test_the_pods_are_there_before_the_class_and_the_next_change_is_told(make: Make) -> None:
    """The clock of these tests stands at 01:30."""
    hours = {"days": ["SUN"], "from": "02:00", "to": "03:00", "minReplicas": 4}
    world = await scaling(make, calendar={"timeZone": "Etc/UTC", "classHours": [hours], "prewarm": "15m"})
    assert world.bounds == (2, 5)
    assert world.status["nextTransition"] == {
        "time": "2026-03-01T01:45:00Z", "min": 4, "because": "class hours",
    }  # fmt: skip
    world.clock.advance(minutes=15)
    await world.turns(2)
    assert (world.bounds, world.pods) == ((4, 5), 4)
    world.clock.advance(minutes=75)
    await world.turns(2)
    assert (world.bounds, world.pods) == ((2, 5), 2)


async def test_it_is_there_before_the_next_change_and_acts_at_its_moment(make: Make) -> None:
    hours = {"days": ["SUN"], "from": "01:50", "to": "03:00", "minReplicas": 4}
    world = await scaling(make, calendar={"timeZone": "Etc/UTC", "classHours": [hours], "prewarm": "0s"})
    world.clock.advance(seconds=(world.clock.now().replace(minute=49, second=50) - world.clock.now()).total_seconds())
    delay = await world.controller.visit(KEY)
    assert delay is not None
    assert 7 < delay <= 8
    world.clock.advance(seconds=9)
    began = time.monotonic()
    await world.controller.visit(KEY)
    assert (world.pods, time.monotonic() - began > 0.9) == (4, True)


async def test_a_visit_that_takes_long_does_not_delay_the_next_change(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow database is no reason to begin the class with too few pods."""
    hours = {"days": ["SUN"], "from": "01:31", "to": "03:00", "minReplicas": 4}
    world = await scaling(make, calendar={"timeZone": "Etc/UTC", "classHours": [hours], "prewarm": "0s"})
    world.clock.advance(seconds=(world.clock.now().replace(minute=30, second=50) - world.clock.now()).total_seconds())
    ticks = iter([100.0, 103.0, 103.0])
    monkeypatch.setattr(reconcile, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert await world.controller.visit(KEY) == 10 - 3 - calendar.LEAD.total_seconds()


async def test_what_the_calendar_says_is_applied_in_that_moment(make: Make) -> None:
    """Whoever waits for the autoscaler waits 15 seconds."""
    hours = {"days": ["SUN"], "from": "02:00", "to": "03:00", "minReplicas": 4}
    world = await scaling(make, calendar={"timeZone": "Etc/UTC", "classHours": [hours]})
    world.clock.advance(minutes=15)
    await world.visit()
    assert (world.pods, world.status["desired"]) == (4, 4)
    assert world.said("ReplicasManaged") == "True ByPolicy"


async def test_what_the_database_does_not_bear_begins_to_leave_in_that_moment_and_takes_its_time(make: Make) -> None:
    world = await scaling(make)
    world.load = 5
    await world.turns(6)
    world.limits = ConnectionLimits(72, 3, roles=world.limits.roles)
    await world.visit()
    assert world.pods == 4
    world.pods_turn()
    delay = await world.controller.visit(KEY)
    assert delay is not None
    assert (world.pods, 22 < delay <= 23) == (4, True), "the one that leaves still serves"
    world.clock.advance(seconds=23)
    await world.visit()
    assert world.pods == 3
    assert world.said("ReplicasManaged") == "True ByPolicy"


async def test_metrics_that_are_lost_change_nothing_and_are_told(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    world.load = None
    await world.turns(3)
    assert world.pods == 4
    assert world.said("MetricsAvailable") == "False MetricsMissing"


async def test_a_pod_without_a_request_is_told(make: Make) -> None:
    world = await scaling(make, metrics=[{"memory": "80%"}])
    assert world.said("MetricsAvailable") == "False RequestsMissing"
    assert "resources.requests.memory of component backend" in world.told("MetricsAvailable")


def foreign(world: World, name: str = "theirs") -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT}
    spec = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 9}
    world.server.add(AUTOSCALERS, {"metadata": {"name": name}, "spec": spec})


async def test_another_autoscaler_is_never_fought(make: Make) -> None:
    world = await scaling(make)
    foreign(world)
    await world.visit()
    assert world.server.names(AUTOSCALERS) == ["theirs"], "ours is gone"
    assert world.said("Stalled") == "True AnotherAutoscaler"
    assert "lms.aada.edu/take-over=theirs" in world.told("Stalled")
    world.server.remove(AUTOSCALERS, "theirs")
    await world.turns(2)
    assert world.said() == "True Scaling"


async def test_an_autoscaler_that_is_named_is_taken_over_at_its_size(make: Make) -> None:
    world = make()
    await world.turns(2)
    foreign(world)
    world.server.set_size(4, CONTROLLER)
    world.load = 4
    world.create()
    await world.turns(2)
    assert world.said("Stalled") == "True AnotherAutoscaler"
    world.sizes.clear()
    world.policy["metadata"]["annotations"] = {"lms.aada.edu/take-over": "theirs"}
    await world.turns(3)
    assert world.server.names(AUTOSCALERS) == [POLICY]
    assert set(world.sizes) == {4}


async def test_two_policies_for_one_component_do_not_fight(make: Make) -> None:
    world = await scaling(make)
    older = world.policy
    world.clock.advance(seconds=60)
    world.server.add(SCALING_POLICIES, {"metadata": {"name": "younger"}, "spec": older["spec"]})
    await world.controller.visit(Key(SCALING_POLICIES.plural, NAMESPACE, "younger"))
    conditions = world.server.read(SCALING_POLICIES, "younger")["status"]["conditions"]
    assert next(c["reason"] for c in conditions if c["type"] == "Stalled") == "AnotherPolicy"
    assert world.server.names(AUTOSCALERS) == [POLICY]


async def test_what_it_waits_for_is_told(make: Make) -> None:
    world = make()
    world.create()
    await world.visit()
    assert world.said() == "False DeploymentMissing"
    world.edit(target={"lmsRef": {"name": "aada"}, "component": "no-such"})
    await world.visit()
    assert world.said() == "False ComponentNotFound"
    world.edit(target={"lmsRef": {"name": "nobody"}, "component": "backend"})
    await world.visit()
    assert world.said() == "False AadaLmsNotFound"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end_without_a_jump(make: Make, when: str) -> None:
    """Creation, a size set by hand, pause and deletion, with the operator killed at the n-th write."""
    for number in range(0, 40):
        world = make()
        await world.turns(2)
        setattr(world.server, f"crash_{when}", number)
        world.create()
        await world.turns(6)
        world.server.set_size(4, "kubectl")
        await world.turns(4)
        assert (world.pods, world.bounds, world.fence) == (2, (2, 5), 91), number
        assert {2, 4} >= set(world.sizes), (number, world.sizes)
        world.edit(suspend=True)
        await world.turns(3)
        assert (world.pods, world.bounds, world.fence) == (2, None, -1), number
        world.edit(suspend=False)
        await world.turns(4)
        world.server.remove(SCALING_POLICIES, POLICY)
        await world.turns(4)
        assert (world.pods, world.fence, world.server.names(SCALING_POLICIES)) == (2, -1, []), number


async def test_a_lost_status_loses_nothing_that_decides(make: Make) -> None:
    world = await scaling(make)
    world.load = 4
    await world.turns(3)
    before = {name: value for name, value in world.status.items() if name != "conditions"}
    del world.policy["status"]
    world.sizes.clear()
    await world.turns(2)
    assert {name: value for name, value in world.status.items() if name != "conditions"} == before
    assert set(world.sizes) == {4}
