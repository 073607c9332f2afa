"""TLS with servers whose certificate is of the school's own authority: verified with the mounted CA, never skipped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aada_operator.api.task import BackupTask
from tests.service.servers import PostgresServer, S3Server, in_memory
from tests.service.worker_harness import Job
from tests.testbed.pki import Authority, Identity


@pytest.fixture(scope="module")
def authority() -> Iterator[Path]:
    """A folder with ca.crt, server.crt and server.key for 127.0.0.1."""
    folder = Path(tempfile.mkdtemp(prefix="aada-ca-"))
    Authority(folder).issue("server", Identity("server", addresses=("127.0.0.1",)))
    folder.chmod(0o755)
    (folder / "server.key").chmod(0o600)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def postgres(authority: Path) -> Iterator[PostgresServer]:
    key = authority / "postgres.key"
    shutil.copy(authority / "server.key", key)
    key.chmod(0o600)
    shutil.chown(key, "postgres", "postgres")
    with PostgresServer(
        in_memory(), ssl="on", ssl_cert_file=str(authority / "server.crt"), ssl_key_file=str(key)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def s3(authority: Path) -> Iterator[S3Server]:
    with S3Server(authority / "server") as server:
        yield server


@pytest.fixture
def job(postgres: PostgresServer, s3: S3Server, authority: Path) -> Iterator[Job]:
    with Job(postgres, s3, s3.make_bucket()) as it:
        it.secret("database-ca/ca.crt", (authority / "ca.crt").read_text())
        it.secret("storage-ca/ca.crt", (authority / "ca.crt").read_text())
        yield it


def task(job: Job, database: str) -> BackupTask:
    address = job.postgres.address(database).model_copy(update={"ssl_mode": "verify-full"})
    return job.task(database).model_copy(update={"database": address})


def test_backup_and_restore_with_the_mounted_authority(job: Job, postgres: PostgresServer, database: str) -> None:
    postgres.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS i", database)
    assert job.run("backup", task(job, database)).outcome
    job.verify()
    restore = job.restore_task("over_tls")
    address = restore.database.model_copy(update={"ssl_mode": "verify-full"})
    assert job.run("restore", restore.model_copy(update={"database": address})).exit_code == 0
    assert postgres.value("SELECT count(*) FROM t", "over_tls") == 10
    postgres.dropdb("over_tls")


@pytest.mark.parametrize(
    ("folder", "reason"), [("database-ca", "DatabaseUnreachable"), ("storage-ca", "StorageUnreachable")]
)
def test_a_certificate_of_another_authority_is_refused(
    job: Job, database: str, tmp_path: Path, folder: str, reason: str
) -> None:
    Authority(tmp_path)
    job.secret(f"{folder}/ca.crt", (tmp_path / "ca.crt").read_text())
    failure = job.run("backup", task(job, database)).failure
    assert (failure.reason, failure.retryable) == (reason, True)
    assert "CA" in failure.message or "TLS" in failure.message


def test_without_a_mounted_authority_the_systems_are_believed_and_no_other(job: Job, database: str) -> None:
    shutil.rmtree(job.folder / "secrets" / "database-ca")
    assert job.run("backup", task(job, database)).failure.reason == "DatabaseUnreachable"
