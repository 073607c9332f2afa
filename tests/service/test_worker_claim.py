"""Whose folder it is: who is not its owner writes and deletes nothing there; policies of one LMS share it."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from aada_operator.api.manifest import lms_folder, manifest_key
from aada_operator.api.ownership import OWNERS, Claim
from aada_operator.api.task import BackupResult, CollectResult, CollectTask
from tests.service.servers import PostgresServer
from tests.service.worker_harness import Finished, Job, folder_of

LMS = lms_folder(folder_of("any"))
OURS, ANOTHER = (
    Claim(namespace="aada", lms="lms", uid=uid, policy="nightly") for uid in ("uid-of-ours", "uid-of-a-clone")
)
KILLED = -9


def run(job: Job, database: str, name: str, claim: Claim, failpoints: str = "", **fields: Any) -> Finished:
    return job.run("backup", job.task(database, name, claim=claim, **fields), failpoints)


def back_up(job: Job, database: str, name: str, claim: Claim = OURS, **fields: Any) -> BackupResult:
    return run(job, database, name, claim, **fields).result(BackupResult)


def collect(job: Job, claim: Claim = OURS) -> Finished:
    location = job.s3.location(job.bucket)
    return job.run("collect", CollectTask(storage=location, folder=LMS, min_age_seconds=3600, claim=claim))


def age(job: Job) -> None:
    moment = time.time() - 72 * 3600
    for key in job.s3.keys(job.bucket):
        os.utime(job.s3.file(job.bucket, key), (moment, moment))


def owners(job: Job) -> list[str]:
    keys = sorted(key for key in job.s3.keys(job.bucket) if f"/{OWNERS}/" in key)
    return [json.loads(job.s3.file(job.bucket, key).read_bytes())["uid"] for key in keys]


class TestMarks:
    def test_the_folder_once_with_the_lms_and_its_server(self, job: Job, postgres: PostgresServer, small: str) -> None:
        back_up(job, small, "first")
        back_up(job, small, "second", base="first")
        assert owners(job) == [OURS.uid]
        marker = json.loads(job.s3.file(job.bucket, f"{LMS}/{OWNERS}/000001.json").read_bytes())
        system = postgres.value("SELECT system_identifier::text FROM pg_control_system()")
        assert (marker["namespace"], marker["lms"], marker["systemIdentifier"]) == ("aada", "lms", system)

    def test_whoever_is_later_of_two_at_once_sees_the_other(self, job: Job, small: str) -> None:
        first = job.start("backup", job.task(small, "first", claim=OURS), "worker.backup.before-marker=stop")
        first.wait_until_stopped()
        with Job(job.postgres, job.s3, job.bucket) as other:
            back_up(other, small, "second", ANOTHER)
        first.go_on()
        assert first.finish().failure.reason == "PrefixOwnedByAnother"
        assert owners(job) == [ANOTHER.uid]


class TestAnother:
    @pytest.fixture
    def production(self, job: Job, small: str) -> str:
        back_up(job, small, "full")
        return small

    def test_writes_nothing_and_is_told_the_way_out(self, job: Job, production: str) -> None:
        before = job.s3.keys(job.bucket)
        failure = run(job, production, "clone", ANOTHER, base="full").failure
        assert (failure.reason, failure.retryable) == ("PrefixOwnedByAnother", False)
        assert f"kubectl annotate bp nightly --overwrite lms.aada.edu/take-over={OURS.uid}" in failure.message
        assert job.s3.keys(job.bucket) == before

    @pytest.mark.usefixtures("production")
    def test_collects_nothing_of_it(self, job: Job) -> None:
        job.s3.file(job.bucket, manifest_key(folder_of("full"))).unlink()
        age(job)
        before = job.s3.keys(job.bucket)
        assert collect(job, ANOTHER).failure.reason == "PrefixOwnedByAnother"
        assert job.s3.keys(job.bucket) == before
        assert collect(job).result(CollectResult).deleted_objects > 0

    def test_that_took_over_meanwhile_gets_no_backup_of_ours(self, job: Job, production: str) -> None:
        worker = job.start("backup", job.task(production, "late", claim=OURS), "worker.backup.after-snapshot=stop")
        worker.wait_until_stopped()
        with Job(job.postgres, job.s3, job.bucket) as other:
            back_up(other, production, "new", ANOTHER.model_copy(update={"take_over": OURS.uid}))
        worker.go_on()
        assert worker.finish().failure.reason == "PrefixOwnedByAnother"
        assert job.manifest("late") is None

    def test_takes_over_whom_it_names_and_the_old_one_is_refused(self, job: Job, production: str) -> None:
        wrong = ANOTHER.model_copy(update={"take_over": "somebody"})
        assert run(job, production, "new", wrong).failure.reason == "PrefixOwnedByAnother"
        right = ANOTHER.model_copy(update={"take_over": OURS.uid})
        assert run(job, production, "new", right, "worker.backup.before-marker=kill").exit_code == KILLED
        assert owners(job) == [OURS.uid]
        back_up(job, production, "new", right)
        assert owners(job) == [OURS.uid, ANOTHER.uid]
        assert run(job, production, "old", OURS).failure.reason == "PrefixOwnedByAnother"
        back_up(job, production, "newer", right)

    @pytest.mark.parametrize("content", ["", "[]", "{}", "no marker"])
    def test_is_whoever_a_marker_names_that_nobody_can_read(self, job: Job, production: str, content: str) -> None:
        job.s3.file(job.bucket, f"{LMS}/{OWNERS}/000002.json").write_text(content)
        assert run(job, production, "more", OURS).failure.reason == "Corrupt"


def test_two_policies_of_one_lms_share_chunks_and_neither_loses_one(
    job: Job, postgres: PostgresServer, database: str
) -> None:
    """The second builds upon the first; the first's backups expire and are collected; the second's stay whole."""
    postgres.execute("CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 5000) i", database)
    back_up(job, database, "nightly-full", policy="nightly")
    hourly = back_up(job, database, "hourly-incr", base="nightly-full", policy="hourly")
    assert hourly.new_bytes < hourly.stored_bytes
    own = back_up(job, database, "nightly-incr", base="hourly-incr", policy="nightly")
    age(job)
    job.s3.file(job.bucket, manifest_key(folder_of("nightly-full"))).unlink()
    assert collect(job).result(CollectResult).deleted_objects > 0
    assert job.verify("hourly-incr").digest == hourly.digest
    pinned = job.start(
        "backup",
        job.task(database, "last", base="hourly-incr", policy="nightly", claim=OURS),
        "worker.backup.after-snapshot=stop",
    )
    pinned.wait_until_stopped()
    for name in ("hourly-incr", "nightly-incr"):
        job.s3.file(job.bucket, manifest_key(folder_of(name))).unlink()
    with Job(job.postgres, job.s3, job.bucket) as other:
        assert "being built" in collect(other).result(CollectResult).postponed
    pinned.go_on()
    last = pinned.finish().result(BackupResult)
    assert last.digest == own.digest
    collect(job).result(CollectResult)
    assert job.verify("last").digest == own.digest
