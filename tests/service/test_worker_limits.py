"""Memory of the worker does not grow with the database; how fast it is, is told and not asserted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aada_operator.api.task import BackupResult, VerifyResult
from tests.service.servers import POSTGRES_BIN, PostgresServer
from tests.service.worker_harness import Job

MIB = 2**20
MOST_MEMORY = 128 * MIB


@pytest.fixture(scope="module")
def large(postgres: PostgresServer) -> Iterator[str]:
    """300 MB: two fifths of them text that compresses, the rest bytes that do not, one row of 20 MB among them."""
    name = postgres.createdb()
    postgres.execute(
        """
        CREATE EXTENSION pgcrypto;
        CREATE TABLE pages (id bigint, title text, body text);
        INSERT INTO pages SELECT i, md5(i::text), repeat(md5(i::text) || ' lesson ', 25)
          FROM generate_series(1, 150000) i;
        CREATE TABLE files (id bigint, data bytea);
        ALTER TABLE files ALTER COLUMN data SET STORAGE EXTERNAL;
        INSERT INTO files SELECT i, gen_random_bytes(1000) FROM generate_series(1, 110000) i;
        INSERT INTO files SELECT 0, string_agg(gen_random_bytes(1000), '') FROM generate_series(1, 20000)
        """,
        name,
    )
    yield name
    postgres.dropdb(name)


def test_memory_is_bounded_and_the_speed_is_told(
    job: Job, postgres: PostgresServer, large: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    backup = job.run("backup", job.task(large))
    seconds = backup.result(BackupResult).duration_seconds
    manifest = job.manifest()
    assert manifest is not None
    assert manifest.plain_bytes > 280_000_000
    verify = job.run("verify", job.verify_task())
    restore_seconds = verify.result(VerifyResult).restore_seconds
    began = time.monotonic()
    argv = [str(POSTGRES_BIN / "pg_dump"), "-Fc", "-h", str(postgres.folder), "-p", str(postgres.port)]
    subprocess.run([*argv, "-U", postgres.user, "-f", str(tmp_path / "plain.dump"), large], check=True)
    figures = {
        "backup_mb_per_s": round(manifest.plain_bytes / 1e6 / seconds, 1),
        "backup_seconds": seconds,
        "pg_dump_fc_seconds": round(time.monotonic() - began, 2),
        "load_seconds": restore_seconds,
        "backup_peak_mib": backup.peak_bytes // MIB,
        "verify_peak_mib": verify.peak_bytes // MIB,
        "pg_dump_peak_mib": backup.children["pg_dump"] // MIB,
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert backup.peak_bytes <= MOST_MEMORY
    assert verify.peak_bytes <= MOST_MEMORY
