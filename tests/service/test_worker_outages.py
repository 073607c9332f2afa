"""Servers that refuse, are slow, full or die: the cause is told, nothing half is a backup, the next try works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aada_operator.api.task import BackupResult, CopyResult, RestoreResult, S3Location
from tests.service.faults import FaultyS3, Request, small_disk
from tests.service.processes import children_of, program_of, visible_of
from tests.service.servers import PostgresServer, S3Server, wait_for
from tests.service.worker_harness import Finished, Job, RunningWorker, folder_of

TARGET, UID = "outage_restored", "uid-of-the-restore"
# 24 MB that do not compress: 8 chunks.
ROWS = """
CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE TABLE blobs (id int PRIMARY KEY, data bytea);
INSERT INTO blobs SELECT i, gen_random_bytes(1000) FROM generate_series(1, 24000) i;
"""


@pytest.fixture
def rows(postgres: PostgresServer, database: str) -> str:
    """A database of its own: some of these tests change it."""
    postgres.execute(ROWS, database)
    return database


@pytest.fixture
def faulty(s3: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3) as proxy:
        yield proxy


def through(job: Job, proxy: FaultyS3, database: str) -> Finished:
    """A backup whose requests all pass the proxy."""
    location = S3Location(bucket=job.bucket, endpoint=proxy.endpoint, allow_local_endpoint=True)
    return job.run("backup", job.task(database, storage=location))


def kill(worker: RunningWorker, program: str) -> None:
    """SIGKILL one of a worker's programs, as the kernel does when memory is short."""
    victim = next(pid for pid in children_of(worker.process.pid) if program_of(pid) == program)
    os.kill(victim, signal.SIGKILL)


def _archives(worker: RunningWorker) -> bool:
    """Whether a pg_dump runs that writes large objects."""
    pids = [pid for pid in children_of(worker.process.pid) if program_of(pid) == "pg_dump"]
    return any("section=data" in text or "large-objects" in text or "--blobs" in text
               for pid in pids for text in visible_of(pid))  # fmt: skip


class TestStorage:
    @pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
    def test_a_refusal_now_and_then_is_survived(
        self, job: Job, faulty: FaultyS3, rows: str, status: int, code: str
    ) -> None:
        faulty.fault = lambda request: (status, code) if request.number % 4 == 0 else None
        through(job, faulty, rows).result(BackupResult)
        assert faulty.asked > 12
        job.verify()

    def test_one_that_is_busy_for_good_is_named_and_asks_for_another_try(
        self, job: Job, faulty: FaultyS3, rows: str
    ) -> None:
        faulty.fault = lambda request: (503, "SlowDown") if request.method == "PUT" else None
        failure = through(job, faulty, rows).failure
        assert (failure.reason, failure.retryable) == ("StorageUnreachable", True)
        assert "SlowDown" in failure.message
        assert job.manifest() is None
        faulty.fault = lambda *_: None
        through(job, faulty, rows).result(BackupResult)

    def test_one_that_is_slow_takes_longer_and_nothing_else(self, job: Job, faulty: FaultyS3, rows: str) -> None:
        pause = threading.Event()

        def slow(_: Request) -> None:
            pause.wait(0.3)

        faulty.fault = slow
        through(job, faulty, rows).result(BackupResult)
        job.verify()

    @pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect"])
    def test_another_region_is_told(self, job: Job, faulty: FaultyS3, rows: str, code: str) -> None:
        """As AWS answers; the server of these tests knows one region only."""
        faulty.fault = lambda *_: (400, code)
        failure = through(job, faulty, rows).failure
        assert (failure.reason, failure.retryable) == ("StorageUnreachable", True)
        assert "correct the region" in failure.message

    def test_one_that_is_full(self, job: Job, rows: str) -> None:
        """The second place is full: the copy says so, and the backup is untouched."""
        job.backup(rows)
        with small_disk(10) as disk, S3Server(parent=disk) as full:
            bucket = full.make_bucket()
            job.mount("copy", full)
            task = job.copy_task("nightly", full.location(bucket), folder_of("nightly"))
            failure = job.run("copy", task).failure
            assert not any(key.endswith("manifest.json") for key in full.keys(bucket))
        assert (failure.reason, failure.retryable) == ("NoSpace", True), failure.message
        with S3Server() as larger:
            bucket = larger.make_bucket()
            job.mount("copy", larger)
            job.run("copy", task.model_copy(update={"storage": larger.location(bucket)})).result(CopyResult)
        job.verify()

    def test_one_that_becomes_full_in_the_middle_keeps_the_backup_before(
        self, job: Job, postgres: PostgresServer, rows: str
    ) -> None:
        with small_disk(40) as disk, S3Server(parent=disk) as full:
            job.s3, job.bucket = full, full.make_bucket()
            job.mount("storage", full)
            before = job.backup(rows, "before")
            postgres.execute("UPDATE blobs SET data = gen_random_bytes(1000)", rows)
            failure = job.run("backup", job.task(rows, "full")).failure
            assert (failure.reason, failure.retryable) == ("NoSpace", True), failure.message
            assert job.bucket in failure.message
            assert job.manifest("full") is None
            assert job.verify("before").digest == before.digest
            subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
            after = job.backup(rows, "full")
            assert job.verify("full").digest == after.digest != before.digest

    def test_one_whose_quota_is_used_up_in_the_middle(self, job: Job, faulty: FaultyS3, rows: str) -> None:
        """As servers with a quota for each bucket answer."""
        written: list[str] = []

        def quota(request: Request) -> tuple[int, str] | None:
            if request.method != "PUT" or "/_chunks/" not in request.path:
                return None
            written.append(request.path)
            return (403, "QuotaExceeded") if len(written) > 3 else None

        faulty.fault = quota
        failure = through(job, faulty, rows).failure
        assert (failure.reason, failure.retryable) == ("NoSpace", True), failure.message
        assert "has no space left" in failure.message
        assert job.manifest() is None
        faulty.fault = lambda *_: None
        through(job, faulty, rows).result(BackupResult)


class TestCredentials:
    """Those of the database or of the bucket are replaced while a backup runs, and the mounted Secrets follow."""

    @pytest.mark.parametrize("follows", [True, False])
    def test_of_the_database(self, job: Job, postgres: PostgresServer, rows: str, follows: bool) -> None:
        """What is open stays open; what is opened later needs the new password, in this try or the next."""
        postgres.execute("CREATE ROLE backs_up LOGIN SUPERUSER PASSWORD 'canary-old'")
        job.secret("database/username", "backs_up")
        job.secret("database/password", "canary-old")
        try:
            worker = job.start("backup", job.task(rows), "worker.backup.after-snapshot=stop")
            worker.wait_until_stopped()
            postgres.execute("ALTER ROLE backs_up PASSWORD 'canary-new'")
            if follows:
                job.secret("database/password", "canary-new")
            worker.go_on()
            ended = worker.finish()
            if follows:
                ended.result(BackupResult)
            else:
                failure = ended.failure
                assert (failure.reason, failure.retryable) == ("DatabaseAuthenticationFailed", True), failure.message
                assert job.manifest() is None
                job.secret("database/password", "canary-new")
                job.backup(rows)
            job.verify()
        finally:
            postgres.execute("DROP ROLE backs_up")

    @pytest.mark.parametrize("follows", [True, False])
    def test_of_the_bucket(self, job: Job, rows: str, follows: bool) -> None:
        """What was uploaded with the old key is part of the backup; what comes later needs the new one."""
        with S3Server() as own:
            job.s3, job.bucket = own, own.make_bucket()
            job.mount("storage", own)
            worker = job.start("backup", job.task(rows), "worker.backup.read-2=stop")
            worker.wait_until_stopped()
            own.stop()
            own.secret_key = "canary-new-secret-key"
            own.start()
            if follows:
                job.secret("storage/AWS_SECRET_ACCESS_KEY", own.secret_key)
            worker.go_on()
            ended = worker.finish()
            if follows:
                ended.result(BackupResult)
            else:
                failure = ended.failure
                assert (failure.reason, failure.retryable) == ("StorageAccessDenied", True), failure.message
                assert job.manifest() is None
                job.secret("storage/AWS_SECRET_ACCESS_KEY", own.secret_key)
                job.backup(rows)
            job.verify()


class TestPrograms:
    def test_a_reader_that_is_killed_makes_no_half_backup(self, job: Job, rows: str) -> None:
        worker = job.start("backup", job.task(rows), "worker.backup.read-2=stop")
        worker.wait_until_stopped()
        kill(worker, "psql")
        worker.go_on()
        self._fails_and_the_next_succeeds(job, worker, rows)

    def test_a_pg_dump_that_is_killed_makes_no_half_backup(
        self, job: Job, faulty: FaultyS3, postgres: PostgresServer, rows: str
    ) -> None:
        """While the server takes nothing of its archive, it cannot come to its end."""
        megabyte = "SELECT string_agg(gen_random_bytes(1000), '') FROM generate_series(1, 1000)"
        postgres.execute(f"SELECT lo_from_bytea(0, ({megabyte})) FROM generate_series(1, 30)", rows)
        killed = threading.Event()

        def hold(request: Request) -> None:
            if "/rest-" in request.path:
                killed.wait(60)

        faulty.fault = hold
        location = S3Location(bucket=job.bucket, endpoint=faulty.endpoint, allow_local_endpoint=True)
        worker = job.start("backup", job.task(rows, storage=location))
        wait_for(lambda: _archives(worker), "pg_dump of large objects", 60)
        kill(worker, "pg_dump")
        killed.set()
        self._fails_and_the_next_succeeds(job, worker, rows)

    def _fails_and_the_next_succeeds(self, job: Job, worker: RunningWorker, database: str) -> None:
        failure = worker.finish().failure
        assert (failure.reason, failure.retryable) == ("DumpFailed", True), failure.message
        assert job.manifest() is None
        assert job.unfinished_uploads() == []
        result = job.backup(database)
        assert job.verify().digest == result.digest


class TestMovingTables:
    @pytest.mark.parametrize(
        "statement",
        [
            "VACUUM FULL blobs",
            "TRUNCATE blobs",
            "DROP TABLE blobs",
            "ALTER TABLE blobs ALTER COLUMN id TYPE bigint",
            "CLUSTER blobs USING blobs_pkey",
        ],
    )
    def test_what_rewrites_a_table_goes_first_or_waits_and_no_backup_is_half(
        self, job: Job, postgres: PostgresServer, rows: str, statement: str
    ) -> None:
        """Whichever comes first: the backup holds all rows of its snapshot, or it is given up and tried again."""
        worker = job.start("backup", job.task(rows), "worker.backup.read-2=stop")
        worker.wait_until_stopped()
        changing = threading.Thread(target=postgres.execute, args=(statement, rows))
        changing.start()
        worker.go_on()
        ended = worker.finish()
        changing.join(60)
        assert not changing.is_alive()
        if ended.outcome and ended.outcome.ok:
            assert ended.result(BackupResult).rows == 24000
            job.verify()
        else:
            assert (ended.failure.reason, ended.failure.retryable) == ("LockTimeout", True)
            assert job.manifest() is None
        after = job.backup(rows, "after")
        assert after.rows == (0 if statement.startswith(("TRUNCATE", "DROP")) else 24000)
        assert job.verify("after").digest == after.digest


class TestFullDisks:
    def test_the_target_servers_refuses_and_keeps_what_it_has(self, job: Job, rows: str) -> None:
        job.backup(rows)
        with small_disk(28) as disk, PostgresServer() as full:
            other = full.createdb()
            full.execute("CREATE TABLE precious AS SELECT 42 AS answer", other)
            # New databases are made where their template is; the server's log of changes has room elsewhere.
            full.execute(f"CREATE TABLESPACE small LOCATION '{_owned_by_postgres(disk)}'")
            full.execute("ALTER DATABASE template0 SET TABLESPACE small")
            job.secret("database/password", full.password)
            task = job.restore_task(TARGET, uid=UID, database=full.address(TARGET))
            failure = job.run("restore", task).failure
            assert (failure.reason, failure.retryable) == ("NoSpace", True), failure.message
            assert TARGET not in full.value("SELECT string_agg(datname, ',') FROM pg_database")
            assert full.value("SELECT answer FROM precious", other) == 42
            full.execute("ALTER DATABASE template0 SET TABLESPACE pg_default")
            job.run("restore", task).result(RestoreResult)
            full.dropdb(TARGET)
            full.execute("DROP TABLESPACE small")

    def test_the_scratch_space_is_named(self, job: Job, rows: str) -> None:
        job.backup(rows)
        with small_disk(60) as disk:
            failure = job.run("verify", job.verify_task(), AADA_SCRATCH_DIR=str(disk)).failure
            assert list(disk.iterdir()) == [], "what it wrote is gone"
        assert (failure.reason, failure.retryable) == ("NoSpace", True), failure.message
        assert "scratchSize" in failure.message
        job.verify()


def _owned_by_postgres(disk: Path) -> Path:
    folder = disk / "space"
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    return folder
