"""Two operators at one server, as when one that was thought dead wakes up in the middle: one changes roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aada_operator.adapters import postgres_rotation
from aada_operator.core.resources import SECRETS
from tests.service.rotation_world import KEY, RotationWorld, installed

# Whose session holds an advisory lock in the database of this name.
HOLDER = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = '{}')
"""


def found(school: RotationWorld) -> tuple[Any, ...]:
    """All that a rotation changes: Secrets, and roles with their passwords."""
    roles = school.column("SELECT a::text FROM pg_authid a WHERE starts_with(rolname, %s) ORDER BY 1")
    return roles, {name: school.server.read(SECRETS, name) for name in school.server.names(SECRETS)}


@asynccontextmanager
async def in_the_middle(school: RotationWorld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """An operator stands still where it makes the new login, and goes on afterwards; meanwhile there is another one."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    act = postgres_rotation.open_login

    async def slow(*arguments: Any) -> None:
        arrived.set()
        await go_on.wait()
        await act(*arguments)

    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="Generate")
    with monkeypatch.context() as patched:
        patched.setattr(postgres_rotation, "open_login", slow)
        first = asyncio.create_task(school.rotations.visit(KEY))
        await asyncio.wait_for(arrived.wait(), 20)
        patched.undo()
        school.restart()
        try:
            yield
        finally:
            go_on.set()
            await first


async def test_the_second_does_nothing_and_says_who_is_at_work(
    school: RotationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_the_middle(school, monkeypatch):
        before, holder = found(school), school.postgres.value(HOLDER.format("postgres"))
        await school.rotations.visit(KEY)
        assert found(school) == before
        assert school.status["step"] == "ApplyToDatabase"
        assert school.told().startswith(f"another session of the operator (process {holder} of the server, from ")
        assert school.told().endswith(f" changes {school.database} right now")
    await ended_well(school)


async def test_one_that_lost_its_lock_but_not_its_session_still_keeps_the_second_away(
    school: RotationWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_the_middle(school, monkeypatch):
        before = found(school)
        assert school.postgres.value(f"SELECT pg_terminate_backend(({HOLDER.format('postgres')}), 5000)")
        await school.rotations.visit(KEY)
        assert found(school) == before
        holder = school.postgres.value(HOLDER.format(school.database))
        assert f"(process {holder} of the server" in school.told()
    await ended_well(school)


async def ended_well(school: RotationWorld) -> None:
    """Both operators go on, by turns, and one login is left."""
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    held = school.secret()
    assert school.past() == ["Rotated"]
    assert school.open_logins() == [held["username"]]
    assert school.may_log_in(held["username"], held["password"])
    assert school.status["revision"] == 1
