"""The key of an application that knows one key only: users change over at one moment, and never meet pods of both."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from aada_operator.core.database import PoolerLimits
from aada_operator.core.resources import AADA_LMS, DEPLOYMENTS, PODS, SECRET_ROTATIONS, SECRETS
from aada_operator.rotations import blue_green
from tests.unit.rotations.blue_green_world import BLUE, GREEN, ONE_KEY, BlueGreenWorld, green_deployments
from tests.unit.rotations.world import LMS, ROTATION, SECRET

OLD = "first-key"


@dataclass
class Users:
    """The keys that users met, in order and each once until it changed; ``mixed`` and ``few`` must stay empty."""

    met: list[str] = field(default_factory=list)
    mixed: list[set[str]] = field(default_factory=list)
    few: list[list[str]] = field(default_factory=list)

    def look(self, world: BlueGreenWorld) -> None:
        keys, serving = world.keys_met(), world.serving()
        self.few += [serving] if len(serving) < 2 else []
        self.mixed += [keys] if len(keys) != 1 else []
        self.met += [key for key in keys if self.met[-1:] != [key]]

    @property
    def logged_out(self) -> int:
        """How often all of them had to log in again."""
        return len(self.met) - 1


async def watched(world: BlueGreenWorld, users: Users, turns: int = 80, *, until: str = "", seconds: float = 5) -> None:
    """Let time go by, until a step is reached if one is named; users are there at every moment."""
    for _ in range(turns):
        await world.turn()
        users.look(world)
        if until and world.status.get("step") == until:
            return
        world.clock.advance(seconds=seconds)


async def gone(world: BlueGreenWorld, users: Users) -> None:
    """The SecretRotation was deleted, and is held until it is at an end."""
    for _ in range(80):
        if ROTATION not in world.server.names(SECRET_ROTATIONS):
            return
        await watched(world, users, 1)
    raise AssertionError(f"still there: {world.status.get('step')}")


def unharmed(users: Users) -> None:
    assert users.mixed == [], "users met pods of both keys"
    assert users.few == [], "fewer pods than wanted served"


@pytest.fixture
async def world() -> BlueGreenWorld:
    return await due()


async def due() -> BlueGreenWorld:
    made = BlueGreenWorld()
    await made.turns()
    made.clock.advance(days=31)
    return made


def rotated(world: BlueGreenWorld, users: Users) -> None:
    unharmed(users)
    assert world.past()[0] == "Rotated"
    after = world.secret()
    assert users.met == [OLD, after["jwt"]], "one change, at one moment"
    assert len(after["jwt"]) == 43
    assert after["other"] == "left alone"
    assert set(world.pods) == {"backend-1", "backend-2"}
    assert all(keys == after for keys in world.pods.values()), "no pod accepts the old key"
    assert green_deployments(world) == []
    assert world.revisions() == []
    assert world.server.claims() == []


def rolled_back(world: BlueGreenWorld, users: Users, reason: str, logged_out: int) -> None:
    unharmed(users)
    assert world.past() == [f"RolledBack {reason}"]
    assert users.logged_out == logged_out
    assert users.met[-1] == OLD
    assert world.secret() == {"jwt": OLD, "accepted": "", "other": "left alone"}
    assert all(keys == world.secret() for keys in world.pods.values())
    assert green_deployments(world) == []
    assert world.revisions() == []


async def test_all_users_log_in_again_once_at_one_moment_and_meet_pods_of_one_key(world: BlueGreenWorld) -> None:
    users = Users()
    await watched(world, users)
    rotated(world, users)
    assert (world.status["strategy"], world.status["revision"]) == ("BlueGreen", 1)
    assert world.said() == "True Rotated"
    assert world.said("OldCredentialRevoked") == "True Rotated"
    assert "all users log in again when it is replaced" in world.told()
    assert OLD not in f"{world.status} {world.server.writes}"


async def test_the_harness_sees_pods_of_both_keys_and_pods_that_lack(world: BlueGreenWorld) -> None:
    """Otherwise the test before would prove nothing."""
    users = Users()
    world.pods["backend-1"] = {"jwt": "another"}
    users.look(world)
    assert users.mixed
    world.unready = "backend-1"
    world._set_ready("backend-1", False)
    users.look(world)
    assert users.few


async def test_the_switch_is_told_when_it_happens(world: BlueGreenWorld) -> None:
    await watched(world, Users(), until="SwitchToGreen")
    assert world.told() == "all users are sent to pods with the new key, and log in again once"
    assert world.said() == "Unknown SwitchToGreen"
    assert world.said("NewCredentialVerified") == "True StartGreen"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(moment: str) -> None:
    first = await due()
    begun = len(first.server.writes)
    await watched(first, Users())
    writes = len(first.server.writes) - begun
    assert writes > 15
    for number in range(writes):
        again, users = await due(), Users()
        setattr(again.server, f"crash_{moment}", begun + number)
        await watched(again, users)
        assert getattr(again.server, f"crash_{moment}") is None, "it was killed"
        rotated(again, users)


async def test_a_lost_status_loses_the_history_and_nothing_else(world: BlueGreenWorld) -> None:
    users = Users()
    for _ in range(60):
        world.rotation.pop("status", None)
        await watched(world, users, 1)
        if len(users.met) == 2 and not green_deployments(world):
            break
    await watched(world, users, 10)
    rotated(world, users)


async def test_pods_that_do_not_come_up_disturb_nobody(world: BlueGreenWorld) -> None:
    users, world.sick = Users(), True
    await watched(world, users, 60, seconds=15)
    rolled_back(world, users, "GreenStarting", logged_out=0)


async def test_pods_that_crash_end_it_at_once_and_are_named(world: BlueGreenWorld) -> None:
    users, world.sick = Users(), True
    await watched(world, users, until="StartGreen")
    await watched(world, users, 2)
    crash = {"name": "backend", "image": "lms", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    world.server.read(PODS, f"{GREEN}-0")["status"]["containerStatuses"] = [crash]
    await watched(world, users, 20)
    rolled_back(world, users, "GreenFailed", logged_out=0)
    assert "its log says why" in world.told()


async def test_own_pods_that_do_not_change_over_lead_back_and_users_meet_one_key_still(world: BlueGreenWorld) -> None:
    users = Users()
    await watched(world, users, until="Converge")
    world.stuck = True
    await watched(world, users, 60, seconds=15)
    world.stuck = False
    await watched(world, users, 40)
    rolled_back(world, users, "Converging", logged_out=2)


async def test_a_way_back_is_at_its_end_when_all_pods_have_the_old_key_also_without_the_others(
    world: BlueGreenWorld,
) -> None:
    await watched(world, Users(), until="Converge")
    world.stuck = True
    world.server.remove(DEPLOYMENTS, GREEN)
    await watched(world, Users(), 60, seconds=15)
    assert world.status["phase"] == "RollingBack"
    assert world.past() == []
    world.stuck = False
    await watched(world, Users(), 20)
    assert world.past() == ["RolledBack Converging"]
    assert all(keys == world.secret() for keys in world.pods.values())


async def test_a_way_back_that_is_killed_at_any_write_leads_to_the_same_end() -> None:
    async def failing(crash: int | None) -> tuple[BlueGreenWorld, Users]:
        world, users = await due(), Users()
        world.server.crash_after = crash
        await watched(world, users, until="Converge")
        world.stuck = True
        await watched(world, users, 60, seconds=15)
        world.stuck = False
        await watched(world, users, 60)
        return world, users

    world, _ = await failing(None)
    for number in range(30, len(world.server.writes)):
        rolled_back(*await failing(number), "Converging", logged_out=2)


@pytest.mark.parametrize(
    ("step", "logged_out"), [("StartGreen", 0), ("SwitchToGreen", 0), ("Publish", 2), ("Converge", 2)]
)
async def test_one_that_is_deleted_half_way_goes_back_first(world: BlueGreenWorld, step: str, logged_out: int) -> None:
    users = Users()
    await watched(world, users, until=step)
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    await gone(world, users)
    unharmed(users)
    assert (users.met[-1], users.logged_out) == (OLD, logged_out)
    assert world.secret()["jwt"] == OLD
    assert green_deployments(world) == []


async def test_one_that_is_deleted_after_all_have_the_new_key_goes_on_to_its_end(world: BlueGreenWorld) -> None:
    users = Users()
    await watched(world, users, until="SwitchToBlue")
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    await gone(world, users)
    unharmed(users)
    assert users.logged_out == 1
    assert world.secret()["jwt"] == users.met[-1]
    assert green_deployments(world) == []


async def test_further_keys_that_were_accepted_are_forgotten_with_the_old_one() -> None:
    world = BlueGreenWorld(LMS)
    world.server.read(SECRETS, SECRET)["data"]["accepted"] = "ZWFybGllcg=="
    await world.turns()
    world.clock.advance(days=31)
    await watched(world, Users())
    assert world.past() == ["Rotated"]
    assert world.secret()["accepted"] == ""
    assert all(keys["accepted"] == "" for keys in world.pods.values())


async def test_what_the_aadalms_changes_before_the_switch_is_followed(world: BlueGreenWorld) -> None:
    users, world.sick = Users(), True
    await watched(world, users, until="StartGreen")
    await watched(world, users, 1)
    world.server.read(DEPLOYMENTS, BLUE)["spec"]["template"]["spec"]["containers"][0]["image"] = "lms:v2"
    world.sick = False
    await watched(world, users, until="SwitchToGreen")
    assert world.server.read(DEPLOYMENTS, GREEN)["spec"]["template"]["spec"]["containers"][0]["image"] == "lms:v2"
    await watched(world, users)
    rotated(world, users)


async def test_somebody_who_changes_the_key_meanwhile_has_his_way(world: BlueGreenWorld) -> None:
    users, world.sick = Users(), True
    await watched(world, users, until="StartGreen")
    live = world.server.read(SECRETS, SECRET)
    live["data"]["jwt"], live["metadata"]["resourceVersion"] = "YnktaGFuZA==", "by-hand"
    await watched(world, users, 20)
    assert world.past() == ["RolledBack SecretDataDrift"]
    assert world.secret()["jwt"] == "by-hand"
    assert green_deployments(world) == []


async def test_another_strategy_in_the_spec_waits_for_the_next_rotation(world: BlueGreenWorld) -> None:
    users = Users()
    await watched(world, users, until="Converge")
    world.rotation["spec"]["strategy"] = "ThreePhase"
    world.lms["spec"]["secrets"] = LMS["secrets"]
    await watched(world, users)
    rotated(world, users)
    assert world.status["strategy"] == "ThreePhase"


async def test_pods_whose_rotation_lost_its_secrets_do_not_serve_for_ever(world: BlueGreenWorld) -> None:
    users = Users()
    await watched(world, users, until="Converge")
    for name in world.revisions():
        world.server.remove(SECRETS, name)
    world.rotation["metadata"]["finalizers"] = []
    await watched(world, users, 20)
    unharmed(users)
    assert users.logged_out == 1
    assert green_deployments(world) == []


async def test_a_deployment_of_that_name_of_somebody_else_is_not_touched(world: BlueGreenWorld) -> None:
    world.server.add(DEPLOYMENTS, {"metadata": {"name": GREEN, "labels": {}}, "spec": {"replicas": 0}})
    world._run_green = lambda: None  # type: ignore[method-assign]
    await watched(world, Users(), until="StartGreen")
    await watched(world, Users(), 1)
    assert world.said() == "False NameTaken"
    assert world.server.read(DEPLOYMENTS, GREEN)["spec"] == {"replicas": 0}


@pytest.mark.parametrize(
    ("connections", "allowed", "reason", "words"),
    [
        ({"workers": 1, "poolSize": 5, "maxOverflow": 0}, 46, "ConnectionBudgetExceeded", "(2x2+1+2) x 1 x (5+0)"),
        (None, 100, "NotDeclared", "components[].connections of backend"),
    ],
)
async def test_a_server_without_room_for_twice_the_pods_is_told_before_anything_is_touched(
    world: BlueGreenWorld, connections: dict[str, int] | None, allowed: int, reason: str, words: str
) -> None:
    world.lms["spec"]["components"][0]["connections"] = connections
    world.lms["status"]["database"]["maxConnections"] = allowed
    await world.turn()
    assert world.said("Stalled") == f"True {reason}"
    assert words in world.told()
    assert world.revisions() == []


async def test_a_server_with_room_to_the_last_connection_is_enough(world: BlueGreenWorld) -> None:
    world.lms["status"]["database"]["maxConnections"] = 47
    users = Users()
    await watched(world, users)
    rotated(world, users)


async def test_twice_the_pods_are_twice_those_that_a_policy_has_started(world: BlueGreenWorld) -> None:
    world.lms["status"]["database"]["maxConnections"] = 56
    world.server.read(DEPLOYMENTS, BLUE)["spec"]["replicas"] = 3
    await world.turn()
    assert "(3x2+1+2) x 1 x (5+0) backend + 9 reserved = 54 connections, 53 of 56 available" in world.told()


async def test_behind_a_pooler_twice_the_pods_are_clients_of_it(
    world: BlueGreenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(*_: object) -> PoolerLimits:
        return PoolerLimits(pool_size=5, clients=43)

    monkeypatch.setattr(blue_green, "pooler_limits", asked)
    world.lms["status"]["database"]["maxConnections"] = 30
    await world.turn()
    assert world.said("Stalled") == "True ConnectionBudgetExceeded"
    assert "= 35 clients of the pooler" in world.told()
    assert "a larger max_client_conn of the pooler" in world.told()


async def test_an_application_with_one_key_is_told_of_the_way_out_and_its_cost() -> None:
    world = BlueGreenWorld(strategy=None)
    await world.turn()
    assert world.said("Stalled") == "True NoAcceptedKeys"
    assert "strategy: BlueGreen, and all users log in again once at each rotation" in world.told()
    assert world.server.read(AADA_LMS, "aada")["spec"]["secrets"] == ONE_KEY["secrets"]
