"""Some tables of a backup, on a real server: they and all that can stand alone with them, and nothing else is read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aada_operator.api.task import Outcome, RestoreResult, SqlCheck
from tests.service.servers import POSTGRES_BIN, PostgresServer
from tests.service.worker_harness import Job

TARGET, UID = "some_tables", "0b9a3a4e-6f1c-4b5e-9f0a-2b7d5a1c9e12"
DOCS = Path(__file__).parents[2] / "docs" / "restores.md"
SCHOOL = """
    CREATE TABLE courses (id serial PRIMARY KEY, title text UNIQUE);
    CREATE TABLE students (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, mentor int REFERENCES students);
    CREATE TABLE enrolments (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                             student_id int REFERENCES students ON DELETE CASCADE,
                             course_id int REFERENCES courses ON DELETE CASCADE, UNIQUE (student_id, course_id));
    CREATE TABLE events (at date, student int REFERENCES students, PRIMARY KEY (at, student)) PARTITION BY RANGE (at);
    CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
    CREATE VIEW names AS SELECT name FROM students;
    CREATE SCHEMA archive; CREATE TABLE archive.courses (id int);
    INSERT INTO courses (title) SELECT 'course ' || i FROM generate_series(1, 20) i;
    INSERT INTO students (name, mentor) SELECT 'student ' || i, NULLIF(i - 1, 0) FROM generate_series(1, 500) i;
    INSERT INTO enrolments (student_id, course_id) SELECT s, c FROM generate_series(1, 500) s, generate_series(1, 20) c;
    INSERT INTO events SELECT '2025-12-01'::date + i % 60, i FROM generate_series(1, 400) i;
    CREATE TRIGGER refusing BEFORE INSERT ON enrolments FOR EACH ROW EXECUTE FUNCTION refuse();
"""
RELATIONS = """
    SELECT string_agg(relkind::text || ' ' || relname, ', ' ORDER BY relname) FROM pg_class c
    JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public' AND relkind NOT IN ('i', 'I')
"""


@pytest.fixture(scope="module")
def school(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.createdb()
    postgres.execute(SCHOOL, name)
    yield name
    postgres.dropdb(name)


@pytest.fixture(autouse=True)
def clean(postgres: PostgresServer) -> Iterator[None]:
    yield
    postgres.dropdb(TARGET)


def bring(job: Job, *tables: str, **fields: Any) -> RestoreResult:
    return job.restore(TARGET, uid=UID, tables=list(tables), **fields)


def refused(job: Job, **fields: Any) -> Outcome:
    """A restore that must fail for good, and leave no database."""
    outcome = job.run("restore", job.restore_task(TARGET, uid=UID, **fields)).failure
    assert not outcome.retryable
    assert job.postgres.value(f"SELECT count(*) FROM pg_database WHERE datname = '{TARGET}'") == 0
    return outcome


def exists(postgres: PostgresServer, query: str) -> bool:
    return bool(postgres.value(f"SELECT EXISTS ({query})", TARGET))


class TestBrings:
    def test_a_table_with_rows_indexes_keys_and_its_sequence(
        self, job: Job, postgres: PostgresServer, school: str
    ) -> None:
        job.backup(school)
        result = bring(job, "students")
        assert (result.tables, result.rows, result.left_out) == (1, 500, "")
        assert {check.name for check in result.checks} >= {"tables", "rows", "digests", "sequences"}
        assert postgres.value(RELATIONS, TARGET) == "r students, S students_id_seq"
        assert exists(postgres, "SELECT FROM pg_constraint WHERE conname = 'students_mentor_fkey'")
        postgres.execute("INSERT INTO students (name) VALUES ('next')", TARGET)
        assert postgres.value("SELECT max(id) FROM students", TARGET) == 501, "the sequence goes on where it was"

    def test_what_cannot_stand_alone_is_told_and_left_out(
        self, job: Job, postgres: PostgresServer, school: str
    ) -> None:
        job.backup(school)
        result = bring(job, "enrolments", "public.courses")
        assert result.rows == 10_020
        assert "trigger public enrolments refusing" in result.left_out
        assert "foreign key public enrolments enrolments_student_id_fkey" in result.left_out
        assert "course_id_fkey" not in result.left_out
        assert exists(postgres, "SELECT FROM pg_constraint WHERE conname = 'enrolments_course_id_fkey'")
        assert not exists(postgres, "SELECT FROM pg_trigger WHERE NOT tgisinternal")

    def test_a_partitioned_table_or_one_of_its_partitions(
        self, job: Job, postgres: PostgresServer, school: str
    ) -> None:
        job.backup(school)
        assert bring(job, "events").rows == 400
        assert postgres.value("SELECT count(*) FROM events", TARGET) == 400
        postgres.dropdb(TARGET)
        rows = bring(job, "events_2026").rows
        assert 0 < rows < 400
        assert postgres.value(RELATIONS, TARGET) == "r events_2026"
        assert exists(postgres, "SELECT FROM pg_constraint WHERE conrelid = 'events_2026'::regclass AND contype = 'p'")

    @pytest.mark.parametrize("tables", [["users"], ["x", "computed", "empty"], ["child", "events", "Kürs -- %s"]])
    def test_whatever_a_schema_can_hold(
        self, job: Job, postgres: PostgresServer, database: str, tables: list[str]
    ) -> None:
        """Types of extensions, generated columns, row security, inheritance, names that need quotes."""
        postgres.execute((Path(__file__).parent / "everything.sql").read_text(), database)
        job.backup(database)
        result = bring(job, *tables)
        assert all(check.ok for check in result.checks)
        assert exists(postgres, "SELECT FROM pg_extension WHERE extname = 'citext'")

    def test_from_a_backup_whose_other_tables_are_lost(self, job: Job, school: str) -> None:
        job.backup(school)
        lose(job, "enrolments")
        assert bring(job, "students", "archive.courses").rows == 500

    def test_by_a_role_that_is_no_superuser(self, job: Job, postgres: PostgresServer, database: str) -> None:
        postgres.execute(
            "CREATE ROLE teacher; CREATE TABLE a (i serial PRIMARY KEY); CREATE TABLE b (i int REFERENCES a);"
            "INSERT INTO a DEFAULT VALUES; ALTER TABLE a OWNER TO teacher; ALTER TABLE b OWNER TO teacher",
            database,
        )
        postgres.execute(f"ALTER DATABASE {database} OWNER TO teacher")
        job.backup(database)
        postgres.execute("CREATE ROLE builder LOGIN CREATEDB PASSWORD 'canary-b'; GRANT teacher TO builder")
        job.secret("database/username", "builder")
        job.secret("database/password", "canary-b")
        try:
            assert bring(job, "b", "a").rows == 1
        finally:
            postgres.dropdb(TARGET)
            postgres.dropdb(database)
            postgres.execute("DROP ROLE builder; DROP ROLE teacher")


class TestRefuses:
    def test_a_name_that_is_not_in_the_backup_before_anything_is_touched(self, job: Job, school: str) -> None:
        job.backup(school)
        outcome = refused(job, tables=["studnets"])
        assert outcome.reason == "TableNotFound"
        assert "did you mean students" in outcome.message

    def test_a_name_that_is_of_two_tables(self, job: Job, school: str) -> None:
        job.backup(school)
        assert "archive.courses, public.courses" in refused(job, tables=["courses"]).message

    def test_a_table_whose_rows_are_damaged(self, job: Job, school: str) -> None:
        job.backup(school)
        path = chunk(job, "students")
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        assert refused(job, tables=["students"]).reason == "Corrupt"

    def test_a_table_whose_rows_are_lost(self, job: Job, school: str) -> None:
        job.backup(school)
        lose(job, "students")
        assert refused(job, tables=["students"]).reason == "Corrupt"


class TestChecks:
    @pytest.fixture(autouse=True)
    def application(self, job: Job, postgres: PostgresServer) -> Iterator[None]:
        postgres.execute("CREATE ROLE app LOGIN PASSWORD 'canary-app'; GRANT pg_read_all_data TO app")
        job.secret("application/username", "app")
        job.secret("application/password", "canary-app")
        yield
        postgres.dropdb(TARGET)
        postgres.execute("DROP ROLE app")

    def asked(self, sql: str, **bounds: float) -> list[SqlCheck]:
        return [SqlCheck.model_validate({"name": "asked", "sql": sql} | bounds)]

    def test_that_hold_are_told(self, job: Job, school: str) -> None:
        job.backup(school)
        result = job.restore(TARGET, uid=UID, checks=self.asked("SELECT count(*) FROM students", min=500))
        assert [(check.name, check.message) for check in result.checks][-1] == ("asked", "500")

    def test_that_do_not_hold_leave_nothing(self, job: Job, school: str) -> None:
        job.backup(school)
        outcome = refused(job, checks=self.asked("SELECT count(*) FROM students", min=501))
        assert (outcome.reason, "500 is less than 501" in outcome.message) == ("CheckFailed", True)

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT 1; COMMIT; DROP TABLE students",
            "SELECT length(pg_read_file('PG_VERSION'))",
            "SELECT set_config('role', 'postgres', false)::int",
            "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity WHERE usename = 'postgres' LIMIT 1",
            "WITH gone AS (DELETE FROM students RETURNING 1) SELECT count(*) FROM gone",
        ],
    )
    def test_may_do_no_more_than_the_application(self, job: Job, school: str, sql: str) -> None:
        job.backup(school)
        assert refused(job, checks=self.asked(sql)).reason == "CheckInvalid"


def test_the_rows_of_a_lost_course_are_copied_back_as_the_page_says(
    job: Job, postgres: PostgresServer, school: str, tmp_path: Path
) -> None:
    """What was lost is back with its old keys, and what is there already is left alone."""
    job.backup(school)
    live = postgres.createdb(template=school)
    before = postgres.value("SELECT count(*) FROM enrolments", live)
    postgres.execute("DELETE FROM courses WHERE id = 17; DROP TRIGGER refusing ON enrolments", live)
    postgres.execute("UPDATE courses SET title = 'renamed since' WHERE id = 3", live)
    bring(job, "public.courses", "enrolments")
    (commands,) = re.findall(r"<!-- run as a test -->\n```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    commands = commands.replace("lost_course ", f"{TARGET} ").replace("-d aada_lms", f"-d {live}")
    variables = {"PGHOST": str(postgres.folder), "PGPORT": str(postgres.port), "PGUSER": postgres.user}
    path = f"{POSTGRES_BIN}:{os.environ['PATH']}"
    for _ in range(2):
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands], env=variables | {"PATH": path}, cwd=tmp_path, check=True
        )
    assert postgres.value("SELECT count(*) FROM enrolments", live) == before
    assert postgres.value("SELECT title FROM courses WHERE id = 17", live) == "course 17"
    assert postgres.value("SELECT title FROM courses WHERE id = 3", live) == "renamed since"
    postgres.dropdb(live)


def chunk(job: Job, table: str) -> Path:
    """The file behind the first chunk of a table."""
    manifest = job.manifest()
    assert manifest is not None
    part = next(part for part in manifest.parts if part.table == table)
    return job.part(number=[one.key for one in manifest.parts if one.kind == "copy"].index(part.key))


def lose(job: Job, table: str) -> None:
    chunk(job, table).unlink()
