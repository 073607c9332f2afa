"""A SecretRotation against a real PostgreSQL: nobody is refused, the old login is proved dead, kills at every write."""

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import DEPLOYMENTS, PODS
from tests.service.operator_kills import Killer
from tests.service.rotation_world import CANARY, RotationWorld, fresh_backup, installed


async def test_a_rotation_brings_another_login_and_proves_the_old_one_dead(school: RotationWorld) -> None:
    await installed(school)
    before, database = school.secret(), school.database
    await school.rotate()
    after = school.secret()
    assert (before["username"], after["username"]) == (f"{database}_a", f"{database}_b")
    assert after["url"] == before["url"].replace(before["username"], after["username"]).replace(
        before["password"], after["password"]
    )
    assert school.may_log_in(after["username"], after["password"])
    assert not school.may_log_in(before["username"], before["password"])
    assert school.open_logins() == [f"{database}_b"]
    proof = school.status["proof"]
    assert (proof["sqlState"], proof["login"], proof["by"], proof["sessionsLeft"]) == (
        "28P01",
        f"{database}_a",
        f"{database}_b",
        0,
    )
    assert (school.status["revision"], school.status["activeRole"]) == (1, f"{database}_b")
    assert school.past() == ["Rotated"]
    assert school.said("Ready") == "True Rotated"
    assert school.said("OldCredentialRevoked") == "True Rotated"
    assert CANARY not in school.server.names(PODS)
    assert "finalizers" not in school.rotation["metadata"] or not school.rotation["metadata"]["finalizers"]


async def test_the_next_rotation_goes_back_to_the_first_role_with_another_password(school: RotationWorld) -> None:
    await installed(school)
    first = school.secret()
    await school.rotate()
    await school.rotate()
    third = school.secret()
    assert third["username"] == first["username"]
    assert third["password"] != first["password"]
    assert school.open_logins() == [f"{school.database}_a"]
    assert school.status["revision"] == 2
    assert school.past() == ["Rotated", "Rotated"]
    assert school.condition("Ready") == "True Ready"


async def test_before_it_is_due_nothing_is_written(school: RotationWorld) -> None:
    await installed(school)
    before = len(school.server.writes)
    for _ in range(3):
        school.clock.advance(minutes=5)
        await school.turn()
    assert school.server.writes[before:] == []
    assert school.said("Ready") == "True NotDueYet"
    assert school.status["nextRotation"] == "2026-03-01T04:00:00Z"


async def test_it_can_be_asked_for_now(school: RotationWorld) -> None:
    await installed(school, schedule=None)
    assert "nextRotation" not in school.status
    school.clock.advance(hours=1)
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated"]
    await school.turns()
    assert school.status["revision"] == 1, "one annotation is one rotation"


async def test_a_credential_may_have_a_highest_age(school: RotationWorld) -> None:
    await installed(school, schedule=None, maxAge="30d")
    await school.rotate(days=30)
    assert school.past() == ["Rotated"]


async def test_a_suspended_rotation_begins_nothing(school: RotationWorld) -> None:
    await installed(school, suspend=True)
    school.clock.advance(days=31)
    await school.turns()
    assert school.revisions() == []
    assert school.status["phase"] == "Suspended"


async def test_the_secret_lets_in_at_every_moment(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    for _ in range(60):
        await school.turn()
        held = school.secret()
        assert school.may_log_in(held["username"], held["password"])
        assert all(session.execute("SELECT 1") for session in school.sessions.values()), "nobody is cut off"
        school.clock.advance(seconds=30)
    assert school.past() == ["Rotated"]


async def test_a_session_of_the_old_login_keeps_it_alive(school: RotationWorld) -> None:
    """Somebody who was not declared, say a report: it is named, not cut off."""
    await installed(school)
    old = school.secret()
    report = school.log_in(old["username"], old["password"])
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    for _ in range(5):
        await school.turn()
    assert f"1 sessions of {school.database}_a" in school.told()
    report.execute("SELECT 1")
    report.close()
    await school.turns(until="Grace")
    again = school.log_in(old["username"], old["password"])
    school.clock.advance(minutes=16)
    await school.turns(until="RetireOld")
    await school.turn()
    assert school.said("Ready") == "False OldLoginInUse"
    assert school.server.claims() == [], "somebody who forgets to leave keeps no release and no Cutover waiting"
    again.execute("SELECT 1")
    again.close()
    await school.turns(seconds=30)
    assert school.past() == ["Rotated"]


async def test_a_pod_of_a_consumer_that_is_on_its_way_out_keeps_the_old_login_alive(school: RotationWorld) -> None:
    """Its workload does not count it any more, and between two logins it has no session."""
    await installed(school)
    old = school.secret()
    container = {"name": "reports", "envFrom": [{"secretRef": {"name": "aada-db"}}]}
    leaving = {"metadata": {"name": "reports-1", "deletionTimestamp": to_rfc3339(school.clock.now())}}
    school.clock.advance(days=31)
    for step, left in (("Converge", "Grace"), ("RetireOld", "")):
        school.server.add(PODS, leaving | {"spec": {"containers": [container]}})
        await school.turns(until=step, seconds=30)
        for _ in range(5):
            await school.turn()
        assert "pods reports-1" in school.told()
        assert school.may_log_in(old["username"], old["password"])
        school.server.remove(PODS, "reports-1")
        await school.turns(until=left, seconds=20)
    assert school.past() == ["Rotated"]


async def test_a_consumers_rollout_that_is_undone_in_the_grace_period_is_done_again(school: RotationWorld) -> None:
    """As by `kubectl rollout undo`: its pods have the new login, but nobody could tell."""
    spec = {"containers": [{"name": "reports", "envFrom": [{"secretRef": {"name": "aada-db"}}]}]}
    template = {"metadata": {"annotations": {}}, "spec": spec}
    school.server.add(DEPLOYMENTS, {"metadata": {"name": "reports"}, "spec": {"replicas": 1, "template": template}})
    await installed(school, consumers=[{"kind": "Deployment", "name": "reports"}])
    school.clock.advance(days=31)
    await school.turns(until="Grace")
    school.server.read(DEPLOYMENTS, "reports")["spec"]["template"]["metadata"]["annotations"].clear()
    school.clock.advance(minutes=16)
    await school.turns(seconds=20)
    assert school.past() == ["Rotated"]
    assert "reports" in school.sessions


async def test_what_somebody_made_as_the_login_is_given_to_the_owner(school: RotationWorld) -> None:
    await installed(school)
    held = school.secret()
    with school.log_in(held["username"], held["password"]) as session:
        session.execute("RESET ROLE")
        session.execute("SET ROLE NONE")
        school.postgres.execute(f'GRANT CREATE ON SCHEMA public TO "{held["username"]}"', school.database)
        session.execute("CREATE TABLE public.stray (id int)")
    fresh_backup(school)
    await school.rotate()
    assert school.owners() == [f"{school.database}_owner"]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(school: RotationWorld, moment: str) -> None:
    await installed(school)
    killer = school.server.killer = Killer(moment)
    await killer.learn(school.rotate)
    assert len(killer.left) >= 15
    for _ in killer.goes():
        old, revision = school.secret(), school.status["revision"]
        await school.rotate()
        assert (school.past()[0], school.status["revision"]) == ("Rotated", revision + 1), school.server.writes[-8:]
        held = school.secret()
        assert school.open_logins() == [held["username"]]
        assert school.may_log_in(held["username"], held["password"])
        assert not school.may_log_in(old["username"], old["password"])
        assert school.revisions() == []
        assert (school.status["proof"]["sqlState"], school.status["proof"]["login"]) == ("28P01", old["username"])
        assert school.condition("Ready") == "True Ready"
