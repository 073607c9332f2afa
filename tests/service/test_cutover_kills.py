"""A Cutover whose operator is killed, by SIGKILL, at each write and fail-point, on the way there and back."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import psycopg
import pytest

from aada_operator.adapters import postgres_cutover
from aada_operator.restores import cutover, retired
from tests.service.cutover_world import SAFETY, CutoverWorld, cutover_world
from tests.service.operator_kills import Killer
from tests.service.servers import PostgresServer

# The steps that do something of their own; the others only demand, and what they write is among the writes.
STEPS = ("Plan", "Load", "SafetyBackup", "Properties", "Swap", "Record")


def fail_points(*modules: object) -> set[str]:
    """Those of the code itself, for a point that nobody reaches proves nothing."""
    sources = [inspect.getsource(module) for module in modules]  # type: ignore[arg-type]
    return {name for source in sources for name in re.findall(r'failpoint\("([^"]+)"\)', source)}


def reached(killer: Killer) -> set[str]:
    """The names of what the operator passes on its way."""
    return {name.rpartition(" ")[0] for name in killer.left}


def assert_serves(world: CutoverWorld, word: str) -> None:
    """One live database with this content, with all that belonged to it, in which the application may be."""
    assert world.content(world.live) == word
    assert world.properties(world.live) == world.before
    assert world.may_log_in()


def assert_released(world: CutoverWorld) -> None:
    """Nobody waits for this Cutover any more, in the cluster or on the server."""
    assert world.api.claims() == []
    assert world.locks() == 0


def assert_nothing_left(world: CutoverWorld) -> None:
    """Only the live database, and a Restore that can be deleted."""
    assert world.databases() == {world.live}
    assert not world.restored["metadata"].get("finalizers")


def forward(world: CutoverWorld) -> None:
    """A Cutover to its end, and to that of the time for which the old database is kept."""
    user = world.log_in()
    world.turns("phase", "Completed")
    with pytest.raises(psycopg.OperationalError):
        user.execute("SELECT 1")
    old = world.status["oldDatabase"]["name"]
    assert world.databases() == {world.live, old}
    assert world.content(old) == "live"
    assert_serves(world, "restored")
    assert_released(world)
    assert world.status["safetyBackup"] == SAFETY
    world.clock.advance(days=6)
    world.turn()
    assert world.databases() == {world.live, old}, "it is kept as long as was said"
    world.clock.advance(days=2)
    world.turns("oldDatabase.droppedAt", "2026")
    assert_nothing_left(world)
    assert_serves(world, "restored")


def back(world: CutoverWorld) -> None:
    """One that the smoke test ends: nothing is replaced, and what was loaded goes when its time is over."""
    user = world.log_in()
    world.turns("phase", "Failed")
    assert world.condition("Failed") == ("True", "SmokeFailed")
    leftover = world.status["leftover"]["name"]
    assert world.databases() == {world.live, leftover}
    assert_serves(world, "live")
    assert_released(world)
    world.clock.advance(days=8)
    world.turns("leftover.droppedAt", "2026")
    assert_nothing_left(world)
    assert_serves(world, "live")
    assert user.execute("SELECT 1").fetchone() == (1,), "who was in the live database is never sent away"


async def test_a_kill_anywhere_leads_to_one_live_database_and_the_old_one_kept(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    killer = Killer("both", apart=2)

    async def go() -> None:
        with cutover_world(postgres, tmp_path, killer) as world:
            forward(world)

    await killer.learn(go)
    assert fail_points(cutover, postgres_cutover, retired) <= reached(killer)
    assert {f"restore.{step}.{when}-act" for step in STEPS for when in ("before", "after")} <= reached(killer)
    for _ in killer.goes():
        await go()


async def test_a_kill_anywhere_on_the_way_back_leaves_the_live_database_as_it_was(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    killer = Killer("both", apart=2)

    async def go() -> None:
        with cutover_world(postgres, tmp_path, killer, revision="0001") as world:
            back(world)

    await killer.learn(go)
    assert {*fail_points(retired), "restore.Smoke.before-act", "restore.Smoke.after-act"} <= reached(killer)
    for _ in killer.goes():
        await go()
