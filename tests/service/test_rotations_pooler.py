"""A SecretRotation behind a real PgBouncer: nobody is refused, nothing of the old login is left, and what it needs."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aada_operator.adapters.pgbouncer import REFUSALS
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.adapters.postgres_refusal import refusal
from aada_operator.rotations import alternating
from tests.service.operator_kills import Killer
from tests.service.poolers import AUTH_QUERY, LOOKUP, Crowd, PooledWorld, PoolerServer
from tests.service.rotation_world import installed
from tests.service.secrecy import found, leaks, logged
from tests.service.servers import PostgresServer, wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "rotations.md").read_text()


@pytest.fixture
def school(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PooledWorld]:
    """An AadaLms to be, behind a pooler that is not started yet; what is idle is so after a moment."""
    monkeypatch.setattr(alternating, "IDLE_SECONDS", 0.3)
    with PoolerServer(postgres, f"lms_{os.urandom(4).hex()}") as pooler:
        made = PooledWorld(pooler)
        yield made
        made.clear()


async def test_under_steady_logins_nobody_is_refused_and_no_old_session_is_left(school: PooledWorld) -> None:
    await installed(school)
    old = school.secret()
    assert (old["host"], old["port"]) == (school.pooler.host, str(school.pooler.port))
    assert f"@{school.pooler.host}:{school.pooler.port}/" in old["url"]
    school.crowd.start()
    while school.crowd.logins <= 100:  # however fast a login is on this machine
        await school.rotate()
        await school.rotate()
    school.crowd.leave()
    assert set(school.past()) == {"Rotated"}
    assert school.crowd.refused == []
    assert "RECONNECT" not in school.pooler.log(), "see the test of a pooler that is just logging in"
    assert (school.status["proof"]["sqlState"], school.status["proof"]["sessionsLeft"]) == ("28P01", 0)
    held = school.secret()
    assert held["username"] == old["username"], "an even number ends with the first role, with another password"
    assert (held["host"], held["port"]) == (old["host"], old["port"])
    assert not school.may_log_in(old["username"], old["password"])
    assert school.may_log_in(held["username"], held["password"])
    assert school.server_sessions(f"{school.database}_b") == 0


async def test_sessions_that_the_pooler_keeps_hold_nothing_up(
    school: PooledWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep them for ten minutes: as long as a rotation has."""
    await installed(school)
    login = school.secret()["username"]
    monkeypatch.setattr(alternating, "IDLE_SECONDS", 60)
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    assert school.server_sessions(login) > 0
    monkeypatch.setattr(alternating, "IDLE_SECONDS", 0.3)
    await school.turns(until="Grace")
    wait_for(lambda: school.server_sessions(login) == 0, "the sessions of the old login to end")
    assert all(session.execute("SELECT 1") for session in school.sessions.values()), "nobody is cut off"


@asynccontextmanager
async def somebody_left(school: PooledWorld) -> AsyncIterator[psycopg.Connection[Any]]:
    """All but one client, who is in a transaction, have changed over."""
    held = school.secret()
    client = school.log_in(held["username"], held["password"])
    school.clock.advance(days=31)
    with client.transaction():
        client.execute("SELECT 1")
        await school.turns(until="Converge")
        await heard(school, f": 1 sessions of {held['username']}")
        yield client


async def test_a_session_that_is_used_late_is_not_kept_for_as_long_as_a_rotation_has(school: PooledWorld) -> None:
    """That of a pod on its way out, say: the pooler would keep it for ten minutes more."""
    await installed(school)
    held = school.secret()
    async with somebody_left(school) as late:
        pass
    late.execute("SELECT 1")
    late.close()
    assert school.server_sessions(held["username"]) > 0, "the pooler keeps it"
    await school.turns(until="Grace")
    assert school.server_sessions(held["username"]) == 0


async def test_sessions_of_the_new_login_stay(school: PooledWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await installed(school)
    found = f"SELECT min(pid) FROM pg_stat_activity WHERE usename = '{school.database}_b'"
    monkeypatch.setattr(alternating, "IDLE_SECONDS", 60)
    school.clock.advance(days=31)
    await school.turns(until="Converge")
    await heard(school, f": 1 sessions of {school.database}_a")
    before = school.postgres.value(found)
    assert before
    monkeypatch.setattr(alternating, "IDLE_SECONDS", 0.3)
    await school.turns(until="Grace")
    assert school.postgres.value(found) == before


def log_in_more(crowds: list[Crowd]) -> None:
    """Each of them logs in a few times more, however fast a login is on this machine."""
    before = [crowd.logins for crowd in crowds]
    wait_for(
        lambda: all(crowd.logins > seen + 5 for crowd, seen in zip(crowds, before, strict=True)), "each crowd to log in"
    )


async def test_a_pooler_that_is_just_logging_in_at_the_server_refuses_nobody(school: PooledWorld) -> None:
    """Each client needs a session of its own, whose login takes a while: at any moment some are half-way.

    One that is closed then, as by RECONNECT, passes for a login that failed: all clients are refused for 15 s.
    """
    school.pooler.settings, school.pooler.options = "server_lifetime = 0", "connect_query='SELECT pg_sleep(0.05)'"
    await installed(school)
    held = school.secret()
    crowds = [Crowd(school.pooler) for _ in range(4)]
    for crowd in crowds:
        crowd.pods["old"] = (held["username"], held["password"])
        crowd.start()
    school.clock.advance(days=31)
    school.stuck = True
    await school.turns(until="Converge")
    log_in_more(crowds)
    school.stuck = False
    held = school.secret()
    for crowd in crowds:
        with crowd.lock:
            crowd.pods = {"new": (held["username"], held["password"])}
    log_in_more(crowds)
    await school.turns(until="Grace")
    for crowd in crowds:
        crowd.leave()
    assert sum(crowd.logins for crowd in crowds) > 40
    assert [said for crowd in crowds for said in crowd.refused] == []


async def test_somebody_who_goes_on_with_the_old_login_is_told_and_not_cut_off(school: PooledWorld) -> None:
    await installed(school)
    held = school.secret()
    async with somebody_left(school) as report:
        report.execute("SELECT 1")
    report.close()
    await school.turns(until="Grace")
    assert school.server_sessions(held["username"]) == 0


async def test_a_kill_at_any_write_leads_to_the_same_end(school: PooledWorld) -> None:
    """Killed before a write: what the server was told since the one before is done, and nobody has noted it."""
    await installed(school)
    school.crowd.start()
    killer = school.server.killer = Killer("before")
    await killer.learn(school.rotate)
    for _ in killer.goes():
        old = school.secret()
        await school.rotate()
        assert school.past()[0] == "Rotated"
        assert school.open_logins() == [school.secret()["username"]]
        assert not school.may_log_in(old["username"], old["password"])
        assert school.server_sessions(old["username"]) == 0
        assert school.revisions() == []
    school.crowd.leave()
    assert school.crowd.refused == []


async def test_the_way_back_leaves_no_session_of_the_new_login_in_the_pooler(school: PooledWorld) -> None:
    await installed(school)
    old = school.secret()
    async with somebody_left(school) as report:
        assert school.server_sessions(f"{school.database}_b") > 0
        school.clock.advance(minutes=11)
        await school.turns()
    report.close()
    assert school.past() == ["RolledBack Converging"]
    assert school.secret() == old
    assert school.may_log_in(old["username"], old["password"])
    assert school.server_sessions(f"{school.database}_b") == 0


async def test_a_pooler_that_does_not_know_the_login_is_refused_before_anything_is_touched(school: PooledWorld) -> None:
    await installed(school)
    school.pooler.asks = False
    restarted(school)
    school.clock.advance(days=31)
    await settled(school, "True PoolerRefusesLogin", "Stalled")
    assert school.told().startswith("database.pooler: ")
    assert "auth_query" in school.told()
    assert school.revisions() == []


async def heard(school: PooledWorld, words: str) -> None:
    """Some turns, until the message is this: a pooler ends sessions in its own time."""
    for _ in range(100):
        await school.turn()
        if words in school.told():
            return
    raise AssertionError(school.told())


async def settled(school: PooledWorld, said: str, kind: str = "Ready") -> None:
    """Some turns, until a condition says something."""
    for _ in range(20):
        await school.turn()
        if school.said(kind) == said:
            return
    raise AssertionError(school.told())


async def test_a_pooler_with_a_list_of_users_is_refused_before_anything_is_published(school: PooledWorld) -> None:
    await installed(school)
    held = school.secret()
    school.pooler.users, school.pooler.asks = {held["username"]: held["password"]}, False
    restarted(school)
    school.clock.advance(days=31)
    await school.turns(60)
    assert school.past() == ["RolledBack PoolerRefusesLogin"]
    assert "auth_query" in school.told()
    assert school.secret() == held
    assert school.open_logins() == [held["username"]]


def restarted(school: PooledWorld) -> None:
    """The pooler begins anew, with what it is configured to."""
    school.pooler.stop()
    school.pooler.start()


async def test_a_pooler_that_lets_everybody_in_is_refused(school: PooledWorld) -> None:
    await installed(school)
    held = school.secret()
    school.pooler.users, school.pooler.auth_type = {held["username"]: held["password"]}, "trust"
    restarted(school)
    school.clock.advance(days=31)
    await settled(school, "True PasswordNotAsked", "Stalled")
    assert school.told().startswith("database.pooler: ")
    assert school.revisions() == []


async def test_a_console_user_who_may_only_look_is_enough(school: PooledWorld) -> None:
    await installed(school)
    school.pooler.admin = f"nobody\nstats_users = {school.pooler.admin}"
    restarted(school)
    await school.rotate()
    assert school.past() == ["Rotated"]


async def test_a_pooler_that_is_away_before_is_waited_for(school: PooledWorld) -> None:
    await installed(school)
    school.pooler.stop()
    school.clock.advance(days=31)
    await settled(school, "False ConnectionRefused")
    assert "database.pooler.host" in school.told()
    assert school.revisions() == []
    school.pooler.start()
    await school.rotate(seconds=1)
    assert school.past() == ["Rotated"]


@pytest.mark.parametrize("step", ["Converge", "RetireOld"])
async def test_a_pooler_that_goes_away_afterwards_is_waited_for(school: PooledWorld, step: str) -> None:
    await installed(school)
    old = school.secret()
    school.clock.advance(days=31)
    if step == "RetireOld":
        await school.turns(until="Grace")
        school.clock.advance(minutes=16)
    await school.turns(until=step)
    school.pooler.stop()
    for _ in range(5):
        await school.turn()
    assert school.past() == []
    school.pooler.start()
    if step == "Converge":
        await school.turns(until="Grace")
        school.clock.advance(minutes=16)
    await school.turns(seconds=5)
    assert school.past() == ["Rotated"]
    assert not school.may_log_in(old["username"], old["password"])


async def test_what_it_answers_to_a_login_that_is_wrong_counts_as_a_refusal(school: PooledWorld) -> None:
    await installed(school)
    held, endpoint = school.secret(), Endpoint(school.pooler.host, school.pooler.port, "disable", allow_local=True)

    async def answer(user: str, password: str) -> str | None:
        return await refusal(endpoint, Login(user, password, ""), school.database)

    assert await answer(held["username"], held["password"]) == ""
    assert await answer(held["username"], "wrong") in REFUSALS
    assert await answer("nobody", "wrong") in REFUSALS
    school.postgres.execute(f'ALTER ROLE "{held["username"]}" NOLOGIN')
    assert await answer(held["username"], held["password"]) in REFUSALS
    school.pooler.stop()
    assert await answer(held["username"], held["password"]) is None


async def test_the_operator_leaves_no_setting_behind_in_a_session_that_others_get(school: PooledWorld) -> None:
    await installed(school)
    (session,) = school.sessions.values()
    before = session.execute("SHOW statement_timeout").fetchone()
    await school.rotate()
    with school.log_in(school.secret()["username"], school.secret()["password"]) as anew:
        assert anew.execute("SHOW statement_timeout").fetchone() == before


async def test_no_password_is_told_or_logged(school: PooledWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await installed(school)
    await school.rotate()
    await school.rotate()
    passwords = [name for name in school.server.made.values() if name.startswith("password")]
    assert len(passwords) == 3, "the first one, and that of each rotation"
    assert "canary-console" in school.server.held
    log = logged(caplog)
    assert leaks(school, log) == []
    secrets = school.server.held | {"canary-lookup": "password of the pooler's role"}
    assert found(secrets, [("the operator's log", log), ("the pooler's log", school.pooler.log())]) == []


def test_the_page_shows_the_function_that_is_tested() -> None:
    shown = re.sub(r"\s+", " ", PAGE)
    lines = [re.sub(r"\s+", " ", line).strip() for line in LOOKUP.splitlines() if line and "{" not in line]
    assert len(lines) > 4
    assert [line for line in lines if line not in shown] == []
    settings = ("auth_type = scram-sha-256", "pool_mode = transaction", AUTH_QUERY.splitlines()[1])
    assert [setting for setting in settings if setting not in PAGE] == []
