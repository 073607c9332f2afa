"""What belongs to no backup goes, and never anything that a backup needs or is about to need."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aada_operator.api.manifest import CHUNKS, INTENTS, lms_folder, manifest_key
from aada_operator.api.task import CollectResult, CollectTask
from tests.service.worker_harness import Finished, Job, folder_of

KILLED = -9
HOUR = 3600
LMS = lms_folder(folder_of("any"))


def task(job: Job) -> CollectTask:
    return CollectTask(storage=job.s3.location(job.bucket), folder=LMS, min_age_seconds=48 * HOUR)


def start(job: Job, failpoints: str = "") -> Finished:
    return job.run("collect", task(job), failpoints)


def collect(job: Job) -> CollectResult:
    return start(job).result(CollectResult)


def age(job: Job, hours: float = 72) -> None:
    """Everything in the bucket has been there for so long."""
    moment = time.time() - hours * HOUR
    for file in files(job):
        os.utime(file, (moment, moment))


def files(job: Job) -> list[Path]:
    return [job.s3.file(job.bucket, key) for key in job.s3.keys(job.bucket)]


def forget(job: Job, name: str) -> None:
    """As retention does: the manifest first, which makes it no backup any more."""
    job.s3.file(job.bucket, manifest_key(folder_of(name))).unlink()


def keys(job: Job, word: str) -> list[str]:
    return [key for key in job.s3.keys(job.bucket) if f"/{word}/" in key]


def put(job: Job, key: str) -> None:
    job.s3.client().put_object(Bucket=job.bucket, Key=key, Body=b"x")


class TestWhatGoes:
    def test_nothing_of_a_backup(self, job: Job, small: str) -> None:
        job.backup(small, "full")
        job.backup(small, "incremental", base="full")
        age(job)
        before = job.s3.keys(job.bucket)
        assert collect(job) == CollectResult()
        assert job.s3.keys(job.bucket) == before

    def test_everything_of_one_that_was_deleted(self, job: Job, small: str) -> None:
        full = job.backup(small, "full")
        forget(job, "full")
        age(job)
        result = collect(job)
        assert (result.deleted_bytes, result.orphan_bytes) == (full.stored_bytes, 0)
        assert job.s3.keys(job.bucket) == []

    def test_only_what_no_other_backup_shares(self, job: Job, small: str) -> None:
        job.backup(small, "full")
        second = job.backup(small, "second", base="full")
        forget(job, "full")
        age(job)
        assert collect(job).deleted_objects > 0
        assert job.verify("second").digest == second.digest
        forget(job, "second")
        collect(job)
        assert keys(job, CHUNKS) == []

    def test_what_a_killed_try_left_and_its_intent(self, job: Job, small: str) -> None:
        job.backup(small, "full")
        before = job.s3.keys(job.bucket)
        killed = job.run("backup", job.task(small, "killed", base="full"), "worker.backup.before-manifest=kill")
        assert killed.exit_code == KILLED
        assert keys(job, INTENTS) != []
        age(job)
        collect(job)
        assert job.s3.keys(job.bucket) == before

    def test_nothing_that_somebody_else_put_there(self, job: Job) -> None:
        notes = [f"{LMS}/notes.txt", f"{LMS}/full/notes.txt", f"{LMS}2/attempt-1-ab/part", f"{LMS}/_chunks/readme"]
        for key in notes:
            put(job, key)
        age(job)
        assert collect(job) == CollectResult()
        assert sorted(job.s3.keys(job.bucket)) == sorted(notes)


class TestWhatStays:
    def test_young_objects_as_a_backup_under_way_may_need_them(self, job: Job, small: str) -> None:
        full = job.backup(small, "full")
        forget(job, "full")
        age(job, hours=47)
        result = collect(job)
        assert (result.deleted_objects, result.orphan_bytes) == (0, full.stored_bytes)

    def test_all_while_a_backup_is_being_built_upon_another(self, job: Job, small: str) -> None:
        job.backup(small, "full")
        forget(job, "full")
        age(job)
        put(job, f"{LMS}/{INTENTS}/running-1-ab.json")
        assert "being built" in collect(job).postponed
        assert keys(job, CHUNKS) != []

    def test_all_when_a_manifest_is_not_understood(self, job: Job, small: str) -> None:
        job.backup(small, "full")
        forget(job, "full")
        put(job, manifest_key(folder_of("from-the-future")))
        age(job)
        assert start(job).failure.reason == "VersionUnsupported"
        assert keys(job, CHUNKS) != []


class TestRaces:
    def test_a_backup_that_completes_between_the_two_looks(self, job: Job, small: str) -> None:
        """It shares old chunks whose first owner was deleted, and has its manifest and no intent any more."""
        job.backup(small, "full")
        second = job.backup(small, "second", base="full")
        manifest = job.s3.file(job.bucket, manifest_key(folder_of("second")))
        content = manifest.read_bytes()
        manifest.unlink()
        forget(job, "full")
        age(job)
        worker = job.start("collect", task(job), "worker.collect.before-intents=stop")
        worker.wait_until_stopped()
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_bytes(content)
        worker.go_on()
        assert worker.finish().result(CollectResult).postponed == ""
        assert job.verify("second").digest == second.digest

    @pytest.mark.parametrize("point", ["collect.before-intents", "collect.after-intents", "collect.after-delete"])
    def test_killed_anywhere_the_next_one_ends_it(self, job: Job, small: str, point: str) -> None:
        kept = job.backup(small, "kept")
        job.backup(small, "full")
        forget(job, "full")
        age(job)
        assert start(job, f"worker.{point}=kill").exit_code == KILLED
        collect(job)
        assert job.verify("kept").digest == kept.digest
        assert [key for key in job.s3.keys(job.bucket) if "/full/" in key] == []
