"""What the server refuses or holds up before the new login is published leads a SecretRotation back."""

from collections.abc import Awaitable, Callable

import pytest

from tests.service.rotation_world import RotationWorld, adopted, fresh_backup, installed, rolled_back

Install = Callable[[RotationWorld], Awaitable[object]]


async def test_a_new_login_that_the_server_does_not_let_in_leads_back(school: RotationWorld) -> None:
    await installed(school)
    old = school.secret()
    school.clock.advance(days=31)
    await school.turns(until="Generate")
    school.postgres.execute(f'ALTER ROLE "{old["username"]}" CONNECTION LIMIT 0')
    for _ in range(3):
        await school.turn()
    assert school.said("Ready") == "False NewLoginRefused"
    assert "with 53300" in school.told()
    school.clock.advance(minutes=11)
    await school.turn()
    school.postgres.execute(f'ALTER ROLE "{old["username"]}" CONNECTION LIMIT -1')
    await school.turns()
    rolled_back(school, "NewLoginRefused", old)


async def test_owners_that_cannot_be_changed_in_time_lead_back(school: RotationWorld) -> None:
    """Somebody holds a table for longer than the rotation waits."""
    role = await adopted(school)
    fresh_backup(school)
    old = school.secret()
    school.clock.advance(days=31)
    with school.postgres.admin(school.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE students IN ACCESS SHARE MODE")
        await school.turns(until="HandOver")
        school.clock.advance(minutes=11)
        await school.turn()
    await school.turns()
    rolled_back(school, "LockTimeout", old)
    assert role in school.owners(), "all or nothing"


@pytest.mark.parametrize("install", [installed, adopted])
async def test_a_new_login_that_acts_as_another_role_leads_back(school: RotationWorld, install: Install) -> None:
    """A setting that somebody left for the database, say: what the application would make would be the login's own."""
    await install(school)
    fresh_backup(school)
    old = school.secret()
    new = f"{school.database}_b" if install is installed else f"{school.database}_a"
    school.clock.advance(days=31)
    await school.turns(until="ApplyToDatabase")
    school.postgres.execute(f'ALTER ROLE "{new}" IN DATABASE "{school.database}" SET role = "{new}"')
    await school.turns()
    rolled_back(school, "NewLoginWrong", old)
    assert f"a session of {new} acts as {new}, not as {school.database}_owner" in school.told()
    with school.log_in(old["username"], old["password"]) as session:
        assert session.execute("SELECT current_user").fetchone() == (f"{school.database}_owner",)
