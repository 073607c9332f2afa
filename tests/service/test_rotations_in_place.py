"""A SecretRotation InPlace against a real PostgreSQL: one login, its new password, and what that costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import psycopg
import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import AADA_LMS, SECRET_ROTATIONS, SECRETS
from tests.service.operator_kills import Killer
from tests.service.rotation_world import ROTATION, RotationWorld, adopted
from tests.service.secrecy import leaks, logged

ALWAYS: dict[str, Any] = {"schedule": "0 * * * *", "duration": "1h"}
SUNDAY: dict[str, Any] = {"schedule": "0 3 * * SUN", "duration": "2h"}


async def prepared(school: RotationWorld, *windows: dict[str, Any], **spec: Any) -> dict[str, str]:
    """An LMS that serves, with windows, and a rotation InPlace that is not due yet; returns the login."""
    school.create(maintenanceWindows=list(windows))
    await school.settle()
    school.declare(strategy="InPlace", **spec)
    school.run_pods()
    await school.turn()
    return school.secret()


async def rotate(school: RotationWorld) -> None:
    """Wait until it is due, and then for its end; the step that a kill falls into may never be seen."""
    before = school.status["revision"]
    school.clock.advance(days=31)
    for _ in range(80):
        await school.turn()
        if school.status["revision"] > before and school.is_at_rest():
            return
        school.clock.advance(seconds=1)
    raise AssertionError(f"not over after 80 turns: {school.told()}")


def agreed(school: RotationWorld, old: dict[str, str]) -> None:
    """One login of the same name, the Secret and the server agree, and nothing of a rotation is left."""
    held = school.secret()
    assert held["username"] == old["username"]
    assert school.open_logins() == [held["username"]]
    assert school.may_log_in(held["username"], held["password"])
    assert school.revisions() == []
    assert school.server.claims() == []
    assert school.condition("Ready") == "True Ready"


async def test_the_login_keeps_its_name_and_the_old_password_is_proved_dead(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    await rotate(school)
    held = school.secret()
    assert held["password"] != old["password"]
    assert held["url"] == old["url"].replace(old["password"], held["password"])
    agreed(school, old)
    assert not school.may_log_in(old["username"], old["password"])
    proof = school.status["proof"]
    assert (proof["sqlState"], proof["login"], proof["by"], proof["sessionsLeft"]) == (
        "28P01",
        old["username"],
        old["username"],
        0,
    )
    assert (school.past(), school.said("Ready")) == (["Rotated"], "True Rotated")
    assert "the password before is refused with 28P01" in school.told()
    assert school.status["strategy"] == "InPlace"


async def test_sessions_go_on_until_their_pod_is_restarted_and_logins_fail_meanwhile(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    before = dict(school.sessions)
    school.stuck = True
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    await school.turn()
    assert all(session.execute("SELECT 1") for session in before.values())
    assert not school.may_log_in(old["username"], old["password"])
    assert "logins of these are refused until they are restarted: pods aada-backend" in school.told()
    school.stuck = False
    await school.turns()
    assert all(session.closed for session in before.values())
    assert all(session.execute("SELECT 1") for session in school.sessions.values()), "the new one is not cut off"


async def test_nobody_puts_the_old_password_back_before_the_new_one_is_published(school: RotationWorld) -> None:
    """The AadaLms repairs the password of its login; not while a rotation knows better."""
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    await school.turns(until="SetPassword")
    await school.visit()
    new = school.secret(f"{ROTATION}-r1")
    assert school.secret() == old, "not published yet"
    assert school.may_log_in(new["username"], new["password"])
    assert not school.may_log_in(old["username"], old["password"])


async def test_a_session_of_nobody_declared_is_ended_after_everybody_else_has_changed_over(
    school: RotationWorld,
) -> None:
    old = await prepared(school, ALWAYS)
    report = school.log_in(old["username"], old["password"])
    school.stuck = True
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    report.execute("SELECT 1")
    school.stuck = False
    await school.turns()
    with pytest.raises(psycopg.OperationalError):
        report.execute("SELECT 1")
    assert school.past() == ["Rotated"]


@pytest.mark.parametrize("asked", [False, True])
async def test_it_begins_in_a_window_only_also_when_it_is_asked_for(school: RotationWorld, asked: bool) -> None:
    old = await prepared(school, SUNDAY, **({"schedule": None} if asked else {}))
    school.clock.advance(days=31)  # a Wednesday
    if asked:
        school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    for _ in range(3):
        await school.turn()
        school.clock.advance(hours=1)
    assert (school.secret(), school.revisions()) == (old, [])
    assert school.said("Ready") == "True WaitsForWindow"
    opens = school.status["nextRotation"]
    assert f"it is due, and waits for the maintenance window at {opens}" in school.told()
    assert opens > to_rfc3339(school.clock.now()), "so no alert says that it is overdue"
    while to_rfc3339(school.clock.now()) < opens:
        await school.turn()
        assert school.revisions() == []
        school.clock.advance(hours=1)
    await school.turns()
    assert school.past() == ["Rotated"]


@pytest.mark.parametrize("windows", [[], [{"kind": "Deny"} | SUNDAY]])
async def test_without_a_window_of_kind_allow_it_is_refused(
    school: RotationWorld, windows: list[dict[str, Any]]
) -> None:
    old = await prepared(school, *windows)
    school.clock.advance(days=31)
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    await school.turn()
    assert school.said("Stalled") == "True NoMaintenanceWindow"
    assert "add one of kind Allow" in school.told()
    assert (school.secret(), school.revisions()) == (old, [])
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [ALWAYS]
    await school.turns()
    assert school.past() == ["Rotated"]


async def test_a_window_that_closes_before_the_password_is_changed_changes_nothing(school: RotationWorld) -> None:
    """Say the operator was away in between: by day no login of a school may fail."""
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    await school.turns(until="Generate")
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [SUNDAY]
    await school.turns()
    assert school.past() == ["RolledBack WindowClosed"]
    assert school.secret() == old
    agreed(school, old)


async def test_pods_that_do_not_change_over_lead_back(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    school.stuck = True
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    new = school.secret()
    school.clock.advance(minutes=11)
    await school.turn()
    school.stuck = False
    await school.turns()
    assert school.past() == ["RolledBack Converging"]
    assert school.secret() == old
    agreed(school, old)
    assert not school.may_log_in(new["username"], new["password"])
    assert school.said("Ready") == "False RolledBack"


async def test_a_secret_that_somebody_changes_meanwhile_is_left_and_the_old_password_works_again(
    school: RotationWorld,
) -> None:
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    await school.turns(until="SetPassword")
    school.stuck = True  # a pod that starts at this moment could not log in
    live = school.server.read(SECRETS, "aada-db")
    live["data"]["note"] = school.encoded(x="by hand")["x"]
    live["metadata"]["resourceVersion"] = "by-hand"
    await school.turns()
    assert school.past() == ["RolledBack SecretDataDrift"]
    assert school.secret() == old | {"note": "by hand"}
    agreed(school, old)


async def test_a_rotation_that_is_deleted_half_way_goes_back_first(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    school.stuck = True
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    await deleted(school)
    assert school.secret() == old
    agreed(school, old)


async def test_one_that_is_deleted_after_everybody_has_changed_over_is_finished(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    report = school.log_in(old["username"], old["password"])
    await school.turns(until="EndSessions")
    await deleted(school)
    report.close()
    assert not school.may_log_in(old["username"], old["password"])
    agreed(school, old)


async def deleted(school: RotationWorld) -> None:
    school.server.remove(SECRET_ROTATIONS, ROTATION)
    school.stuck = False
    for _ in range(20):
        if ROTATION not in school.server.names(SECRET_ROTATIONS):
            await school.settle()
            return
        await school.turn()
        school.clock.advance(seconds=1)
    raise AssertionError(f"still there: {school.status['step']}")


async def test_what_was_begun_in_place_ends_so_whatever_the_spec_says_then(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    await school.turns(until="SetPassword")
    del school.rotation["spec"]["strategy"]
    await school.turns()
    agreed(school, old)
    assert not school.may_log_in(old["username"], old["password"])
    assert school.status["strategy"] == "AlternatingRoles", "the next one is as the spec says"


async def test_a_role_that_owns_everything_keeps_it(school: RotationWorld) -> None:
    """Nothing is adopted: for this strategy an installation with one role is as good as any."""
    role = await adopted(school)
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [ALWAYS]
    school.rotation["spec"]["strategy"] = "InPlace"
    await school.settle()
    await rotate(school)
    assert school.past() == ["Rotated"]
    held = school.secret()
    assert (held["username"], held["password"] != "chosen-by-hand") == (role, True)
    assert held["url"].endswith("?x=1")
    assert school.open_logins() == [role]
    assert role in school.owners()


async def test_an_admin_that_is_no_superuser_can_do_it(school: RotationWorld) -> None:
    boss = f"{school.database}_boss"
    school.postgres.execute(f"CREATE ROLE \"{boss}\" LOGIN CREATEDB CREATEROLE PASSWORD 'boss'")
    school.server.read(SECRETS, "db-admin")["data"] = school.encoded(username=boss, password="boss")
    old = await prepared(school, ALWAYS)
    report = school.log_in(old["username"], old["password"])
    await rotate(school)
    assert school.past() == ["Rotated"]
    with pytest.raises(psycopg.OperationalError):
        report.execute("SELECT 1")
    assert all(session.execute("SELECT 1") for session in school.sessions.values())


async def test_a_lost_status_loses_the_history_and_nothing_else(school: RotationWorld) -> None:
    old = await prepared(school, ALWAYS)
    school.clock.advance(days=31)
    for _ in range(12):
        school.rotation.pop("status", None)
        await school.turn()
    await school.turns()
    assert school.past() == ["Rotated"]
    agreed(school, old)
    assert school.status["proof"]["sqlState"] == "28P01"


async def test_no_password_is_told_or_logged(school: RotationWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await prepared(school, ALWAYS)
    await rotate(school)
    await rotate(school)
    passwords = [name for name in school.server.made.values() if name.startswith("password")]
    assert len(passwords) == 3, "the first one, and that of each rotation"
    assert leaks(school, logged(caplog)) == []


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(school: RotationWorld, moment: str) -> None:
    await prepared(school, ALWAYS)
    killer = school.server.killer = Killer(moment)
    await killer.learn(partial(rotate, school))
    assert len(killer.left) >= 12
    for _ in killer.goes():
        old, revision = school.secret(), school.status["revision"]
        await rotate(school)
        assert (school.past()[0], school.status["revision"]) == ("Rotated", revision + 1), school.server.writes[-8:]
        agreed(school, old)
        assert not school.may_log_in(old["username"], old["password"])
        assert school.status["proof"]["sqlState"] == "28P01"


async def test_a_kill_at_any_write_of_the_way_back_leads_to_the_same_end(school: RotationWorld) -> None:
    """Killed before a write: what the server was told since the one before is done, and nobody has noted it."""

    async def fail() -> None:
        school.clock.advance(days=31)
        school.stuck = True
        await school.turns(until="Converge")
        school.clock.advance(minutes=11)
        await school.turns(until="Reconverge")
        school.stuck = False
        await school.turns()

    await prepared(school, ALWAYS)
    killer = school.server.killer = Killer("before")
    await killer.learn(fail)
    for _ in killer.goes():
        old = school.secret()
        await fail()
        assert school.past()[0] == "RolledBack Converging"
        assert school.secret() == old
        agreed(school, old)
