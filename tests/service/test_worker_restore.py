"""A restore makes a new database or nothing: it never touches one that is not its own, and survives every kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aada_operator.api.task import RestoreResult
from aada_operator.worker.keys import keygen
from tests.service.servers import PostgresServer, wait_for
from tests.service.worker_harness import Job

KILLED = -9
TARGET = "restored"
UID = "0b9a3a4e-6f1c-4b5e-9f0a-2b7d5a1c9e11"
OWNED = """
    DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'school_owner') THEN CREATE ROLE school_owner NOLOGIN; END IF;
    END $$;
    CREATE TABLE students (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
    INSERT INTO students (name) SELECT md5(i::text) FROM generate_series(1, 100) i;
    ALTER TABLE students OWNER TO school_owner
"""


@pytest.fixture(autouse=True)
def clean(postgres: PostgresServer) -> Iterator[None]:
    yield
    for name in databases(postgres):
        if name == TARGET or name.startswith("restore-"):
            postgres.dropdb(name)


def databases(postgres: PostgresServer) -> list[str]:
    with postgres.admin() as connection:
        return [name for (name,) in connection.execute("SELECT datname FROM pg_database ORDER BY 1")]


def comment(postgres: PostgresServer) -> str | None:
    query = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{TARGET}'"
    value = postgres.value(query)
    return None if value is None else str(value)


def refused(job: Job, **fields: object) -> tuple[str, str]:
    """Reason and message of a restore that must fail for good without touching anything."""
    before = databases(job.postgres)
    failure = job.run("restore", job.restore_task(TARGET, uid=UID).model_copy(update=fields)).failure
    assert not failure.retryable
    assert databases(job.postgres) == before
    return failure.reason, failure.message


class TestCompletes:
    def test_with_the_manifest_that_was_planned_with(self, job: Job, small: str) -> None:
        backup = job.backup(small)
        job.restore(TARGET, uid=UID, manifest_sha256=backup.manifest_sha256)

    def test_the_database_is_marked_complete_and_restored_only_once(
        self, job: Job, postgres: PostgresServer, small: str
    ) -> None:
        job.backup(small)
        result = job.restore(TARGET, uid=UID)
        assert result.rows == 1000
        assert all(check.ok for check in result.checks)
        assert comment(postgres) == f"lms.aada.edu/restore={UID};complete"
        postgres.execute("DELETE FROM notes WHERE id > 10", TARGET)
        again = job.restore(TARGET, uid=UID)
        assert again.adopted
        assert postgres.value("SELECT count(*) FROM notes", TARGET) == 10

    def test_a_role_that_is_no_superuser_restores_what_another_owns(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        postgres.execute(OWNED, database)
        postgres.execute(f"ALTER DATABASE {database} OWNER TO school_owner")
        job.backup(database)
        postgres.dropdb(database)
        postgres.execute("DROP ROLE school_owner; CREATE ROLE builder LOGIN CREATEDB CREATEROLE PASSWORD 'canary-b'")
        job.secret("database/username", "builder")
        job.secret("database/password", "canary-b")
        try:
            job.restore(TARGET, uid=UID)
            owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'students'"
            assert postgres.value(owner, TARGET) == "school_owner"
            owner = f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{TARGET}'"
            assert postgres.value(owner) == "school_owner"
            assert postgres.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'school_owner'") is False
        finally:
            postgres.dropdb(TARGET)
            postgres.execute("DROP ROLE builder; DROP ROLE school_owner")


class TestRefusedBeforeAnythingIsTouched:
    def test_a_database_of_that_name_that_is_not_ours(self, job: Job, postgres: PostgresServer, small: str) -> None:
        job.backup(small)
        postgres.createdb(TARGET)
        postgres.execute("CREATE TABLE precious AS SELECT 1 AS i", TARGET)
        reason, message = refused(job)
        assert reason == "TargetExists"
        assert TARGET in message
        assert postgres.value("SELECT count(*) FROM precious", TARGET) == 1

    @pytest.mark.parametrize("state", ["", ";complete"])
    def test_a_database_of_another_restore(self, job: Job, postgres: PostgresServer, small: str, state: str) -> None:
        job.backup(small)
        postgres.createdb(TARGET)
        postgres.execute(f"COMMENT ON DATABASE {TARGET} IS 'lms.aada.edu/restore={UID}x{state}'")
        assert refused(job)[0] == "TargetExists"

    def test_a_key_that_does_not_open_the_backup(self, job: Job, small: str) -> None:
        job.backup(small)
        job.secret("identity/identity", keygen()[0])
        assert refused(job)[0] == "WrongKey"

    def test_a_missing_part(self, job: Job, small: str) -> None:
        job.backup(small)
        job.part().unlink()
        assert refused(job)[0] == "Corrupt"

    def test_another_manifest_than_the_one_that_was_approved(self, job: Job, small: str) -> None:
        job.backup(small)
        assert refused(job, manifest_sha256="0" * 64)[0] == "Corrupt"

    def test_a_role_that_may_not_make_databases(self, job: Job, postgres: PostgresServer, small: str) -> None:
        job.backup(small)
        postgres.execute("CREATE ROLE weak LOGIN PASSWORD 'canary-weak'")
        job.secret("database/username", "weak")
        job.secret("database/password", "canary-weak")
        reason, message = refused(job)
        postgres.execute("DROP ROLE weak")
        assert reason == "InsufficientPrivilege"
        assert "CREATEDB" in message

    def test_roles_that_are_missing_and_may_not_be_made(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        postgres.execute(OWNED, database)
        job.backup(database)
        postgres.execute("REASSIGN OWNED BY school_owner TO postgres; DROP ROLE school_owner", database)
        postgres.execute("CREATE ROLE weak LOGIN CREATEDB PASSWORD 'canary-weak'")
        job.secret("database/username", "weak")
        job.secret("database/password", "canary-weak")
        reason, message = refused(job)
        postgres.execute("DROP ROLE weak")
        assert reason == "InsufficientPrivilege"
        assert "school_owner" in message


class TestKilled:
    @pytest.mark.parametrize(
        "point",
        [
            "restore.before-create",
            "restore.after-create",
            "restore.after-rename",
            "load.schema-1",
            "load.copy",
            "restore.before-compare",
            "restore.before-complete",
        ],
    )
    def test_the_next_try_begins_again_and_completes(
        self, job: Job, postgres: PostgresServer, small: str, point: str
    ) -> None:
        job.backup(small)
        assert job.run("restore", job.restore_task(TARGET, uid=UID), f"worker.{point}=kill").exit_code == KILLED
        if TARGET in databases(postgres):
            assert comment(postgres) == f"lms.aada.edu/restore={UID}"
        wait_for(lambda: not self.locked(postgres), "the server to notice that the worker is gone")
        result = job.restore(TARGET, uid=UID)
        assert not result.adopted
        assert postgres.value("SELECT count(*) FROM notes", TARGET) == 1000
        assert not [name for name in databases(postgres) if name.startswith("restore-")]

    def locked(self, postgres: PostgresServer) -> bool:
        return bool(postgres.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    def test_two_workers_of_one_restore_are_never_at_it_together(
        self, job: Job, postgres: PostgresServer, small: str
    ) -> None:
        job.backup(small)
        first = job.start("restore", job.restore_task(TARGET, uid=UID), "worker.restore.before-compare=stop")
        first.wait_until_stopped()
        with Job(postgres, job.s3, job.bucket) as other:
            failure = other.run("restore", other.restore_task(TARGET, uid=UID)).failure
        assert (failure.reason, failure.retryable) == ("TargetExists", True)
        first.go_on()
        first.finish().result(RestoreResult)

    def test_sigterm_leaves_what_the_next_try_replaces(self, job: Job, postgres: PostgresServer, heavy: str) -> None:
        job.backup(heavy)
        worker = job.start("restore", job.restore_task(TARGET, uid=UID))
        worker.wait_for_stage("restore")
        worker.stop()
        failure = worker.finish(25).failure
        assert (failure.reason, failure.retryable) == ("Terminated", True)
        assert comment(postgres) == f"lms.aada.edu/restore={UID}"
        job.restore(TARGET, uid=UID)

    def test_sigterm_is_answered_in_time_though_a_thread_waits_for_something_that_never_comes(
        self, job: Job, small: str
    ) -> None:
        """Kubernetes kills after 30 s, and then nobody knows why the worker ended."""
        job.backup(small)
        worker = job.start("restore", job.restore_task(TARGET, uid=UID), "worker.load.schema-1=hang")
        worker.wait_for_stage("restore")
        worker.stop()
        failure = worker.finish(25).failure
        assert (failure.reason, failure.retryable) == ("Terminated", True)
        job.restore(TARGET, uid=UID)


class TestFaults:
    def test_the_target_server_crashes_in_the_middle(self, job: Job, postgres: PostgresServer, heavy: str) -> None:
        job.backup(heavy)
        worker = job.start("restore", job.restore_task(TARGET, uid=UID))
        worker.wait_for_stage("restore")
        with job.s3.frozen():
            postgres.stop("immediate")
        failure = worker.finish().failure
        postgres.start()
        assert (failure.reason, failure.retryable) == ("DatabaseUnreachable", True)
        job.restore(TARGET, uid=UID)

    def test_damage_behind_the_header_is_found_and_nothing_stays(
        self, job: Job, postgres: PostgresServer, small: str
    ) -> None:
        job.backup(small)
        data = bytearray(job.part().read_bytes())
        data[-1] ^= 1
        job.part().write_bytes(data)
        assert refused(job)[0] == "Corrupt"
        assert TARGET not in databases(postgres)

    def test_rows_of_the_database_never_reach_log_or_outcome(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        """A constraint that the target checks differently: the server's message quotes the row."""
        body = "SELECT coalesce(current_setting('school.open', true), '') = 'yes' OR v <> 'Jane Canary, born 1999'"
        postgres.execute(
            f"ALTER DATABASE {database} SET school.open = 'yes'; CREATE TABLE t (v text);"
            f"CREATE FUNCTION fits(v text) RETURNS bool LANGUAGE sql AS $$ {body} $$",
            database,
        )
        postgres.execute("ALTER TABLE t ADD CHECK (fits(v)); INSERT INTO t VALUES ('Jane Canary, born 1999')", database)
        job.backup(database)
        finished = job.run("restore", job.restore_task(TARGET, uid=UID))
        assert finished.failure.reason == "RestoreFailed"
        assert "Jane" not in finished.output + str(finished.outcome)
        assert TARGET not in databases(postgres)


def test_names_that_look_like_options_or_connection_strings_are_names(
    job: Job, postgres: PostgresServer, small: str
) -> None:
    job.backup(small)
    for name in ("--help", "host=evil dbname=x", 'it\'s "quoted"'):
        job.restore(name, uid=f"uid-{Path(name).name}"[:30])
        assert postgres.value("SELECT count(*) FROM notes", name) == 1000
        job.backup(name, "again-" + str(len(name)))
        postgres.dropdb(name)
