"""An installation with one role is adopted in a maintenance window, also when somebody asks for it between two."""

from __future__ import annotations

from typing import Any

from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.resources import AADA_LMS
from tests.service.rotation_world import RotationWorld, adopted, fresh_backup

# The first of March 2026 is a Sunday.
SATURDAY = {"schedule": "0 3 * * SAT", "duration": "1h"}
OPENS = "2026-03-07T03:00:00Z"


async def asked(school: RotationWorld, *windows: dict[str, Any], **spec: Any) -> str:
    """One role, a fresh backup, windows, and somebody who wants a rotation now; returns the role."""
    role = await adopted(school)
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = list(windows)
    school.rotation["spec"] |= spec
    fresh_backup(school)
    await school.settle()
    school.clock.advance(hours=1)
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    return role


def owner(school: RotationWorld) -> str:
    """Who owns the table with the students."""
    (found,) = school.column("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'students' AND %s <> ''")
    return found


async def test_owners_are_changed_in_the_window_and_not_when_somebody_asks(school: RotationWorld) -> None:
    role = await asked(school, SATURDAY)
    for _ in range(3):
        await school.turn()
    assert school.said("Ready") == "False WaitsForWindow"
    assert school.told().endswith(f"in a maintenance window only: waits for the one at {OPENS}")
    assert (owner(school), school.revisions(), school.server.claims()) == (role, [], [])
    school.clock.moment = from_rfc3339(OPENS)
    await school.turns(until="Grace")
    assert owner(school) == f"{school.database}_owner"
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated"]


async def test_the_next_rotation_that_somebody_asks_for_changes_no_owners_and_needs_no_window(
    school: RotationWorld,
) -> None:
    await asked(school)
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [SATURDAY]
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    await school.turns(until="Grace")
    assert school.secret()["username"] == f"{school.database}_b"


async def test_a_window_that_closes_before_owners_are_changed_leads_back(school: RotationWorld) -> None:
    role = await asked(school, SATURDAY)
    school.clock.moment = from_rfc3339("2026-03-07T03:58:00Z")
    with school.postgres.admin(school.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE students IN ACCESS SHARE MODE")
        await school.turns(until="HandOver")
        assert school.said("Ready") == "False LockTimeout"
        school.clock.advance(minutes=2)
    await school.turns()
    assert school.past() == ["RolledBack WindowClosed"]
    assert (owner(school), school.open_logins()) == (role, [role])
    assert school.secret()["password"] == "chosen-by-hand"
    school.clock.advance(hours=2)
    await school.turn()
    assert school.said("Ready") == "False WaitsForWindow", "tried again in the next one"


async def test_a_login_that_leaked_is_not_left_open_until_a_window(school: RotationWorld) -> None:
    role = await asked(school, SATURDAY, emergency=True)
    await school.turns(60)
    assert school.past() == ["Rotated"]
    assert not school.may_log_in(role, "chosen-by-hand")
