"""Kills workers of all kinds at random moments and counts what must never be: torn, lost or left-over things."""

from __future__ import annotations

import math
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import BaseModel

from aada_operator.api.task import CollectResult, CollectTask
from tests.service.places import LMS, Place
from tests.service.processes import programs_of
from tests.service.servers import PostgresServer, wait_for
from tests.service.worker_harness import Job, RunningWorker, folder_of

# Of so many kills, how many hit a worker of each kind.
MIX = {"backup": 8, "copy": 4, "restore": 3, "collect": 3, "verify": 2}
# What the operator sets: only what is older is collected.
MIN_AGE = 48 * 3600
# This part of the kills of backups and copies waits for an upload in parts; the others come at any moment.
AIMED = 0.25
# 18 MB that do not compress: what dumps them is stored by an upload in parts, and copied by one.
LARGE_OBJECT = """
CREATE EXTENSION IF NOT EXISTS pgcrypto;
SELECT lo_from_bytea(0, string_agg(gen_random_bytes(1000), '')) FROM generate_series(1, 18000);
"""
# A restore's own databases: the target, and its name before it has a comment.
TARGET = "killed_restore"
_OURS = re.compile(rf"{TARGET}|restore-.*")
# Retention begins to delete when there are more completed backups than these.
KEPT = 3


@dataclass
class Tally:
    """How many kills there were, of each kind, and what they broke; ``ended`` came too late for their worker.

    ``opened`` are the uploads in parts that kills left open, by their ids: what was never there cannot be leaked.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    opened: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    leaked: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.kinds.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        return f"killed {self.kills} workers ({kinds}), {len(self.opened)} uploads in parts were left open by them"


@dataclass
class Assault:
    """Workers on backups of ``database`` and on copies of those in a second bucket, killed as ``chance`` says."""

    job: Job
    postgres: PostgresServer
    database: str
    chance: random.Random
    tally: Tally = field(default_factory=Tally)
    _spans: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s3 = self.job.s3
        self._first, self._second = Place(s3, self.job.bucket), Place(s3, s3.make_bucket())
        self.job.mount("copy", s3)

    @property
    def _places(self) -> tuple[Place, Place]:
        return self._first, self._second

    def run(self, kills: int, seconds: float = math.inf) -> Tally:
        """Measure how long the workers live, kill that many, then clean up as the operator does and look around.

        The killing ends after ``seconds``, however many were killed by then.

        Raises:
            AssertionError: no kill has left an upload open, so that nothing was shown of those.
        """
        self._measure()
        end = time.monotonic() + seconds
        while self.tally.kills < kills and time.monotonic() < end:
            # Until there is an open upload only backups are killed, which are the ones to make it.
            kinds = list(MIX) if self.tally.opened else ["backup"]
            (kind,) = self.chance.choices(kinds, [MIX[kind] for kind in kinds])
            self._kill(kind)
        assert self.tally.opened, "no kill has left an upload in parts open: what is said of them means nothing"
        self._clean_up()
        return self.tally

    def _measure(self) -> None:
        """How long each kind lives when nobody kills it."""
        for kind in MIX:
            began = time.monotonic()
            finished = self.job.run(kind, self._task(kind, "first"))
            assert finished.exit_code == 0, finished.output
            self._spans[kind] = time.monotonic() - began
            self._look()
        self.postgres.dropdb(TARGET)
        # In another place everything is to be copied yet.
        self._second = Place(self.job.s3, self.job.s3.make_bucket())

    def _task(self, kind: str, name: str) -> BaseModel:
        """What a worker of a kind is told; ``name`` is that of a new backup."""
        there, uncopied = sorted(self._first.seen), self._first.seen.keys() - self._second.seen.keys()
        tasks: dict[str, Callable[[], BaseModel]] = {
            "backup": lambda: self.job.task(self.database, name, base=self.chance.choice([None, *there])),
            "restore": lambda: self.job.restore_task(TARGET, "first", uid="kills"),
            "verify": lambda: self.job.verify_task(self.chance.choice(there)),
            "copy": lambda: self._copy_task(self.chance.choice(sorted(uncopied) or there)),
            "collect": lambda: self._collect_task(self.chance.choice(self._places)),
        }
        return tasks[kind]()

    def _copy_task(self, name: str) -> BaseModel:
        return self.job.copy_task(name, self._second.location, folder_of(name))

    def _collect_task(self, place: Place) -> BaseModel:
        return CollectTask(storage=place.location, folder=LMS, min_age_seconds=MIN_AGE)

    def _kill(self, kind: str) -> None:
        if kind == "collect":
            self._let_days_pass()
        worker = self.job.start(kind, self._task(kind, f"try-{self.tally.kills}-{self.tally.ended}"))
        self._wait_for_a_moment(worker, kind)
        killed = worker.kill()
        wait_for(lambda: not list(programs_of(self.job.folder)), "the programs of a killed worker to end")
        self._look()
        if killed:
            self.tally.kinds[kind] += 1
            self._remove_volumes()
        else:
            self.tally.ended += 1
            if kind == "restore":
                self.postgres.dropdb(TARGET)

    def _let_days_pass(self) -> None:
        """Until there is something to collect: a backup that retention deleted, and what killed tries left."""
        for place in self._places:
            expendable = sorted(place.seen.keys() - {"first"})
            if len(expendable) > KEPT:
                place.retire(self.chance.choice(expendable))
            place.age(hours=72)

    def _wait_for_a_moment(self, worker: RunningWorker, kind: str) -> None:
        """Any moment of its life; sometimes the one at which an upload in parts is open."""
        if self.tally.opened and not (kind in ("backup", "copy") and self.chance.random() < AIMED):
            time.sleep(self.chance.uniform(0, self._spans[kind]))
            return
        before = self._open_uploads().keys()
        with suppress(TimeoutError):
            wait_for(
                lambda: bool(self._open_uploads().keys() - before) or worker.process.poll() is not None,
                "an upload",
                60,
                pause=0.01,
            )

    def _remove_volumes(self) -> None:
        """Scratch space and temporary files go with the pod."""
        for name in ("scratch", "tmp"):
            shutil.rmtree(self.job.folder / name)
            (self.job.folder / name).mkdir()

    def _open_uploads(self) -> dict[str, str]:
        return self._first.open_uploads() | self._second.open_uploads()

    def _look(self) -> None:
        self.tally.opened |= self._open_uploads().keys()
        for place in self._places:
            place.look()
            self.tally.torn |= place.torn
            self.tally.lost |= place.lost

    def _clean_up(self) -> None:
        """What the operator does next: the restore is tried again and ends, and what is old is collected."""
        self.job.restore(TARGET, "first", uid="kills")
        self.postgres.dropdb(TARGET)
        for place in self._places:
            place.age(hours=72)
            self.job.run("collect", self._collect_task(place)).result(CollectResult)
            place.look()
            self.tally.leaked += [*place.strays(), *place.open_uploads().values()]
            self.tally.lost |= {f"{key} is damaged" for key in place.damaged()} | place.lost
        self.tally.leaked += [name for name in self._databases() if _OURS.fullmatch(name)]
        for name in sorted(self._first.seen):
            self.job.verify(name)
        self.tally.leaked += self.job.left_behind()

    def _databases(self) -> list[str]:
        with self.postgres.admin() as connection:
            return [name for (name,) in connection.execute("SELECT datname FROM pg_database")]
