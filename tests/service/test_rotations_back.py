"""A SecretRotation that fails or is deleted goes back to where it began, also when it is killed on the way."""

from functools import partial

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import AADA_LMS, PODS, SECRET_ROTATIONS, SECRETS, Object
from tests.service.operator_kills import Killer
from tests.service.rotation_world import (
    CANARY,
    KEY,
    ROTATION,
    RotationWorld,
    installed,
    rolled_back,
)


async def test_a_canary_that_does_not_come_up_changes_nothing(school: RotationWorld) -> None:
    await installed(school)
    old, pod = school.secret(), school.server.read(PODS, "aada-backend")["metadata"]["uid"]
    school.sick = True
    school.clock.advance(days=31)
    await school.turns(60, seconds=30)
    rolled_back(school, "CanaryStarting", old)
    assert school.server.read(PODS, "aada-backend")["metadata"]["uid"] == pod, "no pod of users was restarted"
    assert school.status["nextAttempt"] > to_rfc3339(school.clock.now())


async def test_one_that_was_asked_for_is_tried_again_in_an_hour_and_says_so(school: RotationWorld) -> None:
    await installed(school)
    school.sick = True
    school.clock.advance(minutes=1)
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    await school.turns(60, seconds=30)
    assert school.told().endswith(f"next try: {school.status['nextAttempt']}"), "not the schedule's next month"
    school.sick = False
    school.clock.advance(minutes=61)
    await school.turns(until="Grace")


async def test_a_canary_that_crashes_ends_it_at_once(school: RotationWorld) -> None:
    await installed(school)
    old = school.secret()
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    await with_canary(school, {"containerStatuses": [{"name": "backend", "image": "lms"} | waiting]})
    await school.turns()
    rolled_back(school, "CanaryFailed", old)
    assert "CrashLoopBackOff" not in school.told()
    assert "its log says why" in school.told()


async def with_canary(school: RotationWorld, status: Object) -> None:
    """A rotation that is due, as far as its canary, which has that status."""
    school.sick = True
    school.clock.advance(days=31)
    await school.turns(until="Canary")
    school.server.read(PODS, CANARY)["status"] = status


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


async def test_a_canary_that_no_node_can_take_yet_is_waited_for(school: RotationWorld) -> None:
    """On a full cluster others' pods go in a moment, and a node may be on its way."""
    await installed(school)
    await with_canary(school, {"conditions": [UNSCHEDULABLE]})
    await school.turn()
    assert school.said("Ready") == "False CanaryFailed"
    assert "free resources" in school.told()
    assert school.status["step"] == "Canary"
    school.server.remove(PODS, CANARY)
    school.sick = False
    await school.turns(until="Grace")


async def test_a_canary_that_no_node_takes_leads_back(school: RotationWorld) -> None:
    await installed(school)
    old = school.secret()
    await with_canary(school, {"conditions": [UNSCHEDULABLE]})
    school.clock.advance(minutes=11)
    await school.turns()
    rolled_back(school, "CanaryFailed", old)


async def test_a_secret_of_somebody_else_under_the_name_of_a_revision_is_told(school: RotationWorld) -> None:
    await installed(school)
    school.server.secret(f"{ROTATION}-r1", note="mine")
    school.clock.advance(days=31)
    await school.turns(until="Generate")
    await school.turn()
    assert school.said("Ready") == "False NameTaken"
    assert school.secret(f"{ROTATION}-r1") == {"note": "mine"}
    school.server.remove(SECRETS, f"{ROTATION}-r1")
    await school.turns(until="Grace")


async def test_pods_that_do_not_change_over_lead_back(school: RotationWorld) -> None:
    await installed(school)
    old = school.secret()
    school.clock.advance(days=31)
    school.stuck = True
    await school.turns(until="Converge")
    assert school.secret()["username"] == f"{school.database}_b"
    school.clock.advance(minutes=11)
    await school.turn()
    school.stuck = False
    await school.turns()
    rolled_back(school, "Converging", old)
    held = school.server.read(SECRETS, "aada-db")["metadata"]["annotations"][f"rotation.lms.aada.edu/{ROTATION}"]
    assert (
        school.server.read(PODS, "aada-backend")["metadata"]["annotations"][f"rotation.lms.aada.edu/{ROTATION}"] == held
    )
    assert held == f"{ROTATION}-r2", "pods that had the new login are told apart"


async def test_after_a_failure_it_is_tried_again_later_and_less_and_less_often(school: RotationWorld) -> None:
    await installed(school)
    school.sick = True
    school.clock.advance(days=31)
    await school.turns(60, seconds=30)
    first = school.status["nextAttempt"]
    school.clock.advance(minutes=50)
    await school.turns()
    assert school.status["nextAttempt"] == first, "not yet"
    school.clock.advance(minutes=11)
    await school.turns(60, seconds=30)
    assert school.status["failures"] == 2
    school.sick = False
    school.clock.advance(hours=2)
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated", "RolledBack CanaryStarting", "RolledBack CanaryStarting"]
    assert school.status["failures"] == 0
    assert "nextAttempt" not in school.status


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_of_the_way_back_leads_to_the_same_end(school: RotationWorld, moment: str) -> None:
    async def fail(one: RotationWorld) -> None:
        one.clock.advance(days=31)
        one.stuck = True
        await one.turns(until="Converge")
        one.clock.advance(minutes=11)
        await one.turns(until="Reconverge")
        one.stuck = False
        await one.turns()

    await installed(school)
    killer = school.server.killer = Killer(moment)
    await killer.learn(partial(fail, school))
    for _ in killer.goes():
        old = school.secret()
        await fail(school)
        rolled_back(school, "Converging", old)


async def test_a_secret_that_somebody_changes_meanwhile_is_left_as_it_is(school: RotationWorld) -> None:
    await installed(school)
    school.sick = True
    school.clock.advance(days=31)
    await school.turns(until="Canary")
    held = school.secret()
    live = school.server.read(SECRETS, "aada-db")
    live["data"]["note"] = school.encoded(x="by hand")["x"]
    live["metadata"]["resourceVersion"] = "by-hand"
    school.sick = False
    await school.turns()
    rolled_back(school, "SecretDataDrift", held | {"note": "by hand"})


async def test_what_is_changed_beside_the_login_stays_and_hinders_nothing(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="Grace")
    live = school.server.read(SECRETS, "aada-db")
    live["data"]["note"] = school.encoded(x="by hand")["x"]
    live["metadata"]["resourceVersion"] = "by-hand"
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated"]
    assert school.secret()["note"] == "by hand"
    assert school.open_logins() == [school.secret()["username"]]


async def test_a_rotation_whose_lms_is_gone_leaves_no_secret(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="Canary")
    school.server.remove(AADA_LMS, "aada")
    school.server.remove(SECRET_ROTATIONS, ROTATION)
    await school.rotations.visit(KEY)
    assert ROTATION not in school.server.names(SECRET_ROTATIONS)
    assert school.revisions() == []


async def test_a_pod_of_somebody_else_is_not_taken_for_the_canary(school: RotationWorld) -> None:
    await installed(school)
    school.server.add(PODS, {"metadata": {"name": CANARY}, "spec": {"containers": []}})
    school.sick = True
    school.clock.advance(days=31)
    await school.turns(until="Canary")
    for _ in range(3):
        await school.turn()
    assert school.said("Ready") == "False NameTaken"
    school.clock.advance(minutes=11)
    for _ in range(5):
        await school.turn()
    assert school.past() == ["RolledBack NameTaken"]
    assert CANARY in school.server.names(PODS)


async def test_a_rotation_that_is_deleted_half_way_goes_back_first(school: RotationWorld) -> None:
    await installed(school)
    old = school.secret()
    school.stuck = True
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    school.server.remove(SECRET_ROTATIONS, ROTATION)
    school.stuck = False
    for _ in range(20):
        if ROTATION not in school.server.names(SECRET_ROTATIONS):
            break
        await school.turn()
        school.clock.advance(seconds=1)
    assert ROTATION not in school.server.names(SECRET_ROTATIONS)
    assert school.secret() == old
    assert school.open_logins() == [old["username"]]
    assert school.revisions() == []
    assert school.server.claims() == []


async def test_a_rotation_that_is_deleted_after_the_old_login_was_retired_is_finished(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns(until="RetireOld")
    school.server.remove(SECRET_ROTATIONS, ROTATION)
    for _ in range(20):
        if ROTATION not in school.server.names(SECRET_ROTATIONS):
            break
        await school.turn()
    assert ROTATION not in school.server.names(SECRET_ROTATIONS)
    held = school.secret()
    assert held["username"] == f"{school.database}_b"
    assert school.open_logins() == [held["username"]]
    assert school.revisions() == []
