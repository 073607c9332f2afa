"""A credential that leaked, against a real PostgreSQL: the old login is closed at once, refresh tokens are revoked."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from aada_operator.core.resources import PODS, SECRETS
from tests.service.operator_kills import Killer
from tests.service.rotation_world import ROTATION, RotationWorld, installed
from tests.service.signing import KEYS, alive, ask, signing
from tests.unit.rotations.job_runs import begin_run


def sessions_end(session: psycopg.Connection[Any]) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


async def test_a_leaked_login_is_closed_and_who_has_a_session_is_cut_off(school: RotationWorld) -> None:
    await installed(school, emergency=True, gracePeriod="24h")
    old = school.secret()
    begin_run(school.server, school.clock, "aada-db")
    thief = school.log_in(old["username"], old["password"])
    ask(school)
    begun = school.clock.now()
    await school.turns(60)
    assert school.clock.now() - begun < timedelta(minutes=1), "nobody waits for a grace period or a run"
    assert school.past() == ["Rotated"]
    assert sessions_end(thief)
    assert not school.may_log_in(old["username"], old["password"])
    assert all(session.execute("SELECT 1") for session in school.sessions.values()), "the application goes on"
    proof = school.status["proof"]
    assert (proof["sqlState"], proof["sessionsLeft"], proof["login"]) == ("28P01", 0, old["username"])
    assert school.status["history"][0]["emergency"] is True


async def test_a_login_that_leaked_is_closed_at_once_also_in_the_middle_of_its_grace_period(
    school: RotationWorld,
) -> None:
    await installed(school, gracePeriod="24h")
    old = school.secret()
    school.clock.advance(hours=1)
    ask(school)
    await school.turns(until="Grace")
    school.rotation["spec"]["emergency"] = True
    await school.turns()
    assert school.past() == ["Rotated"]
    assert not school.may_log_in(old["username"], old["password"])


async def test_a_rotation_of_the_schedule_cuts_nobody_off(school: RotationWorld) -> None:
    await installed(school, emergency=True)
    old = school.secret()
    report = school.log_in(old["username"], old["password"])
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    for _ in range(5):
        await school.turn()
    assert school.status["step"] == "Converge"
    report.execute("SELECT 1")
    report.close()


async def test_a_kill_at_any_write_leads_to_the_same_end(school: RotationWorld) -> None:
    """Killed before a write: what the server was told since the one before is done, and nobody has noted it."""
    await installed(school, emergency=True, gracePeriod="24h")
    killer = school.server.killer = Killer("before")
    ask(school)
    await killer.learn(partial(school.turns, 60))
    for _ in killer.goes():
        old = school.secret()
        thief = school.log_in(old["username"], old["password"])
        ask(school)
        await school.turn()  # one that is killed at its first write has nothing yet, and looks as if it were at rest
        await school.turns(80)
        assert school.past()[0] == "Rotated"
        assert sessions_end(thief)
        assert school.open_logins() == [school.secret()["username"]]
        assert (school.status["proof"]["sqlState"], school.status["proof"]["login"]) == ("28P01", old["username"])


def accepts_leaked(school: RotationWorld) -> bool:
    """Whether a pod has what the Secret held before it held no leaked key any more, or the Secret still holds it."""
    live = school.server.read(SECRETS, KEYS)
    if "first-key" in school.secret(KEYS).values():
        return True
    mark = f"rotation.lms.aada.edu/{ROTATION}"
    pods = [school.server.read(PODS, name)["metadata"]["annotations"] for name in school.sessions]
    return any(pod.get(mark) != live["metadata"]["annotations"][mark] for pod in pods)


@pytest.mark.parametrize("strategy", ["ThreePhase", "BlueGreen"])
async def test_refresh_tokens_are_revoked_once_no_pod_accepts_the_leaked_key(
    school: RotationWorld, strategy: str
) -> None:
    await signing(school, strategy=strategy)
    ask(school)
    order: list[tuple[bool, int]] = []
    while not (order and school.is_at_rest()):
        await school.turn()
        order.append((accepts_leaked(school), alive(school)))
        school.clock.advance(seconds=1)
        assert len(order) < 60, school.status
    assert [*dict.fromkeys(order)] == [(True, 2), (False, 2), (False, 0)]
    assert school.past() == ["Rotated"]
    assert school.status["proof"]["tokensRevoked"] == 2
    assert "2 tokens revoked" in school.told()
    assert "28P01" not in str(school.status["proof"])


async def test_a_rotation_of_the_schedule_revokes_nothing(school: RotationWorld) -> None:
    await signing(school)
    school.clock.advance(days=31)
    await school.turns(until="Grace")
    school.clock.advance(minutes=20)
    await school.turns()
    assert school.past() == ["Rotated"]
    assert alive(school) == 2
    assert "tokensRevoked" not in school.status["proof"]


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("UPDATE refresh_token SET revoked_at = now()", "42P01"),
        ("UPDATE refresh_tokens SET revoked = now()", "42703"),
        ("DELETE FROM refresh_tokens; DELETE FROM refresh_tokens", "42601"),
        ("DELETE FROM payroll", "42501"),
        ("DELETE FROM pg_authid", "42501"),
        ("ALTER TABLE refresh_tokens DROP COLUMN revoked_at", "42601"),
    ],
)
async def test_a_statement_that_the_application_could_not_run_is_told_before_anything_is_touched(
    school: RotationWorld, statement: str, state: str
) -> None:
    await signing(school, statement)
    ask(school)
    await school.turn()
    assert school.said("Stalled") == "True RevocationRefused"
    assert school.told().startswith("jwt.revokeSql: ")
    assert state in school.told()
    assert school.revisions() == []
    assert alive(school) == 2


async def test_looking_whether_it_could_run_changes_nothing(school: RotationWorld) -> None:
    """Somebody who writes ANALYZE would have it run by EXPLAIN."""
    await signing(school, "ANALYZE DELETE FROM refresh_tokens")
    ask(school)
    await school.turn()
    assert alive(school) == 2
    assert school.revisions() == []


async def test_a_table_that_somebody_holds_is_waited_for(school: RotationWorld) -> None:
    await signing(school)
    ask(school)
    await school.turns(until="Converge")
    with school.postgres.admin(school.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE refresh_tokens IN SHARE MODE")
        await school.turns(until="RevokeTokens")
        await school.turn()
        assert school.said("Ready") == "False LockTimeout"
        assert school.secret(KEYS)["jwt"] != "first-key", "the key itself does not wait"
    await school.turns()
    assert school.past() == ["Rotated"]
    assert alive(school) == 0


@pytest.mark.parametrize("strategy", ["ThreePhase", "BlueGreen"])
async def test_a_kill_at_any_write_revokes_all_the_same(school: RotationWorld, strategy: str) -> None:
    await signing(school, strategy=strategy)
    killer = school.server.killer = Killer("after")
    ask(school)
    await killer.learn(partial(school.turns, 60))
    for _ in killer.goes():
        old = school.secret(KEYS)["jwt"]
        school.postgres.execute("UPDATE refresh_tokens SET revoked_at = NULL", school.database)
        ask(school)
        await school.turn()  # one that is killed at its first write has nothing yet, and looks as if it were at rest
        await school.turns(80)
        assert school.past()[0] == "Rotated"
        assert alive(school) == 0
        assert school.secret(KEYS)["jwt"] != old
        assert [name for name in school.server.names(SECRETS) if name.startswith("login-r")] == []
