"""A rotation that is due waits for a maintenance window of its AadaLms, says so, and is then brought to its end."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.rotations.gauges import gauges
from tests.unit.rotations.world import SECRET, World

SPEC: dict[str, Any] = {"type": "Generic", "secretRef": {"name": SECRET, "key": "jwt"}}
# The first of March 2026 at four is due; it is a Sunday.
SATURDAY = {"schedule": "0 3 * * SAT", "duration": "1h"}
OPENS = "2026-03-07T03:00:00Z"


def school(*windows: dict[str, Any], **spec: Any) -> World:
    world = World(**(SPEC | spec))
    world.lms["spec"]["maintenanceWindows"] = list(windows)
    return world


def go_to(world: World, moment: str) -> None:
    world.clock.moment = from_rfc3339(moment)


async def test_it_names_the_moment_at_which_it_will_begin_and_not_when_it_is_due() -> None:
    world = school(SATURDAY)
    await world.turn()
    assert world.status["nextRotation"] == OPENS
    assert world.said() == "True NotDueYet"


async def test_one_that_is_due_waits_says_for_when_and_is_not_overdue() -> None:
    world = school(SATURDAY)
    await world.turn()
    go_to(world, "2026-03-05T12:00:00Z")
    await world.turn()
    assert (world.said(), world.revisions(), world.said("Stalled")) == ("True WaitsForWindow", [], "False Progressing")
    assert world.told().endswith(f"it is due, and waits for the maintenance window at {OPENS}")
    (due,) = (s.value for s in gauges(world.rotation) if s.name == "secret_rotation_next_timestamp_seconds")
    assert due > world.clock.now().timestamp(), "the alert is of what lies more than an hour back"


async def test_a_visit_to_one_that_waits_writes_nothing() -> None:
    world = school(SATURDAY)
    await world.turn()
    go_to(world, "2026-03-05T12:00:00Z")
    await world.turn()
    before = len(world.server.writes)
    for _ in range(3):
        world.clock.advance(minutes=5)
        await world.turn()
    assert world.server.writes[before:] == []


async def test_it_begins_when_the_window_opens_and_ends_after_it_has_closed() -> None:
    world = school(SATURDAY)
    await world.turn()
    go_to(world, "2026-03-07T02:59:59Z")
    await world.turn()
    assert world.revisions() == []
    world.stuck = True
    go_to(world, OPENS)
    await world.turns(until="Converge")
    assert world.status["step"] == "Converge"
    go_to(world, "2026-03-07T03:09:00Z")
    world.lms["spec"]["maintenanceWindows"] = [{"kind": "Deny", "schedule": "0 * * * *", "duration": "1h"}]
    world.stuck = False
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_who_asks_gets_it_at_once() -> None:
    world = school(SATURDAY)
    await world.turn()
    world.clock.advance(hours=1)
    world.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(world.clock.now())}
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_who_wants_no_windows_has_none() -> None:
    world = school(SATURDAY, windowsFrom="none")
    await world.turn()
    assert world.status["nextRotation"] == "2026-03-01T04:00:00Z"
    go_to(world, "2026-03-01T04:00:00Z")
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_one_that_was_rolled_back_is_tried_again_in_a_window_and_still_says_why() -> None:
    world = school({"schedule": "0 3 * * *", "duration": "90m"}, verify={"component": "nobody"})
    await world.turn()
    go_to(world, "2026-03-01T04:00:00Z")
    await world.turns()
    assert world.past() == ["RolledBack ComponentNotFound"]
    go_to(world, "2026-03-01T06:00:00Z")
    await world.turn()
    assert world.said() == "False RolledBack"
    assert "the AadaLms has no component nobody" in world.told()
    assert "waits for the maintenance window at 2026-03-02T03:00:00Z" in world.told()
    go_to(world, "2026-03-02T03:00:00Z")
    await world.turns()
    assert len(world.past()) == 2


@pytest.mark.parametrize("suspend", [False, True])
async def test_windows_that_never_open_are_told_unless_nothing_shall_begin(suspend: bool) -> None:
    world = school({"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h"}, suspend=suspend)
    await world.turn()
    assert world.said("Stalled") == ("False Progressing" if suspend else "True NoMaintenanceWindow")
    assert "nextRotation" not in world.status
    go_to(world, "2026-03-01T04:00:00Z")
    await world.turn()
    assert world.revisions() == []
