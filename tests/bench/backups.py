"""Backups beside what people use otherwise, in one run on one database and one S3 server: `make show-backup`.

Everything is measured now: speed and size of a full backup, what travels of an unchanged and of a grown database,
verification beside pg_restore, memory, other tools, and what kills at random moments leave. A table for
docs/benchmarks.md comes before the last line, which is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aada_operator.api.task import BackupResult, VerifyResult
from aada_operator.worker import scratch
from tests.bench import peers
from tests.bench.backup_report import broken, table
from tests.service.kills import LARGE_OBJECT, Assault
from tests.service.sample_lms.harness import DATABASE_PASSWORD, Release, application_python
from tests.service.servers import POSTGRES_BIN, PostgresServer, S3Server, in_memory
from tests.service.worker_harness import Finished, Job

# New rows as the days bring them: the log of requests, and what students hand in; copies under new ids.
GROWING = ("audit_log", "submissions")
GROWTH = """
DO $$ DECLARE names text; BEGIN
  SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO names FROM pg_attribute
    WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attname <> 'id' AND attgenerated = '' AND NOT attisdropped;
  EXECUTE format('INSERT INTO {table} (%s) SELECT %s FROM {table} WHERE id %% 100 = 7 ORDER BY id', names, names);
END $$
"""


def say(text: str) -> None:
    """Progress, beside the last line that programs read."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass
class Show:
    """One run: a filled database, its servers, and what was measured so far."""

    postgres: PostgresServer
    s3: S3Server
    database: str
    folder: Path
    rounds: int
    loads: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    peak_mib: int = 0
    peak_with_programs_mib: int = 0

    def time(self, name: str, act: Callable[[], int]) -> None:
        """Measure ``act``, which returns the bytes that it stored."""
        began = time.monotonic()
        self.bytes[name] = act()
        self.seconds.setdefault(name, []).append(time.monotonic() - began)
        say(f"{name}: {self.seconds[name][-1]:.2f} s, {self.bytes[name] / 1e6:.1f} MB")

    def median(self, name: str) -> float:
        """Median of the rounds, in seconds."""
        return statistics.median(self.seconds[name])

    def dump(self, job: Job, name: str, base: str | None = None) -> BackupResult:
        """A backup of ours; its peak of memory counts."""
        return self._counted(job.run("backup", job.task(self.database, name, base=base))).result(BackupResult)

    def verify(self, job: Job, name: str) -> VerifyResult:
        """A verification of ours; its peak of memory counts."""
        return self._counted(job.run("verify", job.verify_task(name))).result(VerifyResult)

    def _counted(self, finished: Finished) -> Finished:
        self.peak_mib = max(self.peak_mib, finished.peak_bytes // 2**20)
        together = finished.peak_bytes + sum(finished.children.values())
        self.peak_with_programs_mib = max(self.peak_with_programs_mib, together // 2**20)
        return finished

    def grow(self) -> None:
        """Add about 1 % of rows."""
        for name in GROWING:
            self.postgres.execute(GROWTH.format(table=name), self.database)

    def shell(self, command: str, result: str) -> int:
        """Run a pipeline of PostgreSQL's programs on the database; returns the size of the file ``result``."""
        environment = {
            "PATH": f"{POSTGRES_BIN}:{os.environ['PATH']}",
            "PGHOST": str(self.postgres.folder),
            "PGPORT": str(self.postgres.port),
            "PGUSER": self.postgres.user,
            "PGDATABASE": self.database,
        }
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=environment, cwd=self.folder, check=True)
        return sum(file.stat().st_size for file in [self.folder / result, *(self.folder / result).rglob("*")])

    def full(self) -> None:
        """Full dumps, ours and theirs in turn, so that a slow minute of the machine hits all."""
        for _ in range(self.rounds):
            with Job(self.postgres, self.s3, self.s3.make_bucket()) as job:
                self.time("ours, to S3, encrypted, hashed", lambda job=job: self.dump(job, "full").stored_bytes)  # type: ignore[misc]
            self.time("pg_dump -Fc", lambda: self.shell("pg_dump -Fc -f fc", "fc"))
            self.time("pg_dump -Fc -Z0 | zstd -3 -T2", lambda: self.shell("pg_dump -Fc -Z0 | zstd -qf3T2 -o z", "z"))

    def repeat(self) -> dict[str, Any]:
        """What travels again, and how long a verification takes beside a restore of a plain dump."""
        self.shell("rm -rf fd; pg_dump -Fd -j2 -Z0 -f fd", "fd")
        with Job(self.postgres, self.s3, self.s3.make_bucket()) as job:
            full, unchanged = self.dump(job, "full"), self.dump(job, "unchanged", "full")
            self.grow()
            appended = self.dump(job, "appended", "unchanged")
            pairs = [self._loads(job, "appended") for _ in range(self.loads)]
        verified, loads = zip(*pairs, strict=True)
        say(f"growth: {appended.rows - full.rows} rows of {full.rows}")
        return {
            "unchanged_new_bytes_ratio": round(unchanged.new_bytes / full.stored_bytes, 5),
            "appended_new_bytes_ratio": round(appended.new_bytes / full.stored_bytes, 5),
            "appended_rows_ratio": round(appended.rows / full.rows - 1, 4),
            "unchanged_seconds": unchanged.duration_seconds,
            "appended_seconds": appended.duration_seconds,
            "unchanged_new_bytes": unchanged.new_bytes,
            "appended_new_bytes": appended.new_bytes,
            "verify_seconds": round(statistics.median(one.duration_seconds for one in verified), 2),
            "load_seconds": round(statistics.median(one.restore_seconds for one in verified), 2),
            "pg_restore_j2_seconds": round(statistics.median(loads), 2),
        }

    def _loads(self, job: Job, name: str) -> tuple[VerifyResult, float]:
        """A verification and a plain load, in turn, so that a slow minute of the machine hits both."""
        verified, plain = self.verify(job, name), self._plain_load()
        say(f"load of a verification: {verified.restore_seconds:.2f} s; pg_restore -j2: {plain:.2f} s")
        return verified, plain

    def _plain_load(self) -> float:
        """Seconds of pg_restore -j2 of a plain -Fd dump into a scratch server like that of a verification."""
        options = {name: value for name, value in scratch.OPTIONS.items() if name != "listen_addresses"}
        with PostgresServer(**options) as server:
            server.createdb("plain")
            argv = ["pg_restore", "-h", str(server.folder), "-p", str(server.port), "-U", server.user]
            began = time.monotonic()
            subprocess.run([POSTGRES_BIN / argv[0], *argv[1:], "-Oxj2", "-dplain", self.folder / "fd"], check=True)
            return time.monotonic() - began


def school(server: PostgresServer, folder: Path, size: str) -> str:
    """A database of the sample LMS of about ``size``; its name."""
    server.execute(f"CREATE ROLE lms LOGIN PASSWORD '{DATABASE_PASSWORD}'")
    name = server.createdb("school", owner="lms")
    url = f"postgresql+psycopg2://lms:{DATABASE_PASSWORD}@{server.host}:{server.port}/{name}"
    release = Release.make("v1.2.3", folder / "release", application_python())
    release.migrate(url)
    command = [str(release.python), "-m", "sample_lms.generate", "--size", size]
    subprocess.run(command, cwd=release.folder, env=release.environment(url), check=True, stdout=subprocess.DEVNULL)
    server.execute("VACUUM ANALYZE", name)
    return name


def kills(folder: Path, s3: S3Server, size: str, count: int, minutes: float) -> dict[str, Any]:
    """Workers of all kinds killed at random moments, on a small school; fewer than ``count`` when the time is over."""
    seed = random.randrange(2**32)
    say(f"{count} kills, seed {seed}")
    with PostgresServer(in_memory()) as server, Job(server, s3, s3.make_bucket(), in_memory()) as job:
        database = school(server, folder / "small", size)
        server.execute(LARGE_OBJECT, database)
        tally = Assault(job, server, database, random.Random(seed)).run(count, minutes * 60)
    say(str(tally))
    for found in (*tally.torn, *tally.lost, *tally.leaked):
        say(f"torn, lost or leaked: {found}")
    return {"kills": tally.kills, "torn": len(tally.torn), "lost": len(tally.lost), "leaked": len(tally.leaked)}


def others(show: Show, install: bool) -> dict[str, Any]:
    """The peers, which write to the same S3 server; what each did is said at once."""
    folder = show.folder / "peers"
    folder.mkdir()
    world = peers.World(show.postgres, show.s3, show.database, folder, show.grow, install)
    return peers.run(world, say)


def run(
    size: str,
    rounds: int,
    loads: int,
    count: int,
    minutes: float = 10,
    *,
    small: str = "60MB",
    install: bool = False,
) -> dict[str, Any]:
    """The whole show, whose kills are on a ``small`` database; returns its JSON object."""
    with (
        tempfile.TemporaryDirectory(prefix="aada-show-") as name,
        # Those that copy the server's files need its WAL.
        PostgresServer(shared_buffers="256MB", max_wal_size="4GB", archive_mode="on") as postgres,
        S3Server() as s3,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        postgres.execute("ALTER SYSTEM SET archive_command = '/bin/true'")
        postgres.execute("SELECT pg_reload_conf()")
        say(f"filling a database of {size}")
        database = school(postgres, folder, size)
        show = Show(postgres, s3, database, folder, rounds, loads)
        show.full()
        repeated = show.repeat()
        ours, dump, pipe = (show.median(arm) for arm in show.seconds)
        arms = {arm: {"seconds": round(show.median(arm), 2), "bytes": show.bytes[arm]} for arm in show.seconds}
        return {
            "database_bytes": postgres.value(f"SELECT pg_database_size('{database}')", database),
            "speedup_vs_pg_dump_fc": round(dump / ours, 2),
            "ratio_vs_zstd_pipe": round(ours / pipe, 2),
            **repeated,
            "peak_mib": show.peak_mib,
            "peak_with_programs_mib": show.peak_with_programs_mib,
            **kills(folder, s3, small, count, minutes),
            "arms": arms,
            "peers": others(show, install),
        }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backups", description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", default="1GB", help="size of the database (1GB)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts (3)")
    # More of them: the two take about as long, and each a fifth more or less from one to the next.
    parser.add_argument("--loads", type=int, default=9, help="loads beside pg_restore, of which the median counts (9)")
    parser.add_argument("--kills", type=int, default=200, help="workers that are killed (200)")
    parser.add_argument("--kill-minutes", type=float, default=10, help="the kills end by then, however many (10)")
    parser.add_argument("--no-install", action="store_true", help="leave tools out that are not there")
    chosen = parser.parse_args()
    amounts = (chosen.rounds, chosen.loads, chosen.kills, chosen.kill_minutes)
    shown = run(chosen.size, *amounts, install=not chosen.no_install)
    print(f"\n{table(shown)}\n")
    for fault in (faults := broken(shown)):
        say(f"must not be: {fault}")
    print(json.dumps(shown))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
