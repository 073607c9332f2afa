"""A backup that meets a fault is no backup: no manifest, a reason with the way out, and the next try completes."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from aada_operator.api.manifest import lms_folder
from aada_operator.api.task import BackupResult, DatabaseAddress
from tests.service.servers import PostgresServer, S3Server, free_port, wait_for
from tests.service.worker_harness import Job, RunningWorker, folder_of

KILLED = -9


class TestKilled:
    @pytest.mark.parametrize("point", ["after-snapshot", "read-1", "read-4", "before-check", "before-manifest"])
    def test_before_the_manifest_there_is_no_backup_and_the_next_try_makes_one(
        self, job: Job, heavy: str, point: str
    ) -> None:
        killed = job.run("backup", job.task(heavy), f"worker.backup.{point}=kill")
        assert killed.exit_code == KILLED
        assert job.manifest() is None
        left = {key: job.s3.file(job.bucket, key).read_bytes() for key in job.s3.keys(job.bucket)}
        result = job.backup(heavy)
        assert not result.adopted
        manifest = job.manifest()
        assert manifest is not None
        # What the killed try left is not part of it and was not written over.
        keys = {f"{lms_folder(folder_of('nightly'))}/{part.key}" for part in manifest.parts}
        assert keys.isdisjoint(left)
        assert all(job.s3.file(job.bucket, key).read_bytes() == data for key, data in left.items())

    def test_after_the_manifest_the_next_try_adopts_it(self, job: Job, small: str) -> None:
        assert job.run("backup", job.task(small), "worker.backup.after-manifest=kill").exit_code == KILLED
        written = job.manifest()
        keys = job.s3.keys(job.bucket)
        result = job.backup(small)
        assert result.adopted
        assert job.manifest() == written
        assert job.s3.keys(job.bucket) == keys

    def test_a_backup_made_anew_under_another_uid_adopts_too(self, job: Job, small: str) -> None:
        first = job.backup(small)
        again = job.backup(small, uid="made-anew-by-gitops")
        assert again == first.model_copy(update={"adopted": True})

    def test_of_two_workers_at_once_one_writes_the_manifest_and_both_succeed(self, job: Job, small: str) -> None:
        with Job(job.postgres, job.s3, job.bucket) as other:
            workers = [each.start("backup", job.task(small)) for each in (job, other)]
            results = [worker.finish().result(BackupResult) for worker in workers]
        assert results[0].manifest_sha256 == results[1].manifest_sha256
        job.verify()


def midway(job: Job, database: str, **fields: Any) -> RunningWorker:
    """A backup that has read some rows and stands still until it is told to go on."""
    worker = job.start("backup", job.task(database, **fields), "worker.backup.read-2=stop")
    worker.wait_until_stopped()
    return worker


class TestTerminated:
    def test_sigterm_ends_all_streams_and_asks_for_a_retry(self, job: Job, heavy: str) -> None:
        worker = midway(job, heavy)
        worker.freeze("psql")
        worker.stop()
        worker.go_on()
        failure = worker.finish(20).failure
        assert (failure.reason, failure.retryable) == ("Terminated", True)
        assert job.manifest() is None
        assert job.unfinished_uploads() == []
        assert job.left_behind() == []


class TestDatabaseFaults:
    def fail(self, job: Job, address: DatabaseAddress) -> tuple[str, str, bool]:
        failure = job.run("backup", job.task(address.name).model_copy(update={"database": address})).failure
        assert job.s3.keys(job.bucket) == []
        return failure.reason, failure.message, failure.retryable

    def test_a_wrong_password(self, job: Job, small: str) -> None:
        job.secret("database/password", "canary-wrong")
        reason, message, retryable = self.fail(job, job.postgres.address(small))
        assert (reason, retryable) == ("DatabaseAuthenticationFailed", True)
        assert "Secret" in message

    def test_a_host_that_does_not_exist(self, job: Job, small: str) -> None:
        address = DatabaseAddress(host="db.nowhere.invalid", name=small)
        reason, message, retryable = self.fail(job, address)
        assert (reason, retryable) == ("DatabaseUnreachable", True)
        assert "db.nowhere.invalid" in message

    def test_a_port_where_nobody_listens(self, job: Job, small: str) -> None:
        address = DatabaseAddress(host="127.0.0.1", port=free_port(), name=small, ssl_mode="disable")
        assert self.fail(job, address)[0] == "DatabaseUnreachable"

    def test_a_database_that_does_not_exist(self, job: Job) -> None:
        reason, message, retryable = self.fail(job, job.postgres.address("no_such_database"))
        assert (reason, retryable) == ("DatabaseMissing", True)
        assert "no_such_database" in message

    def test_a_server_without_tls_when_tls_is_demanded(self, job: Job, small: str) -> None:
        address = job.postgres.address(small).model_copy(update={"ssl_mode": "verify-full"})
        reason, message, _ = self.fail(job, address)
        assert reason == "DatabaseUnreachable"
        assert "TLS" in message

    def test_postgresql_crashes_in_the_middle_of_a_dump(
        self, job: Job, postgres: PostgresServer, s3: S3Server, heavy: str
    ) -> None:
        worker = midway(job, heavy)
        with s3.frozen():
            worker.go_on()
            postgres.stop("immediate")
        failure = worker.finish().failure
        postgres.start()
        assert (failure.reason, failure.retryable) == ("DatabaseUnreachable", True)
        assert job.manifest() is None
        assert job.unfinished_uploads() == []
        job.backup(heavy)

    def test_somebody_kills_a_session_that_copies(
        self, job: Job, postgres: PostgresServer, s3: S3Server, heavy: str
    ) -> None:
        worker = midway(job, heavy)
        with s3.frozen():
            worker.go_on()
            postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %'")
        failure = worker.finish().failure
        assert (failure.reason, failure.retryable) == ("DatabaseUnreachable", True)
        assert job.manifest() is None


class TestInTheWay:
    """A backup never makes the application wait for longer than a moment."""

    def test_ddl_goes_first_and_the_backup_is_tried_again(
        self, job: Job, postgres: PostgresServer, s3: S3Server, heavy: str
    ) -> None:
        worker = midway(job, heavy)
        with s3.frozen():
            worker.go_on()
            began = time.monotonic()
            postgres.execute("ALTER TABLE blobs ADD COLUMN late int; ALTER TABLE blobs DROP COLUMN late", heavy)
            waited = time.monotonic() - began
        failure = worker.finish().failure
        assert (failure.reason, failure.retryable) == ("LockTimeout", True)
        assert "blobs" in failure.message
        assert waited < 10
        assert job.manifest() is None

    def test_a_snapshot_that_grows_too_old_is_given_up(self, job: Job, s3: S3Server, heavy: str) -> None:
        worker = midway(job, heavy, max_snapshot_age_seconds=2)
        with s3.frozen():
            worker.go_on()
            wait_for(lambda: not self._snapshots(job), "the snapshot to be given up")
        failure = worker.finish().failure
        assert (failure.reason, failure.retryable) == ("SnapshotFailed", True)
        assert "maxSnapshotAge" in failure.message

    def _snapshots(self, job: Job) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND application_name <> ''"
        return int(job.postgres.value(query))

    def test_a_lock_that_is_not_free_in_time(self, job: Job, postgres: PostgresServer, small: str) -> None:
        with postgres.admin(small) as holder, holder.transaction():
            holder.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
            failure = job.run("backup", job.task(small, lock_timeout_seconds=1)).failure
        assert (failure.reason, failure.retryable) == ("LockTimeout", True)


class TestStorageFaults:
    def fail(self, job: Job, database: str) -> tuple[str, str, bool]:
        failure = job.run("backup", job.task(database)).failure
        return failure.reason, failure.message, failure.retryable

    def test_a_bucket_that_does_not_exist(self, job: Job, small: str) -> None:
        job.bucket = "no-such-bucket"
        reason, message, retryable = self.fail(job, small)
        assert (reason, retryable) == ("BucketNotFound", True)
        assert "no-such-bucket" in message

    def test_wrong_credentials(self, job: Job, small: str) -> None:
        job.secret("storage/AWS_SECRET_ACCESS_KEY", "canary-wrong-secret")
        assert self.fail(job, small)[0] == "StorageAccessDenied"

    def test_an_outage_of_a_moment_is_survived(self, job: Job, s3: S3Server, heavy: str) -> None:
        worker = midway(job, heavy)
        s3.stop()
        worker.go_on()
        time.sleep(1)  # the outage itself
        s3.start()
        worker.finish().result(BackupResult)
        job.verify()

    def test_a_longer_outage_fails_with_its_cause_and_the_next_try_completes(
        self, job: Job, s3: S3Server, heavy: str
    ) -> None:
        worker = midway(job, heavy)
        s3.stop()
        worker.go_on()
        failure = worker.finish().failure
        s3.start()
        assert (failure.reason, failure.retryable) == ("StorageUnreachable", True)
        assert job.manifest() is None
        job.backup(heavy)

    def test_a_manifest_that_is_there_already_and_damaged_is_never_written_over(self, job: Job, small: str) -> None:
        job.backup(small)
        written = job.manifest()
        job.part().unlink()
        failure = job.run("backup", job.task(small)).failure
        assert (failure.reason, failure.retryable) == ("Corrupt", False)
        assert job.manifest() == written


def test_tables_of_the_same_content_do_not_spoil_one_another(job: Job, postgres: PostgresServer, database: str) -> None:
    """As an administrator's copy of a table before a risky change."""
    postgres.execute(
        "CREATE TABLE grades AS SELECT i, md5(i::text) AS note FROM generate_series(1, 20000) i;"
        "CREATE TABLE grades_before AS SELECT * FROM grades",
        database,
    )
    result = job.backup(database)
    assert job.verify().digest == result.digest


class TestProgress:
    def test_bytes_and_tables_are_told_while_it_runs(self, job: Job, heavy: str) -> None:
        progress = job.run("backup", job.task(heavy)).progress
        stages = list(dict.fromkeys(step["stage"] for step in progress))
        assert stages == ["snapshot", "dump", "finalize"]
        (estimate,) = {step["totalBytes"] for step in progress if step["stage"] == "dump"}
        assert 60_000_000 < estimate < 120_000_000


class TestMovingDatabase:
    def test_rows_and_sequences_that_move_meanwhile_make_no_difference(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        postgres.execute(
            "CREATE TABLE t (id bigserial PRIMARY KEY, x text); INSERT INTO t (x) SELECT md5(i::text)"
            " FROM generate_series(1, 20000) i",
            database,
        )
        ended = threading.Event()

        def write() -> None:
            with postgres.admin(database) as connection:
                while not ended.is_set():
                    connection.execute(
                        "INSERT INTO t (x) VALUES ('new'); DELETE FROM t WHERE id % 7 = 0 AND id > 20000"
                    )

        writer = threading.Thread(target=write)
        writer.start()
        try:
            job.backup(database)
        finally:
            ended.set()
            writer.join()
        manifest = job.manifest()
        assert manifest is not None
        (sequence,) = manifest.sequences
        assert sequence.last_value_after > sequence.last_value
        assert manifest.rows >= 20000
        job.verify()


def test_a_rotated_password_is_read_again(job: Job, postgres: PostgresServer, small: str) -> None:
    """The Secret changes between the first, refused login and the second."""
    from aada_operator.worker.server import Login, Server

    logins = iter([Login(postgres.user, "old")])
    server = Server(
        postgres.host, postgres.port, "disable", lambda: next(logins, Login(postgres.user, postgres.password))
    )
    with server.connect(small) as connection:
        assert isinstance(connection, psycopg.Connection)
