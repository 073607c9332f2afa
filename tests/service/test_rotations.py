"""A SecretRotation against a real PostgreSQL: nobody is refused, the old login is proved dead, kills at every point."""

import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import pytest

from aada_operator.adapters import interlock
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, PODS, RESTORES, SECRET_ROTATIONS, SECRETS
from tests.service.rotation_world import CANARY, ROTATION, RotationWorld
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, custom_resource

Install = Callable[[RotationWorld], Awaitable[object]]


def drop(world: RotationWorld) -> None:
    """What a world left on the server."""
    world.close()
    world.postgres.dropdb(world.database)
    for suffix in ("_a", "_b", "_owner", "_app", "_boss"):
        role = f"{world.database}{suffix}"
        if world.postgres.value(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            world.postgres.execute(f'DROP OWNED BY "{role}"')
            world.postgres.execute(f'DROP ROLE "{role}"')


@pytest.fixture
def world(postgres: PostgresServer) -> Iterator[RotationWorld]:
    """An AadaLms to be, with a database name that nothing on the server has."""
    made = RotationWorld(postgres, f"lms_{os.urandom(4).hex()}")
    yield made
    drop(made)


async def installed(world: RotationWorld, **spec: object) -> RotationWorld:
    """An LMS that serves, and a SecretRotation that is not due yet."""
    world.create()
    await world.settle()
    world.declare(**spec)
    world.run_pods()
    await world.turns()
    return world


async def test_a_rotation_brings_another_login_and_proves_the_old_one_dead(world: RotationWorld) -> None:
    await installed(world)
    before, database = world.secret(), world.database
    await world.rotate()
    after = world.secret()
    assert (before["username"], after["username"]) == (f"{database}_a", f"{database}_b")
    assert after["url"] == before["url"].replace(before["username"], after["username"]).replace(
        before["password"], after["password"]
    )
    assert world.may_log_in(after["username"], after["password"])
    assert not world.may_log_in(before["username"], before["password"])
    assert world.open_logins() == [f"{database}_b"]
    proof = world.status["proof"]
    assert (proof["sqlState"], proof["login"], proof["by"], proof["sessionsLeft"]) == (
        "28P01",
        f"{database}_a",
        f"{database}_b",
        0,
    )
    assert (world.status["revision"], world.status["activeRole"]) == (1, f"{database}_b")
    assert world.past() == ["Rotated"]
    assert world.said("Ready") == "True Rotated"
    assert world.said("OldCredentialRevoked") == "True Rotated"
    assert CANARY not in world.server.names(PODS)
    assert "finalizers" not in world.rotation["metadata"] or not world.rotation["metadata"]["finalizers"]


async def test_the_next_rotation_goes_back_to_the_first_role_with_another_password(world: RotationWorld) -> None:
    await installed(world)
    first = world.secret()
    await world.rotate()
    await world.rotate()
    third = world.secret()
    assert third["username"] == first["username"]
    assert third["password"] != first["password"]
    assert world.open_logins() == [f"{world.database}_a"]
    assert world.status["revision"] == 2
    assert world.past() == ["Rotated", "Rotated"]
    assert world.condition("Ready") == "True Ready"


async def test_before_it_is_due_nothing_is_written(world: RotationWorld) -> None:
    await installed(world)
    before = len(world.server.writes)
    for _ in range(3):
        world.clock.advance(minutes=5)
        await world.turn()
    assert world.server.writes[before:] == []
    assert world.said("Ready") == "True NotDueYet"
    assert world.status["nextRotation"] == "2026-03-01T04:00:00Z"


async def test_it_can_be_asked_for_now(world: RotationWorld) -> None:
    await installed(world, schedule=None)
    assert "nextRotation" not in world.status
    world.clock.advance(hours=1)
    world.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(world.clock.now())}
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    await world.turns()
    assert world.past() == ["Rotated"]
    await world.turns()
    assert world.status["revision"] == 1, "one annotation is one rotation"


async def test_a_credential_may_have_a_highest_age(world: RotationWorld) -> None:
    await installed(world, schedule=None, maxAge="30d")
    await world.rotate(days=30)
    assert world.past() == ["Rotated"]


async def test_a_suspended_rotation_begins_nothing(world: RotationWorld) -> None:
    await installed(world, suspend=True)
    world.clock.advance(days=31)
    await world.turns()
    assert world.revisions() == []
    assert world.status["phase"] == "Suspended"


async def test_the_secret_lets_in_at_every_moment(world: RotationWorld) -> None:
    await installed(world)
    world.clock.advance(days=31)
    for _ in range(60):
        await world.turn()
        held = world.secret()
        assert world.may_log_in(held["username"], held["password"])
        assert all(session.execute("SELECT 1") for session in world.sessions.values()), "nobody is cut off"
        world.clock.advance(seconds=30)
    assert world.past() == ["Rotated"]


async def test_a_session_of_the_old_login_keeps_it_alive(world: RotationWorld) -> None:
    """Somebody who was not declared, say a report: it is named, not cut off."""
    await installed(world)
    old = world.secret()
    report = world.log_in(old["username"], old["password"])
    world.clock.advance(days=31)
    await world.turns(until="Converge")
    for _ in range(5):
        await world.turn()
    assert f"1 sessions of {world.database}_a" in world.told()
    report.execute("SELECT 1")
    report.close()
    await world.turns(until="Grace")
    again = world.log_in(old["username"], old["password"])
    world.clock.advance(minutes=16)
    await world.turns(until="RetireOld")
    await world.turn()
    assert world.said("Ready") == "False OldLoginInUse"
    assert world.server.claims() == [], "somebody who forgets to leave keeps no release and no Cutover waiting"
    again.execute("SELECT 1")
    again.close()
    await world.turns(seconds=30)
    assert world.past() == ["Rotated"]


async def test_what_somebody_made_as_the_login_is_given_to_the_owner(world: RotationWorld) -> None:
    await installed(world)
    held = world.secret()
    with world.log_in(held["username"], held["password"]) as session:
        session.execute("RESET ROLE")
        session.execute("SET ROLE NONE")
        world.postgres.execute(f'GRANT CREATE ON SCHEMA public TO "{held["username"]}"', world.database)
        session.execute("CREATE TABLE public.stray (id int)")
    fresh_backup(world)
    await world.rotate()
    assert world.owners() == [f"{world.database}_owner"]


def fresh_backup(world: RotationWorld) -> None:
    """A BackupPolicy whose newest backup is of now."""
    spec = {"lmsRef": {"name": "aada"}, "objectives": {"rpo": "999d"}}
    policy = custom_resource("BackupPolicy", "nightly", spec)
    world.server.add(BACKUP_POLICIES, policy | {"status": {"lastFull": to_rfc3339(world.clock.now())}})


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(world: RotationWorld, moment: str) -> None:
    await installed(world)
    begun = len(world.server.writes)
    await world.rotate()
    writes = len(world.server.writes) - begun
    assert writes >= 15
    for number in range(writes):
        again = RotationWorld(world.postgres, f"{world.database}_{number}")
        try:
            await installed(again)
            old = again.secret()
            setattr(again.server, f"crash_{moment}", len(again.server.writes) + number)
            await again.rotate()
            assert again.past() == ["Rotated"], again.server.writes[-8:]
            assert again.open_logins() == [f"{again.database}_b"]
            assert again.may_log_in(again.secret()["username"], again.secret()["password"])
            assert not again.may_log_in(old["username"], old["password"])
            assert again.revisions() == []
            assert again.status["proof"]["sqlState"] == "28P01"
            assert again.condition("Ready") == "True Ready"
        finally:
            drop(again)


# --- back ------------------------------------------------------------------------------------------------------------


async def rolled_back(world: RotationWorld, reason: str, old: dict[str, str]) -> None:
    """A rotation that ended where it began."""
    assert world.past()[0] == f"RolledBack {reason}"
    assert world.secret() == old
    assert world.may_log_in(old["username"], old["password"])
    assert world.open_logins() == [old["username"]]
    assert world.revisions() == []
    assert CANARY not in world.server.names(PODS)
    assert world.said("Ready") == "False RolledBack"
    assert world.condition("Ready") == "True Ready", "the LMS serves as before"


async def test_a_canary_that_does_not_come_up_changes_nothing(world: RotationWorld) -> None:
    await installed(world)
    old, pod = world.secret(), world.server.read(PODS, "aada-backend")["metadata"]["uid"]
    world.sick = True
    world.clock.advance(days=31)
    await world.turns(60, seconds=30)
    await rolled_back(world, "CanaryStarting", old)
    assert world.server.read(PODS, "aada-backend")["metadata"]["uid"] == pod, "no pod of users was restarted"
    assert world.status["nextAttempt"] > to_rfc3339(world.clock.now())


async def test_a_canary_that_crashes_ends_it_at_once(world: RotationWorld) -> None:
    await installed(world)
    old = world.secret()
    world.sick = True
    world.clock.advance(days=31)
    await world.turns(until="Canary")
    pod = world.server.read(PODS, CANARY)
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}
    pod["status"] = {"containerStatuses": [{"name": "backend", "image": "lms"} | waiting]}
    await world.turns()
    await rolled_back(world, "CanaryFailed", old)
    assert "CrashLoopBackOff" not in world.told()
    assert "its log says why" in world.told()


async def test_a_new_login_that_the_server_does_not_let_in_leads_back(world: RotationWorld) -> None:
    await installed(world)
    old = world.secret()
    world.clock.advance(days=31)
    await world.turns(until="Generate")
    world.postgres.execute(f'ALTER ROLE "{old["username"]}" CONNECTION LIMIT 0')
    for _ in range(3):
        await world.turn()
    assert world.said("Ready") == "False NewLoginRefused"
    assert "with 53300" in world.told()
    world.clock.advance(minutes=11)
    await world.turn()
    world.postgres.execute(f'ALTER ROLE "{old["username"]}" CONNECTION LIMIT -1')
    await world.turns()
    await rolled_back(world, "NewLoginRefused", old)


async def test_a_secret_of_somebody_else_under_the_name_of_a_revision_is_told(world: RotationWorld) -> None:
    await installed(world)
    world.server.secret(f"{ROTATION}-r1", note="mine")
    world.clock.advance(days=31)
    await world.turns(until="Generate")
    await world.turn()
    assert world.said("Ready") == "False NameTaken"
    assert world.secret(f"{ROTATION}-r1") == {"note": "mine"}
    world.server.remove(SECRETS, f"{ROTATION}-r1")
    await world.turns(until="Grace")


async def test_pods_that_do_not_change_over_lead_back(world: RotationWorld) -> None:
    await installed(world)
    old = world.secret()
    world.clock.advance(days=31)
    world.stuck = True
    await world.turns(until="Converge")
    assert world.secret()["username"] == f"{world.database}_b"
    world.clock.advance(minutes=11)
    await world.turn()
    world.stuck = False
    await world.turns()
    await rolled_back(world, "Converging", old)
    held = world.server.read(SECRETS, "aada-db")["metadata"]["annotations"][f"rotation.lms.aada.edu/{ROTATION}"]
    assert (
        world.server.read(PODS, "aada-backend")["metadata"]["annotations"][f"rotation.lms.aada.edu/{ROTATION}"] == held
    )
    assert held == f"{ROTATION}-r2", "pods that had the new login are told apart"


async def test_after_a_failure_it_is_tried_again_later_and_less_and_less_often(world: RotationWorld) -> None:
    await installed(world)
    world.sick = True
    world.clock.advance(days=31)
    await world.turns(60, seconds=30)
    first = world.status["nextAttempt"]
    world.clock.advance(minutes=50)
    await world.turns()
    assert world.status["nextAttempt"] == first, "not yet"
    world.clock.advance(minutes=11)
    await world.turns(60, seconds=30)
    assert world.status["failures"] == 2
    world.sick = False
    world.clock.advance(hours=2)
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    await world.turns()
    assert world.past() == ["Rotated", "RolledBack CanaryStarting", "RolledBack CanaryStarting"]
    assert world.status["failures"] == 0
    assert "nextAttempt" not in world.status


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_of_the_way_back_leads_to_the_same_end(world: RotationWorld, moment: str) -> None:
    async def fail(one: RotationWorld) -> None:
        one.clock.advance(days=31)
        one.stuck = True
        await one.turns(until="Converge")
        one.clock.advance(minutes=11)
        await one.turns(until="Reconverge")
        one.stuck = False
        await one.turns()

    await installed(world)
    begun = len(world.server.writes)
    await fail(world)
    for number in range(len(world.server.writes) - begun):
        again = RotationWorld(world.postgres, f"{world.database}_{number}")
        try:
            await installed(again)
            old = again.secret()
            setattr(again.server, f"crash_{moment}", len(again.server.writes) + number)
            await fail(again)
            await rolled_back(again, "Converging", old)
        finally:
            drop(again)


async def test_a_secret_that_somebody_changes_meanwhile_is_left_as_it_is(world: RotationWorld) -> None:
    await installed(world)
    world.sick = True
    world.clock.advance(days=31)
    await world.turns(until="Canary")
    held = world.secret()
    live = world.server.read(SECRETS, "aada-db")
    live["data"]["note"] = world.encoded(x="by hand")["x"]
    live["metadata"]["resourceVersion"] = "by-hand"
    world.sick = False
    await world.turns()
    await rolled_back(world, "SecretDataDrift", held | {"note": "by hand"})


async def test_a_rotation_that_is_deleted_half_way_goes_back_first(world: RotationWorld) -> None:
    await installed(world)
    old = world.secret()
    world.stuck = True
    world.clock.advance(days=31)
    await world.turns(until="Converge")
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    world.stuck = False
    for _ in range(20):
        if ROTATION not in world.server.names(SECRET_ROTATIONS):
            break
        await world.turn()
        world.clock.advance(seconds=1)
    assert ROTATION not in world.server.names(SECRET_ROTATIONS)
    assert world.secret() == old
    assert world.open_logins() == [old["username"]]
    assert world.revisions() == []
    assert world.server.claims() == []


async def test_a_rotation_that_is_deleted_after_the_old_login_was_retired_is_finished(world: RotationWorld) -> None:
    await installed(world)
    world.clock.advance(days=31)
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    await world.turns(until="RetireOld")
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    for _ in range(20):
        if ROTATION not in world.server.names(SECRET_ROTATIONS):
            break
        await world.turn()
    assert ROTATION not in world.server.names(SECRET_ROTATIONS)
    held = world.secret()
    assert held["username"] == f"{world.database}_b"
    assert world.open_logins() == [held["username"]]
    assert world.revisions() == []


# --- others' work and others' things ---------------------------------------------------------------------------------


async def test_it_waits_for_a_cutover_and_lets_one_work_in_the_grace_period(world: RotationWorld) -> None:
    await installed(world)
    restore = world.server.add(RESTORES, custom_resource("Restore", "tuesday", {}))
    wanted = Claim.of(restore, Operation.CUTOVER, world.clock.now())
    await interlock.claim(world.server, NAMESPACE, "aada", wanted)  # type: ignore[arg-type]
    world.clock.advance(days=31)
    for _ in range(3):
        await world.turn()
    assert world.revisions() == []
    assert "waits for Restore tuesday (Cutover)" in world.told()
    await interlock.release(world.server, NAMESPACE, "aada", restore["metadata"]["uid"])  # type: ignore[arg-type]
    await world.turns(until="Grace")
    await interlock.claim(world.server, NAMESPACE, "aada", wanted)  # type: ignore[arg-type]
    world.clock.advance(minutes=16)
    for _ in range(3):
        await world.turn()
    assert world.status["step"] == "Claim"
    await interlock.release(world.server, NAMESPACE, "aada", restore["metadata"]["uid"])  # type: ignore[arg-type]
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_a_release_in_the_middle_of_a_rotation_waits_and_hinders_nothing(world: RotationWorld) -> None:
    """Pods that wait for a migration get the new login with the image that they have."""
    await installed(world)
    world.clock.advance(days=31)
    await world.turns(until="Canary")
    world.server.read(AADA_LMS, "aada")["spec"]["version"] = "v2"
    world.server.read(AADA_LMS, "aada")["metadata"]["generation"] += 1
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    await world.turns()
    assert world.past() == ["Rotated"]
    await world.settle()
    assert world.lms["status"]["version"] == "v2"


# --- an installation with one role -----------------------------------------------------------------------------------


async def adopted(world: RotationWorld) -> str:
    """An LMS as people run it by hand: one role owns the database and everything in it; returns that role."""
    name, role = world.database, f"{world.database}_app"
    world.postgres.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'chosen-by-hand' CONNECTION LIMIT 40")
    world.postgres.execute(f'ALTER ROLE "{role}" SET search_path = public, "odd name"')
    world.postgres.createdb(name, owner=role)
    with world.log_in(role, "chosen-by-hand") as session:
        session.execute("CREATE TABLE students (id serial PRIMARY KEY, name text)")
        session.execute("INSERT INTO students (name) VALUES ('Ada')")
    world.postgres.execute("CREATE TABLE lent (id int)", name)
    world.postgres.execute(f'GRANT SELECT, INSERT ON lent TO "{role}"', name)
    values = {
        "url": f"postgresql+psycopg2://{role}:chosen-by-hand@{world.postgres.host}:{world.postgres.port}/{name}?x=1",
        "host": world.postgres.host,
        "port": str(world.postgres.port),
        "name": name,
        "username": role,
        "password": "chosen-by-hand",
    }
    world.server.add(SECRETS, {"metadata": {"name": "aada-db"}, "data": world.encoded(**values)})
    world.create()
    world.owner = role
    await world.settle()
    world.declare()
    world.run_pods()
    await world.turns()
    return role


async def test_an_installation_with_one_role_is_adopted(world: RotationWorld) -> None:
    role = await adopted(world)
    world.clock.advance(days=31)
    await world.turn()
    assert world.said("Ready") == "False BackupNotFresh"
    assert world.revisions() == [], "nothing is touched without a backup"
    fresh_backup(world)
    await world.settle()
    await world.turns(until="Grace")
    old = world.log_in(role, "chosen-by-hand")
    assert old.execute("SELECT current_user, count(*) FROM students").fetchone() == (f"{world.database}_owner", 1)
    old.close()
    world.clock.advance(minutes=16)
    await world.turns()
    held = world.secret()
    assert held["username"] == f"{world.database}_a"
    assert held["url"].endswith("?x=1")
    assert world.open_logins() == [f"{world.database}_a"]
    with world.log_in(held["username"], held["password"]) as session:
        session.execute("INSERT INTO students (name) VALUES ('Grace')")
        session.execute("INSERT INTO lent VALUES (1)")
        session.execute("ALTER TABLE students ADD mail text")
        assert session.execute("SHOW search_path").fetchone() == ('public, "odd name"',)
    limit = world.column("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s || '_a'")
    assert limit == ["40"]
    await world.rotate()
    assert world.open_logins() == [f"{world.database}_b"]


@pytest.mark.parametrize("install", [installed, adopted])
async def test_an_admin_that_is_no_superuser_can_do_it(world: RotationWorld, install: Install) -> None:
    boss = f"{world.database}_boss"
    world.postgres.execute(f"CREATE ROLE \"{boss}\" LOGIN CREATEDB CREATEROLE PASSWORD 'boss'")
    world.server.read(SECRETS, "db-admin")["data"] = world.encoded(username=boss, password="boss")
    await install(world)
    fresh_backup(world)
    await world.rotate()
    assert world.past() == ["Rotated"]
    await world.rotate()
    assert world.past() == ["Rotated", "Rotated"]
    assert set(world.open_logins()) == {boss, world.secret()["username"]}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ('ALTER ROLE "{role}" CREATEDB', "NOCREATEDB"),
        ('ALTER DEFAULT PRIVILEGES FOR ROLE "{role}" GRANT SELECT ON TABLES TO PUBLIC', "ALTER DEFAULT PRIVILEGES FOR"),
        ('GRANT SELECT (id) ON lent TO "{role}"', "grants on columns"),
        (
            "CREATE FOREIGN DATA WRAPPER no; CREATE SERVER s FOREIGN DATA WRAPPER no; "
            'CREATE USER MAPPING FOR "{role}" SERVER s',
            "user mappings",
        ),
    ],
)
async def test_what_cannot_be_handed_on_is_refused(world: RotationWorld, what: str, words: str) -> None:
    role = await adopted(world)
    fresh_backup(world)
    world.postgres.execute(what.format(role=role), world.database)
    world.clock.advance(days=31)
    await world.turn()
    assert world.said("Stalled") == "True LoginNotReplaceable"
    assert words in world.told()
    assert world.revisions() == []
    assert world.owners() != [f"{world.database}_owner"]


async def test_a_table_that_somebody_holds_is_waited_for_without_a_queue_behind(world: RotationWorld) -> None:
    await adopted(world)
    fresh_backup(world)
    world.clock.advance(days=31)
    with world.postgres.admin(world.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE students IN ACCESS SHARE MODE")
        await world.turns(until="HandOver")
        await world.turn()
        assert world.said("Ready") == "False LockTimeout"
    await world.turns(until="Grace")
    assert f"{world.database}_app" not in world.owners()


async def test_the_data_key_is_refused(world: RotationWorld) -> None:
    world.create()
    await world.settle()
    world.declare(type="DataEncryptionKey")
    await world.turn()
    assert world.said("Stalled") == "True RequiresReencryption"
    assert world.revisions() == []


async def test_of_two_for_one_credential_the_older_one_rotates(world: RotationWorld) -> None:
    await installed(world)
    other = custom_resource("SecretRotation", "another", dict(world.rotation["spec"]))
    world.server.add(SECRET_ROTATIONS, other, age=timedelta(days=1))
    world.clock.advance(days=31)
    await world.turn()
    assert world.said("Stalled") == "True AnotherRotation"
    assert world.revisions() == []


@pytest.mark.parametrize(
    ("marks", "writer"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "school"}}, "Argo CD"),
        ({"annotations": {"meta.helm.sh/release-name": "school"}}, "Helm"),
        ({"ownerReferences": [{"kind": "ExternalSecret", "name": "db", "uid": "x"}]}, "External Secrets"),
    ],
)
async def test_a_secret_that_others_write_is_not_touched(
    world: RotationWorld, marks: dict[str, object], writer: str
) -> None:
    await installed(world)
    metadata = world.server.read(SECRETS, "aada-db")["metadata"]
    for field, value in marks.items():
        metadata[field] = (metadata.get(field) or {}) | value if isinstance(value, dict) else value
    await world.settle()
    world.clock.advance(days=31)
    await world.turn()
    assert world.said("Stalled") == "True SecretManagedElsewhere"
    assert writer in world.told()
    assert world.revisions() == []


async def test_a_wrong_admin_password_in_the_middle_waits_and_goes_on(world: RotationWorld) -> None:
    await installed(world)
    world.clock.advance(days=31)
    await world.turns(until="ApplyToDatabase")
    admin = world.server.read(SECRETS, "db-admin")
    right = dict(admin["data"])
    admin["data"] |= world.encoded(password="wrong")
    for _ in range(3):
        await world.turn()
    assert world.said("Ready") == "False AuthenticationFailed"
    assert "Secret db-admin" in world.told()
    admin["data"] = right
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_a_lost_status_loses_the_history_and_nothing_else(world: RotationWorld) -> None:
    await installed(world)
    world.clock.advance(days=31)
    for _ in range(40):
        world.rotation.pop("status", None)
        await world.turn()
        world.clock.advance(minutes=1)
        if world.open_logins() == [f"{world.database}_b"]:
            break
    await world.turns()
    assert world.past() == ["Rotated"]
    assert world.status["proof"]["sqlState"] == "28P01"


async def test_no_password_is_told_or_logged(world: RotationWorld, caplog: pytest.LogCaptureFixture) -> None:
    await installed(world)
    secrets = {world.secret()["password"]}
    await world.rotate()
    await world.rotate()
    secrets |= {world.secret()["password"]}
    told = f"{world.rotation} {world.lms} {caplog.text} {world.server.writes}"
    log = world.postgres.log.read_text()
    for secret in secrets:
        assert secret not in told
        assert secret not in log
    assert "SCRAM-SHA-256$" in log, "the log of the server shows statements"
