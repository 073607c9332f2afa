"""AadaLms against a real PostgreSQL: what is made of roles and Secret, what is left alone, and kills at every point."""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from aada_operator.core import failpoints
from aada_operator.core.resources import (
    AADA_LMS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    INGRESSES,
    JOBS,
    PODS,
    SECRETS,
    SERVICES,
)
from tests.service.lms_world import LMS, LmsWorld
from tests.service.servers import PostgresServer


@pytest.fixture
def world(postgres: PostgresServer) -> Iterator[LmsWorld]:
    """An AadaLms to be, with a database name that nothing on the server has."""
    made = LmsWorld(postgres, f"lms_{os.urandom(4).hex()}")
    yield made
    made.drop()


def log_in(world: LmsWorld, user: str, password: str) -> None:
    """Log in as the application does; raises psycopg.OperationalError."""
    where: dict[str, Any] = {"host": world.postgres.host, "port": world.postgres.port, "dbname": world.database}
    psycopg.connect(user=user, password=password, **where).close()


async def test_a_minimal_lms_becomes_ready_on_an_empty_server(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    assert world.condition("Ready") == "True Ready"
    assert world.condition("DatabaseReachable") == "True Connected"
    assert world.lms["status"]["schema"]["revision"] == "0002"
    assert world.lms["status"]["version"] == "v1"
    assert world.lms["status"]["ready"] == "1/1"
    secret = world.secret()
    log_in(world, secret["username"], secret["password"])
    assert world.postgres.value(
        f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{world.database}'"
    ) == (f"{world.database}_owner")


async def test_an_unchanged_lms_costs_no_write(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    for _ in range(3):
        world.clock.advance(seconds=60)
        assert await world.visit() == [], world.lms["status"]


async def test_a_lost_status_is_found_again_without_another_migration(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    before = world.lms["status"]
    del world.lms["status"]
    await world.settle()
    after = world.lms["status"]
    assert len(world.server.names(JOBS)) == 1
    assert {k: v for k, v in after.items() if k != "conditions"} == {
        k: v for k, v in before.items() if k != "conditions"
    }


def children(world: LmsWorld) -> dict[str, list[str]]:
    kinds = (DEPLOYMENTS, SERVICES, INGRESSES, DISRUPTION_BUDGETS, JOBS, SECRETS)
    return {kind.plural: world.server.names(kind) for kind in kinds}


CREATED = {
    "deployments": ["aada-backend"],
    "services": ["aada-backend"],
    "ingresses": [],
    "poddisruptionbudgets": ["aada-backend"],
    "secrets": ["aada-db", "db-admin"],
}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(world: LmsWorld, moment: str) -> None:
    """The writes of a first installation, each the last that the operator does: then it begins anew."""
    world.create()
    await world.settle()
    writes = len(world.server.writes)
    password = world.secret()["password"]
    assert writes >= 8
    for number in range(writes):
        again = LmsWorld(world.postgres, f"{world.database}_{number}")
        try:
            again.create()
            setattr(again.server, f"crash_{moment}", number)
            await again.settle()
            assert again.server.crash_before is None, "the operator was killed once"
            assert again.server.crash_after is None
            found = children(again)
            assert len(found.pop("jobs")) == 1
            assert found == CREATED
            assert again.condition("Ready") == "True Ready"
            assert again.server.claims() == [], "nobody has to wait for a migration that is over"
            creations = [w for w in again.server.writes if not w.startswith(("status", "patch leases"))]
            assert len(creations) == len(set(creations)), "everything is made once"
            assert again.secret()["password"] != password
            log_in(again, again.secret()["username"], again.secret()["password"])
        finally:
            again.drop()


POINTS = ("after-secret", "after-create-roles", "after-create-database")


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_between_the_steps_on_the_server_heals(
    world: LmsWorld, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    monkeypatch.setenv(failpoints.VARIABLE, f"lms.provision.{point}=error")
    failpoints._armed.cache_clear()
    await world.visit()
    assert world.condition("DatabaseReachable") == "False FailPoint"
    monkeypatch.delenv(failpoints.VARIABLE)
    failpoints._armed.cache_clear()
    await world.settle()
    assert world.condition("Ready") == "True Ready"
    log_in(world, world.secret()["username"], world.secret()["password"])


async def test_the_password_is_in_no_status_and_no_server_log(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    password = world.secret()["password"]
    assert len(password) >= 43
    assert password not in str(world.lms)
    for kind in (DEPLOYMENTS, JOBS):
        assert all(password not in str(world.server.read(kind, name)) for name in world.server.names(kind))
    assert password not in world.postgres.log.read_text()


async def test_a_secret_that_was_deleted_is_made_anew(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    old = world.secret()["password"]
    before = world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["template"]["metadata"]["annotations"]
    world.server.remove(SECRETS, "aada-db")
    await world.settle()
    assert world.condition("Ready") == "True Ready"
    log_in(world, world.secret()["username"], world.secret()["password"])
    with pytest.raises(psycopg.OperationalError):
        log_in(world, world.secret()["username"], old)
    after = world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["template"]["metadata"]["annotations"]
    assert before != after, "pods with the old password are restarted"


async def test_a_password_that_was_changed_behind_our_back_is_put_right(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.postgres.execute(f"ALTER ROLE \"{world.database}_a\" PASSWORD 'other'")
    await world.settle()
    assert world.condition("DatabaseReachable") == "True Connected"
    log_in(world, world.secret()["username"], world.secret()["password"])


# --- what somebody else made ----------------------------------------------------------------------------------------


def existing(world: LmsWorld, *, password: str = "their-password") -> None:
    """An application's database with data, made by somebody else."""
    user = f"{world.database}_user"
    world.postgres.execute(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{password}'")
    world.postgres.createdb(world.database, owner=user)
    world.postgres.execute(
        "CREATE TABLE users (id int); INSERT INTO users VALUES (1);"
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0001');"
        f'GRANT SELECT ON alembic_version TO "{user}"',
        world.database,
    )


def adopt(world: LmsWorld, **changes: str) -> None:
    values = {"url": "postgresql://x", "username": f"{world.database}_user", "password": "their-password"} | changes
    world.server.secret("aada-db", **values)


def roles_of(world: LmsWorld) -> int:
    return int(world.postgres.value(f"SELECT count(*) FROM pg_roles WHERE rolname LIKE '{world.database}\\_%'"))


async def test_an_existing_secret_is_used_as_it_is(world: LmsWorld) -> None:
    existing(world)
    adopt(world)
    world.create()
    await world.visit()
    assert world.condition("DatabaseReachable") == "True Connected"
    assert world.secret()["password"] == "their-password"
    assert roles_of(world) == 1, "no role was made"
    assert world.server.names(JOBS), "its schema is brought up to date"


async def test_a_foreign_database_is_not_touched(world: LmsWorld) -> None:
    existing(world)
    world.create()
    await world.visit()
    assert world.condition("DatabaseReachable") == "False DatabaseTaken"
    assert "aada-db" in world.message("Ready"), "the way out is said"
    assert world.server.names(SECRETS) == ["db-admin"]
    assert roles_of(world) == 1
    adopt(world)
    await world.visit()
    assert world.condition("DatabaseReachable") == "True Connected"


async def test_a_full_database_of_the_admins_is_not_touched(world: LmsWorld) -> None:
    world.postgres.createdb(world.database)
    world.postgres.execute("CREATE TABLE kept (id int)", world.database)
    world.create()
    await world.visit()
    assert world.condition("DatabaseReachable") == "False DatabaseTaken"
    assert roles_of(world) == 0


async def test_an_empty_database_of_the_admins_is_used(world: LmsWorld) -> None:
    world.postgres.createdb(world.database)
    world.create()
    await world.settle()
    assert world.condition("Ready") == "True Ready"


async def test_another_lms_does_not_take_the_roles_of_the_first(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    first = world.secret()
    other = LmsWorld(world.postgres, world.database)
    other.create()["metadata"]["uid"] = "another-uid"
    await other.visit()
    assert other.condition("DatabaseReachable") == "False RolesTaken"
    log_in(world, first["username"], first["password"])


async def test_an_lms_that_was_deleted_and_made_again_finds_its_database(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    password = world.secret()["password"]
    world.server.remove(AADA_LMS, LMS)
    assert world.server.names(DEPLOYMENTS) == []
    assert "aada-db" in world.server.names(SECRETS)
    world.create()
    await world.settle()
    assert world.condition("Ready") == "True Ready"
    assert world.secret()["password"] == password


async def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.postgres.dropdb(world.database)
    await world.visit()
    assert world.condition("DatabaseReachable") == "False DatabaseMissing"
    assert "restore" in world.message("DatabaseReachable")
    world.server.remove(SECRETS, "aada-db")
    await world.visit()
    assert world.condition("DatabaseReachable") == "False DatabaseMissing"
    assert not world.postgres.value(f"SELECT 1 FROM pg_database WHERE datname = '{world.database}'")


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [({"password": "wrong"}, "AuthenticationFailed", "aada-db"), ({"password": ""}, "SecretMissing", "password")],
)
async def test_a_given_secret_that_is_wrong_is_named(
    world: LmsWorld, change: dict[str, str], reason: str, word: str
) -> None:
    existing(world)
    adopt(world, **change)
    world.create()
    await world.visit()
    assert world.condition("DatabaseReachable") == f"False {reason}"
    assert word in world.message("DatabaseReachable")
    world.server.remove(SECRETS, "aada-db")
    adopt(world)
    await world.visit()
    assert world.condition("DatabaseReachable") == "True Connected", "it heals by itself"


async def test_a_missing_admin_secret_is_named_and_heals(world: LmsWorld) -> None:
    world.server.remove(SECRETS, "db-admin")
    world.create()
    await world.visit()
    assert world.condition("Ready") == "False SecretMissing"
    assert "db-admin" in world.message("Ready")
    world.server.secret("db-admin", username=world.postgres.user, password=world.postgres.password)
    await world.settle()
    assert world.condition("Ready") == "True Ready"


async def test_the_advisory_lock_lets_one_in(world: LmsWorld) -> None:
    world.create()
    with world.postgres.admin() as other:
        key = f"lms.aada.edu/{world.database}"
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        await world.visit()
        assert world.condition("DatabaseReachable") == "False OperationInProgress"
    await world.settle()
    assert world.condition("Ready") == "True Ready"


# --- the rest of the object -----------------------------------------------------------------------------------------


async def test_suspended_from_the_start_nothing_is_written_anywhere(world: LmsWorld) -> None:
    world.create(suspend=True)
    writes = await world.visit()
    assert writes == ["status aadalms/aada"]
    assert roles_of(world) == 0
    assert world.condition("Reconciling") == "False Suspended"
    assert world.condition("Ready") == "False SecretMissing"
    assert world.lms["status"]["phase"] == "Suspended"


async def test_suspended_later_it_is_still_observed(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["suspend"] = True
    world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] = 1
    world.roll_out()
    assert await world.visit() == ["status aadalms/aada"]
    assert world.condition("Ready") == "True Ready"
    assert world.lms["status"]["components"][0]["desired"] == 1
    world.lms["spec"]["version"] = "v2"
    await world.visit()
    assert world.condition("SchemaCurrent") == "Unknown Suspended"
    assert len(world.server.names(JOBS)) == 1, "no migration is started"
    world.lms["spec"]["suspend"] = False
    await world.settle()
    assert world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] == 2
    assert image_of(world) == "lms:v2"


async def test_drift_is_reverted_and_named(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] = 5
    writes = await world.visit()
    assert writes == ["apply deployments/aada-backend", "status aadalms/aada"]
    assert world.condition("RolloutHealthy") == "True DriftReverted"
    assert "Deployment aada-backend spec.replicas" in world.message("RolloutHealthy")
    await world.settle()
    assert world.condition("RolloutHealthy") == "True RolledOut"


async def test_without_a_database_the_components_are_still_looked_after(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["database"]["host"] = "nowhere.invalid"
    world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] = 1
    await world.visit()
    assert world.condition("Ready") == "False HostUnknown"
    assert world.condition("SchemaCurrent") == "Unknown DatabaseUnreachable"
    assert world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] == 2


async def test_without_a_database_no_new_image_is_rolled_out(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["database"]["host"] = "nowhere.invalid"
    world.lms["spec"]["version"] = "v2"
    await world.visit()
    assert image_of(world) == "lms:v1"


def image_of(world: LmsWorld) -> str:
    pod = world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["template"]["spec"]
    return str(pod["containers"][0]["image"])


async def test_pods_get_the_new_image_only_after_the_migration(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["version"], world.revision = "v2", "0003"
    await world.visit()
    assert len(world.server.names(JOBS)) == 2
    assert image_of(world) == "lms:v1"
    assert world.condition("SchemaCurrent") == "Unknown Migrating"
    await world.settle()
    assert image_of(world) == "lms:v2"
    assert world.lms["status"]["schema"] | {"job": ""} == {"revision": "0003", "previousRevision": "0002", "job": ""}
    assert world.lms["status"]["version"] == "v2"


async def test_a_failed_migration_leaves_the_pods_and_is_not_repeated(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["version"] = "v2"
    await world.visit()
    (new,) = [name for name in world.server.names(JOBS) if not world.server.read(JOBS, name).get("status")]
    world.server.read(JOBS, new)["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    await world.settle()
    assert world.condition("Stalled") == "True MigrationFailed"
    assert image_of(world) == "lms:v1"
    assert len(world.server.names(JOBS)) == 2
    world.lms["metadata"]["annotations"] = {"lms.aada.edu/reset-at": "now"}
    await world.settle()
    assert image_of(world) == "lms:v2"
    assert world.lms["status"]["resetAt"] == "now"


async def test_an_older_image_on_a_newer_schema_is_explained(world: LmsWorld) -> None:
    world.create()
    await world.settle()
    world.lms["spec"]["version"] = "v0"
    await world.visit()
    (new,) = [name for name in world.server.names(JOBS) if not world.server.read(JOBS, name).get("status")]
    world.server.run_pod(new, {})
    labels = {"lms.aada.edu/lms": "aada", "lms.aada.edu/job": "migrate"}
    pod = world.server.read(PODS, f"{new}-pod")
    pod["metadata"]["labels"] |= labels
    pod["status"]["phase"] = "Failed"
    world.server.log_lines[f"{new}-pod"] = "FAILED: Can't locate revision identified by '0002' canary"
    world.server.read(JOBS, new)["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    await world.settle()
    assert world.condition("SchemaCurrent") == "False UnknownRevision"
    assert "lms:v0" in world.message("SchemaCurrent")
    assert "canary" not in str(world.lms), "no text of a log reaches a status"
    assert image_of(world) == "lms:v1"
    world.lms["spec"]["version"] = "v1"
    await world.settle()
    assert world.condition("Ready") == "True Ready"


@pytest.mark.parametrize("revision", ["0002", "0003"], ids=["to where it was", "to somewhere else"])
async def test_a_database_that_was_restored_is_migrated_again_and_once(world: LmsWorld, revision: str) -> None:
    world.create()
    await world.settle()
    world.postgres.execute("UPDATE alembic_version SET version_num = '0001'", world.database)
    world.revision = revision
    await world.settle()
    assert world.lms["status"]["schema"]["revision"] == revision
    assert world.condition("Ready") == "True Ready"
    assert len([write for write in world.server.writes if write.startswith("create jobs")]) == 2


async def test_a_missing_secret_holds_up_its_component_alone(world: LmsWorld) -> None:
    lms = world.create()
    lms["spec"]["components"].append({"name": "learn", "role": "web", "image": "learn"})
    await world.settle()
    lms["spec"]["secrets"] = [{"name": "JWT", "secretRef": {"name": "aada-jwt", "key": "current"}}]
    lms["spec"]["components"][1]["replicas"] = 3
    lms["metadata"]["generation"] = 2
    await world.settle()
    assert world.condition("SecretsFresh") == "False SecretMissing"
    assert "aada-jwt" in world.message("SecretsFresh")
    assert world.server.read(DEPLOYMENTS, "aada-learn")["spec"]["replicas"] == 3
    assert "JWT" not in str(world.server.read(DEPLOYMENTS, "aada-backend"))
    assert world.condition("Ready") == "True Serving"
    world.server.secret("aada-jwt", current="canary")
    await world.settle()
    assert "JWT" in str(world.server.read(DEPLOYMENTS, "aada-backend"))
    assert world.condition("Ready") == "True Ready"


async def test_a_changed_secret_restarts_the_pods_that_use_it(world: LmsWorld) -> None:
    lms = world.create(secrets=[{"name": "JWT", "secretRef": {"name": "aada-jwt", "key": "current"}}])
    lms["spec"]["components"].append({"name": "learn", "role": "web", "image": "learn"})
    world.server.secret("aada-jwt", current="canary-1")
    await world.settle()
    before = templates(world)
    world.server.secret("aada-jwt", current="canary-2")
    await world.settle()
    after = templates(world)
    assert before["aada-backend"] != after["aada-backend"]
    assert before["aada-learn"] == after["aada-learn"]
    assert "canary" not in str(after)


def templates(world: LmsWorld) -> dict[str, Any]:
    names = world.server.names(DEPLOYMENTS)
    return {name: world.server.read(DEPLOYMENTS, name)["spec"]["template"] for name in names}


async def test_what_the_spec_no_longer_names_is_removed(world: LmsWorld) -> None:
    lms = world.create()
    lms["spec"]["components"].append({"name": "learn", "role": "web", "image": "learn", "host": "learn.example"})
    labels = {"lms.aada.edu/lms": "aada", "lms.aada.edu/owner": "aadalms", "lms.aada.edu/component": "foreign"}
    world.server.add(DEPLOYMENTS, {"metadata": {"name": "foreign", "labels": labels}, "spec": {}})
    await world.settle()
    assert "aada-learn" in world.server.names(INGRESSES)
    del lms["spec"]["components"][1]
    lms["spec"]["components"][0]["replicas"] = 1
    await world.settle()
    found = children(world)
    assert found["deployments"] == ["aada-backend", "foreign"]
    assert (found["services"], found["ingresses"], found["poddisruptionbudgets"]) == (["aada-backend"], [], [])


async def test_a_name_that_is_taken_is_said_and_the_others_go_on(world: LmsWorld) -> None:
    lms = world.create()
    lms["spec"]["components"].append({"name": "learn", "role": "web", "image": "learn"})
    world.server.add(DEPLOYMENTS, {"metadata": {"name": "aada-backend"}, "spec": {"replicas": 1}})
    for _ in range(3):
        await world.visit()
        world.run_jobs()
    assert world.condition("Stalled") == "True NameTaken"
    assert "aada-learn" in world.server.names(DEPLOYMENTS)
    assert world.server.read(DEPLOYMENTS, "aada-backend")["spec"] == {"replicas": 1}
