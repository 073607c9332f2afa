"""A SecretRotation beside others' work and others' things, and an installation that it has to adopt first."""

import copy
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from aada_operator.adapters import interlock
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import AADA_LMS, RESTORES, SECRET_ROTATIONS, SECRETS, Object
from tests.service.rotation_world import ROTATION, RotationWorld, adopted, fresh_backup, installed
from tests.service.secrecy import leaks, logged
from tests.unit.backups.api_server import NAMESPACE, custom_resource

Install = Callable[[RotationWorld], Awaitable[object]]


async def test_it_waits_for_a_cutover_and_lets_one_work_in_the_grace_period(school: RotationWorld) -> None:
    await installed(school)
    restore = school.server.add(RESTORES, custom_resource("Restore", "tuesday", {}))
    wanted = Claim.of(restore, Operation.CUTOVER, school.clock.now())
    await interlock.claim(school.server, NAMESPACE, "aada", wanted)  # type: ignore[arg-type]
    school.clock.advance(days=31)
    for _ in range(3):
        await school.turn()
    assert school.revisions() == []
    assert "waits for Restore tuesday (Cutover)" in school.told()
    await interlock.release(school.server, NAMESPACE, "aada", restore["metadata"]["uid"])  # type: ignore[arg-type]
    await school.turns(until="Grace")
    await interlock.claim(school.server, NAMESPACE, "aada", wanted)  # type: ignore[arg-type]
    school.clock.advance(minutes=16)
    for _ in range(3):
        await school.turn()
    assert school.status["step"] == "Claim"
    await interlock.release(school.server, NAMESPACE, "aada", restore["metadata"]["uid"])  # type: ignore[arg-type]
    await school.turns()
    assert school.past() == ["Rotated"]


async def test_a_release_in_the_middle_of_a_rotation_waits_and_hinders_nothing(school: RotationWorld) -> None:
    """Pods that wait for a migration get the new login with the image that they have."""
    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="Canary")
    school.server.read(AADA_LMS, "aada")["spec"]["version"] = "v2"
    school.server.read(AADA_LMS, "aada")["metadata"]["generation"] += 1
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated"]
    await school.settle()
    assert school.lms["status"]["version"] == "v2"


async def test_an_installation_with_one_role_is_adopted(school: RotationWorld) -> None:
    role = await adopted(school)
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Ready") == "False BackupNotFresh"
    assert school.revisions() == [], "nothing is touched without a backup"
    fresh_backup(school)
    await school.settle()
    await school.turns(until="Grace")
    old = school.log_in(role, "chosen-by-hand")
    assert old.execute("SELECT current_user, count(*) FROM students").fetchone() == (f"{school.database}_owner", 1)
    old.close()
    school.clock.advance(minutes=16)
    await school.turns()
    held = school.secret()
    assert held["username"] == f"{school.database}_a"
    assert held["url"].endswith("?x=1")
    assert school.open_logins() == [f"{school.database}_a"]
    with school.log_in(held["username"], held["password"]) as session:
        session.execute("INSERT INTO students (name) VALUES ('Grace')")
        session.execute("INSERT INTO lent VALUES (1)")
        session.execute("ALTER TABLE students ADD mail text")
        assert session.execute("SHOW search_path").fetchone() == ('public, "odd name"',)
    limit = school.column("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s || '_a'")
    assert limit == ["40"]
    await school.rotate()
    assert school.open_logins() == [f"{school.database}_b"]


@pytest.mark.parametrize("install", [installed, adopted])
async def test_an_admin_that_is_no_superuser_can_do_it(school: RotationWorld, install: Install) -> None:
    boss = f"{school.database}_boss"
    school.postgres.execute(f"CREATE ROLE \"{boss}\" LOGIN CREATEDB CREATEROLE PASSWORD 'boss'")
    school.server.read(SECRETS, "db-admin")["data"] = school.encoded(username=boss, password="boss")
    await install(school)
    fresh_backup(school)
    await school.rotate()
    assert school.past() == ["Rotated"]
    await school.rotate()
    assert school.past() == ["Rotated", "Rotated"]
    assert set(school.open_logins()) == {boss, school.secret()["username"]}


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
async def test_what_cannot_be_handed_on_is_refused(school: RotationWorld, what: str, words: str) -> None:
    role = await adopted(school)
    fresh_backup(school)
    school.postgres.execute(what.format(role=role), school.database)
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True LoginNotReplaceable"
    assert words in school.told()
    assert school.revisions() == []
    assert school.owners() != [f"{school.database}_owner"]


async def test_a_table_that_somebody_holds_is_waited_for_without_a_queue_behind(school: RotationWorld) -> None:
    await adopted(school)
    fresh_backup(school)
    school.clock.advance(days=31)
    with school.postgres.admin(school.database) as admin, admin.transaction():
        admin.execute("LOCK TABLE students IN ACCESS SHARE MODE")
        await school.turns(until="HandOver")
        await school.turn()
        assert school.said("Ready") == "False LockTimeout"
    await school.turns(until="Grace")
    assert f"{school.database}_app" not in school.owners()


async def test_the_data_key_is_refused_whatever_asks_for_it_and_nothing_is_touched(school: RotationWorld) -> None:
    school.server.secret("lms-keys", ENCRYPTION_KEY="what rows are encrypted with")
    key = {"name": "ENCRYPTION_KEY", "secretRef": {"name": "lms-keys", "key": "ENCRYPTION_KEY"}}
    school.create(secrets=[key])
    await school.settle()
    school.run_pods()
    before, wrote = everything(school), len(school.server.writes)
    school.declare(type="DataEncryptionKey", maxAge="1d", schedule=None)
    for _ in range(3):
        await school.turn()
        assert school.said("Stalled") == "True RequiresReencryption"
        school.clock.advance(days=31)
        school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}
    school.server.remove(SECRET_ROTATIONS, ROTATION)
    assert everything(school) == before
    assert {w for w in school.server.writes[wrote:] if "aadalms" not in w} == {f"status secretrotations/{ROTATION}"}
    assert all(session.execute("SELECT 1") for session in school.sessions.values()), "nobody is cut off"


def everything(school: RotationWorld) -> tuple[list[str], dict[str, Object]]:
    """Roles with their passwords and settings, and all objects but for what the AadaLms says of itself."""
    roles = school.column("SELECT a::text FROM pg_authid a WHERE starts_with(rolname, %s) ORDER BY 1")
    roles += school.column("SELECT s::text FROM pg_db_role_setting s WHERE %s <> '' ORDER BY 1")
    objects = {f"{plural}/{name}": copy.deepcopy(body) for (plural, name), body in school.server._objects.items()}
    lms = objects.pop("aadalms/aada")
    return roles, objects | {"spec of the AadaLms": lms["spec"]}


async def test_of_two_for_one_credential_the_older_one_rotates(school: RotationWorld) -> None:
    await installed(school)
    other = custom_resource("SecretRotation", "another", dict(school.rotation["spec"]))
    school.server.add(SECRET_ROTATIONS, other, age=timedelta(days=1))
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True AnotherRotation"
    assert school.revisions() == []


@pytest.mark.parametrize(
    ("marks", "writer"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "school"}}, "Argo CD"),
        ({"annotations": {"meta.helm.sh/release-name": "school"}}, "Helm"),
        ({"ownerReferences": [{"kind": "ExternalSecret", "name": "db", "uid": "x"}]}, "External Secrets"),
    ],
)
async def test_a_secret_that_others_write_is_not_touched(
    school: RotationWorld, marks: dict[str, object], writer: str
) -> None:
    await installed(school)
    metadata = school.server.read(SECRETS, "aada-db")["metadata"]
    for field, value in marks.items():
        metadata[field] = (metadata.get(field) or {}) | value if isinstance(value, dict) else value
    await school.settle()
    school.clock.advance(days=31)
    await school.turn()
    assert school.said("Stalled") == "True SecretManagedElsewhere"
    assert writer in school.told()
    assert school.revisions() == []


async def test_a_wrong_admin_password_in_the_middle_waits_and_goes_on(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    await school.turns(until="ApplyToDatabase")
    admin = school.server.read(SECRETS, "db-admin")
    right = dict(admin["data"])
    admin["data"] |= school.encoded(password="wrong")
    for _ in range(3):
        await school.turn()
    assert school.said("Ready") == "False AuthenticationFailed"
    assert "Secret db-admin" in school.told()
    admin["data"] = right
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    assert school.past() == ["Rotated"]


async def test_a_lost_status_loses_the_history_and_nothing_else(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    for _ in range(40):
        school.rotation.pop("status", None)
        await school.turn()
        school.clock.advance(minutes=1)
        if school.open_logins() == [f"{school.database}_b"]:
            break
    await school.turns()
    assert school.past() == ["Rotated"]
    assert school.status["proof"]["sqlState"] == "28P01"


async def test_no_password_is_told_or_logged(school: RotationWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await installed(school)
    await school.rotate()
    await school.rotate()
    passwords = [name for name in school.server.made.values() if name.startswith("password")]
    assert len(passwords) == 3, "the first one, and that of each rotation"
    assert leaks(school, logged(caplog)) == []
    assert "SCRAM-SHA-256$" in school.postgres.log.read_text(), "the log of the server shows statements"
