"""A backup that would miss something is refused before anything is uploaded, and says what was hidden."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.servers import PostgresServer
from tests.service.worker_harness import Job


@pytest.fixture
def limited(postgres: PostgresServer, job: Job, database: str) -> Iterator[str]:
    """A role that may log in and no more; the job logs in as this role."""
    role = f"limited_{database}"
    postgres.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'canary-limited'; CREATE TABLE grades (student int, grade int);"
        "INSERT INTO grades VALUES (1, 1); CREATE TABLE open_to_all AS SELECT 1 AS i;"
        f"GRANT SELECT ON open_to_all TO {role}",
        database,
    )
    job.secret("database/username", role)
    job.secret("database/password", "canary-limited")
    yield role
    postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", database)


class TestPrivileges:
    def refused(self, job: Job, database: str) -> str:
        finished = job.run("backup", job.task(database))
        failure = finished.failure
        assert (failure.reason, failure.retryable) == ("InsufficientPrivilege", False)
        assert [step["stage"] for step in finished.progress] == ["snapshot"]
        assert job.s3.keys(job.bucket) == []
        return failure.message

    @pytest.mark.usefixtures("limited")
    def test_a_table_that_may_not_be_read_is_named(self, job: Job, database: str) -> None:
        assert "public.grades" in self.refused(job, database)

    def test_row_security_makes_an_error_and_not_half_a_table(
        self, job: Job, postgres: PostgresServer, limited: str, database: str
    ) -> None:
        postgres.execute(
            f"GRANT SELECT ON grades TO {limited}; ALTER TABLE grades ENABLE ROW LEVEL SECURITY;"
            f"CREATE POLICY own ON grades TO {limited} USING (student = 2)",
            database,
        )
        message = self.refused(job, database)
        assert "public.grades" in message
        assert "BYPASSRLS" in message

    def test_a_large_object_that_may_not_be_read(
        self, job: Job, postgres: PostgresServer, limited: str, database: str
    ) -> None:
        postgres.execute(
            f"DROP TABLE grades; SELECT lo_from_bytea(4711, 'x'); GRANT pg_read_all_data TO {limited}", database
        )
        assert "large object 4711" in self.refused(job, database)

    @pytest.mark.usefixtures("limited")
    def test_a_sequence_that_may_not_be_read(self, job: Job, postgres: PostgresServer, database: str) -> None:
        postgres.execute("DROP TABLE grades; CREATE SEQUENCE receipts", database)
        assert "public.receipts" in self.refused(job, database)

    def test_a_role_that_reads_everything_needs_no_more(
        self, job: Job, postgres: PostgresServer, limited: str, database: str
    ) -> None:
        postgres.execute(f"GRANT pg_read_all_data TO {limited}", database)
        assert job.backup(database).rows == 2
        postgres.execute(f"REVOKE pg_read_all_data FROM {limited}")
