"""Kills workers at random moments and counts what must never be: torn, lost or left-over things."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.manifest import INTENTS, MANIFEST_NAME, lms_folder
from aada_operator.api.task import CollectResult, CollectTask
from aada_operator.worker.stored import demand_backup
from tests.service.servers import PostgresServer
from tests.service.worker_harness import Job, RunningWorker, folder_of

LMS = lms_folder(folder_of("any"))
# A restore's own databases: the target, and its name before it has a comment.
TARGET = "killed_restore"
_OURS = re.compile(rf"{TARGET}|restore-.*")


@dataclass
class Tally:
    """How many kills there were, and what they broke; ``ended`` came too late for their worker."""

    kills: int = 0
    ended: int = 0
    torn: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    leaked: list[str] = field(default_factory=list)


@dataclass
class Assault:
    """Backups of ``database``, built upon one another, and restores of them, all killed at random moments."""

    job: Job
    postgres: PostgresServer
    database: str
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    _completed: set[str] = field(default_factory=set)
    _spans: dict[str, float] = field(default_factory=dict)

    def run(self, kills: int, seconds: float = math.inf) -> Tally:
        """Measure how long the workers live, kill that many, then clean up as the operator does and look around.

        The killing ends after ``seconds``, however many were killed by then.
        """
        self._measure()
        end = time.monotonic() + seconds
        while self.tally.kills < kills and time.monotonic() < end:
            number = self.tally.kills + self.tally.ended
            kind = "restore" if number % 4 == 3 else "backup"
            self._kill(self._start(kind, f"try-{number}"), kind)
            self._look()
        self._clean_up()
        self._look()
        return self.tally

    def _measure(self) -> None:
        began = time.monotonic()
        self.job.backup(self.database, "first")
        self._spans["backup"] = time.monotonic() - began
        self._look()
        began = time.monotonic()
        self.job.restore(TARGET, "first", uid="kills")
        self._spans["restore"] = time.monotonic() - began
        self.postgres.dropdb(TARGET)

    def _start(self, kind: str, name: str) -> RunningWorker:
        if kind == "restore":
            return self.job.start(kind, self.job.restore_task(TARGET, "first", uid="kills"))
        base = self.chance.choice([None, *sorted(self._completed)])
        return self.job.start(kind, self.job.task(self.database, name, base=base))

    def _kill(self, worker: RunningWorker, kind: str) -> None:
        time.sleep(self.chance.uniform(0, self._spans[kind]))
        worker.process.send_signal(signal.SIGKILL)
        if worker.finish().exit_code == -signal.SIGKILL:
            self.tally.kills += 1
        else:
            self.tally.ended += 1
            self._drop()

    def _drop(self) -> None:
        if TARGET in self._databases():
            self.postgres.dropdb(TARGET)

    def _databases(self) -> list[str]:
        with self.postgres.admin() as connection:
            return [name for (name,) in connection.execute("SELECT datname FROM pg_database")]

    def _look(self) -> None:
        """Every manifest that can be seen must be of a whole backup, and those that were seen must still be there."""
        keys = self.job.s3.keys(self.job.bucket)
        seen = {key.split("/")[-2] for key in keys if key.endswith(f"/{MANIFEST_NAME}")}
        self.tally.lost |= self._completed - seen
        for name in seen - self._completed:
            if not self._is_whole(name):
                self.tally.torn.add(name)
        self._completed |= seen

    def _is_whole(self, name: str) -> bool:
        backup = demand_backup(self._store(), folder_of(name))
        keys = set(self.job.s3.keys(self.job.bucket))
        return all(backup.key(part) in keys for part in backup.manifest.parts)

    def _store(self) -> ObjectStore:
        keys = AccessKeys(self.job.s3.access_key, self.job.s3.secret_key)
        return ObjectStore(self.job.s3.location(self.job.bucket), lambda: keys)

    def _clean_up(self) -> None:
        """What the next tries do: the restore ends, a backup aborts stale uploads, old orphans are collected."""
        self.job.restore(TARGET, "first", uid="kills")
        self.postgres.dropdb(TARGET)
        later = datetime.now(UTC) + timedelta(hours=25)
        self._store().abort_stale_uploads(f"{LMS}/", later)
        for key in self.job.s3.keys(self.job.bucket):
            os.utime(self.job.s3.file(self.job.bucket, key), (0, 0))
        task = CollectTask(storage=self.job.s3.location(self.job.bucket), folder=LMS, min_age_seconds=48 * 3600)
        result = self.job.run("collect", task).result(CollectResult)
        self.tally.leaked += [] if not result.orphan_objects else [f"{result.orphan_objects} objects"]
        self.tally.leaked += [name for name in self._databases() if _OURS.fullmatch(name)]
        self.tally.leaked += [key for key in self.job.s3.keys(self.job.bucket) if f"/{INTENTS}/" in key]
        self.tally.leaked += self._uploads()
        for name in sorted(self._completed):
            self.job.verify(name)

    def _uploads(self) -> list[str]:
        answer = self.job.s3.client().list_multipart_uploads(Bucket=self.job.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", [])]
