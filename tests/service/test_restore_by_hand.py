"""docs/restore-without-the-operator.md, run as it stands: with standard tools a backup becomes a database again."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.service.servers import POSTGRES_BIN, PostgresServer
from tests.service.test_worker_round_trip import EVERYTHING, dump_text
from tests.service.worker_harness import CHECKOUT, Job, folder_of

PAGE = CHECKOUT / "docs" / "restore-without-the-operator.md"
RESTORED = "lms_by_hand"


def script(job: Job, backup: str, key: Path) -> str:
    """The page's commands, with the values of its first block replaced by those of this test."""
    settings, *steps = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    folder, _, _ = folder_of(backup).rpartition("/")
    values = {
        "endpoint": job.s3.endpoint,
        "lms": f"s3://{job.bucket}/{folder}",
        "backup": backup,
        "key": str(key),
        "database": RESTORED,
    }
    for name, value in values.items():
        settings, count = re.subn(rf"^{name}=.*$", f"{name}={value}", settings, flags=re.MULTILINE)
        assert count == 1, f"the page no longer asks for {name}"
    return "".join([settings, *steps])


def environment(job: Job, postgres: PostgresServer) -> dict[str, str]:
    return {
        "PATH": f"{POSTGRES_BIN}:{os.environ['PATH']}",
        "HOME": str(job.folder),
        "AWS_ACCESS_KEY_ID": job.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": job.s3.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "PGHOST": postgres.host,
        "PGPORT": str(postgres.port),
        "PGUSER": postgres.user,
        "PGPASSWORD": postgres.password,
    }


def test_the_page_brings_back_everything(job: Job, postgres: PostgresServer, database: str, tmp_path: Path) -> None:
    postgres.execute(EVERYTHING, database)
    postgres.execute(
        "CREATE TABLE long_rows AS SELECT i, repeat(md5(i::text), 30000) AS text FROM generate_series(1, 30) i",
        database,
    )
    job.backup(database, "monday")
    key = tmp_path / "backup-key.txt"
    key.write_text(job.identity)
    done = subprocess.run(
        ["bash", "-c", script(job, "monday", key)], env=environment(job, postgres), cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{RESTORED} is equal to monday\n")
    assert dump_text(postgres, RESTORED) == dump_text(postgres, database)
    postgres.dropdb(RESTORED)
