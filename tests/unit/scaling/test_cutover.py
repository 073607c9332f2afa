"""A Restore that replaces the database beside a ScalingPolicy: both real reconcilers around one API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from aada_operator.core.database import ConnectionLimits
from aada_operator.core.resources import BACKUPS
from tests.unit.restores.rehearsal import RESTORE, Rehearsal, rehearsal
from tests.unit.scaling.world import Make, World, scaling

__all__ = ["rehearsal"]


@pytest.fixture
def restore(rehearsal: Rehearsal) -> Callable[[World], Rehearsal]:
    """Lets a backup be restored in the world of a policy."""

    def joined(world: World) -> Rehearsal:
        for key, body in rehearsal.api._objects.items():
            world.server._objects.setdefault(key, body)
        rehearsal.api, rehearsal.clock = world.server, world.clock
        rehearsal.restore("monday", target={"mode": "Cutover"}, mode="Auto")
        return rehearsal

    return joined


async def advanced(restore: Rehearsal) -> str:
    """The step at which the Restore waits for somebody else."""
    await asyncio.to_thread(restore.settle)
    return str(restore.status.get("step") or restore.status["phase"])


def resized(writes: list[str]) -> list[str]:
    """Those that change the size or its bounds."""
    return [write for write in writes if "deployments" in write or "horizontalpodautoscalers" in write]


async def test_the_load_is_followed_while_rows_are_loaded_and_not_in_the_cutover(
    make: Make, restore: Callable[[World], Rehearsal]
) -> None:
    world = await scaling(make)
    undo = restore(world)
    assert await advanced(undo) == "Load"
    world.load = 4
    await world.turns(2)
    assert (world.pods, world.bounds) == (4, (2, 5)), "rows go into another database: users need their pods"

    undo.end_job()
    assert (await advanced(undo), world.server.claims()) == ("SafetyBackup", [f"Restore {RESTORE} (Cutover)"])
    await world.turns(1)
    assert (world.bounds, world.status["limitedBy"]) == ((4, 4), "Operation")
    before = len(world.server.writes)
    world.load, world.limits = 2, ConnectionLimits(72, 3, roles=world.limits.roles)
    world.edit(minReplicas=1, maxReplicas=3)
    await world.turns(24)
    assert resized(world.server.writes[before:]) == []
    assert (world.pods, world.bounds) == (4, (4, 4))
    assert f"stay until Restore {RESTORE} (Cutover) is done" in world.told()

    world.server.read(BACKUPS, f"{RESTORE}-safety")["status"] = {"phase": "Completed"}
    await advanced(undo)
    assert (undo.status["phase"], undo.server.swaps, world.server.claims()) == ("Completed", 1, [])
    await world.turns(4)
    assert (world.pods, world.bounds, world.said()) == (2, (1, 3), "True Scaling")
