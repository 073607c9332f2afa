"""A completed backup in a second place: the same bytes, only what is missing there, and never anything damaged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aada_operator.api.manifest import CHUNKS, INTENTS, Manifest, lms_folder, manifest_key
from aada_operator.api.task import CollectResult, CollectTask, CopyResult, CopyTask, RestoreResult, VerifyResult
from tests.service.faults import flip
from tests.service.servers import PostgresServer, S3Server
from tests.service.worker_harness import Finished, Job, RunningWorker, folder_of

KILLED = -9
HOUR = 3600
LMS = lms_folder(folder_of("any"))
COPIES = f"copies/{LMS}"
MIB = 2**20


@pytest.fixture(scope="module")
def other() -> Iterator[S3Server]:
    """A server of another provider."""
    with S3Server() as server:
        yield server


@dataclass
class Copier:
    """A Job that knows a second place, below a prefix of its own."""

    job: Job
    server: S3Server
    bucket: str

    def task(self, name: str = "nightly", **fields: Any) -> CopyTask:
        return self.job.copy_task(name, self.server.location(self.bucket), f"{COPIES}/{name}", **fields)

    def start(self, name: str = "nightly", failpoints: str = "", **fields: Any) -> RunningWorker:
        return self.job.start("copy", self.task(name, **fields), failpoints)

    def run(self, name: str = "nightly", failpoints: str = "", **fields: Any) -> Finished:
        return self.start(name, failpoints, **fields).finish()

    def copy(self, name: str = "nightly") -> CopyResult:
        """A copy that must succeed."""
        return self.run(name).result(CopyResult)

    def listed(self, word: str = "") -> list[str]:
        return sorted(key for key in self.server.keys(self.bucket) if word in key)

    def file(self, key: str) -> Path:
        return self.server.file(self.bucket, key)

    def age(self, hours: float) -> None:
        """Everything in the second place has been there for so long."""
        for key in self.listed():
            os.utime(self.file(key), (time.time() - hours * HOUR,) * 2)

    def is_complete(self, name: str = "nightly") -> bool:
        """Whether every object is there as it is in the first place, the manifest too."""
        keys = {manifest_key(folder_of(name)), *(f"{LMS}/{part.key}" for part in self.manifest(name).parts)}
        return all(self._same(key) for key in keys)

    def _same(self, key: str) -> bool:
        copy = self.file(f"copies/{key}")
        return copy.exists() and copy.read_bytes() == self.job.s3.file(self.job.bucket, key).read_bytes()

    def manifest(self, name: str = "nightly") -> Manifest:
        found = self.job.manifest(name)
        assert found is not None
        return found

    def published(self, name: str = "nightly") -> bool:
        return self.file(f"{COPIES}/{name}/manifest.json").exists()

    def as_storage(self) -> None:
        """From now on the second place is all that the Job has: it is restored from alone."""
        self.job.mount("storage", self.server)


@pytest.fixture
def copier(job: Job, other: S3Server) -> Copier:
    job.mount("copy", other)
    return Copier(job, other, other.make_bucket())


@pytest.fixture(scope="module")
def with_files(postgres: PostgresServer) -> str:
    """A database whose large objects make one archive of several parts of an upload."""
    name = postgres.createdb()
    postgres.execute(
        "CREATE EXTENSION pgcrypto; CREATE TABLE notes (id int); SELECT lo_from_bytea(0, string_agg(b, ''))"
        " FROM (SELECT gen_random_bytes(1000) AS b FROM generate_series(1, 20000)) AS blocks",
        name,
    )
    return name


class TestCopy:
    def test_it_is_the_same_backup_and_is_restored_without_the_first_place(
        self, copier: Copier, job: Job, heavy: str
    ) -> None:
        backup = job.backup(heavy)
        finished = copier.run()
        result = finished.result(CopyResult)
        assert result.bytes == backup.stored_bytes
        assert copier.is_complete()
        assert finished.peak_bytes <= 128 * MIB
        stages = list(dict.fromkeys(step["stage"] for step in finished.progress))
        assert stages == ["list", "copy", "finalize"]
        assert copier.listed(INTENTS) == []
        copier.as_storage()
        place: dict[str, Any] = {"storage": copier.task().storage, "folder": f"{COPIES}/nightly"}
        task = job.verify_task().model_copy(update=place)
        assert job.run("verify", task).result(VerifyResult).digest == backup.digest
        restored = job.run("restore", job.restore_task("from_copy").model_copy(update=place)).result(RestoreResult)
        job.postgres.dropdb("from_copy")
        assert restored.digest == backup.digest

    def test_an_archive_of_any_size_is_streamed(self, copier: Copier, job: Job, with_files: str) -> None:
        job.backup(with_files)
        assert max(part.size for part in copier.manifest().parts) > 16 * MIB
        finished = copier.run()
        finished.result(CopyResult)
        assert copier.is_complete()
        assert finished.peak_bytes <= 128 * MIB

    def test_a_copy_that_is_there_costs_nothing(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        copier.copy()
        before = {key: copier.file(key).stat().st_mtime_ns for key in copier.listed()}
        assert (copier.copy().objects, copier.copy().bytes) == (0, 0)
        assert {key: copier.file(key).stat().st_mtime_ns for key in copier.listed()} == before

    def test_of_an_incremental_backup_only_what_is_new_travels(self, copier: Copier, job: Job, heavy: str) -> None:
        job.backup(heavy, "full")
        copier.copy("full")
        copier.age(hours=24 * 365)
        second = job.backup(heavy, "second", base="full")
        assert copier.copy("second").bytes == second.new_bytes
        assert copier.is_complete("second")

    def test_an_incremental_backup_alone_brings_all_that_it_needs(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small, "full")
        second = job.backup(small, "second", base="full")
        assert copier.copy("second").bytes == second.stored_bytes
        assert copier.is_complete("second")


class TestKilled:
    @pytest.mark.parametrize("point", ["moved-4", "before-manifest"])
    def test_before_the_manifest_there_is_no_copy_and_the_next_try_brings_the_rest(
        self, copier: Copier, job: Job, heavy: str, point: str
    ) -> None:
        backup = job.backup(heavy)
        assert copier.run(failpoints=f"worker.copy.{point}=kill").exit_code == KILLED
        assert not copier.published()
        came = sum(copier.file(key).stat().st_size for key in copier.listed() if INTENTS not in key)
        assert copier.copy().bytes == backup.stored_bytes - came
        assert copier.is_complete()

    def test_after_the_manifest_nothing_is_left_to_do(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        assert copier.run(failpoints="worker.copy.after-manifest=kill").exit_code == KILLED
        assert copier.copy().objects == 0
        assert copier.is_complete()

    def test_at_any_byte_of_an_archive(self, copier: Copier, job: Job, other: S3Server, with_files: str) -> None:
        job.backup(with_files)
        worker = copier.start(failpoints="worker.copy.after-intent=stop")
        worker.wait_until_stopped()
        with other.frozen():
            worker.go_on()
            time.sleep(0.5)  # so that it is in the middle of something
            worker.process.send_signal(signal.SIGKILL)
        assert worker.finish().exit_code == KILLED
        assert not copier.published()
        copier.copy()
        assert copier.is_complete()

    def test_of_two_at_once_both_succeed(self, copier: Copier, job: Job, heavy: str) -> None:
        job.backup(heavy)
        with Job(job.postgres, job.s3, job.bucket) as second:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                second.secret(f"copy/{name}", (job.folder / "secrets" / "copy" / name).read_text())
            workers = [copier.start(), second.start("copy", copier.task())]
            for worker in workers:
                worker.finish().result(CopyResult)
        assert copier.is_complete()


class TestDamage:
    @pytest.mark.parametrize(("kind", "database"), [("copy", "small"), ("rest", "with_files")])
    def test_a_flipped_byte_in_the_first_place_is_refused_and_never_passed_on(
        self, copier: Copier, job: Job, kind: str, database: str, request: pytest.FixtureRequest
    ) -> None:
        job.backup(request.getfixturevalue(database))
        damaged = job.part(kind=kind)
        flip(damaged)
        failure = copier.run().failure
        assert (failure.reason, failure.retryable) == ("Corrupt", False)
        assert not copier.published()
        assert [key for key in copier.listed() if key.endswith(damaged.name)] == []
        uploads = copier.server.client().list_multipart_uploads(Bucket=copier.bucket).get("Uploads", [])
        assert uploads == []

    def test_a_missing_object(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        job.part().unlink()
        assert copier.run().failure.reason == "Corrupt"
        assert not copier.published()

    def test_a_manifest_that_is_not_the_one_that_was_recorded(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        assert copier.run(manifest_sha256="0" * 64).failure.reason == "Corrupt"
        assert copier.listed() == []

    def test_another_backup_in_its_place_is_never_written_over(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        taken = f"{COPIES}/nightly/manifest.json"
        written = job.s3.file(job.bucket, manifest_key(folder_of("nightly"))).read_bytes().replace(b"uid-", b"other-")
        copier.server.client().put_object(Bucket=copier.bucket, Key=taken, Body=written)
        failure = copier.run().failure
        assert (failure.reason, failure.retryable) == ("ManifestConflict", False)
        assert copier.file(taken).read_bytes() == written

    def test_what_is_cut_short_in_the_copy_is_brought_anew(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        copier.copy()
        (chunk, *_) = copier.listed(CHUNKS)
        os.truncate(copier.file(chunk), 5)
        assert copier.copy().objects == 1
        assert copier.is_complete()


class TestServerFaults:
    def fail(self, copier: Copier) -> tuple[str, bool]:
        failure = copier.run().failure
        assert not copier.published()
        return failure.reason, failure.retryable

    def test_wrong_credentials_of_the_second_place(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        job.secret("copy/AWS_SECRET_ACCESS_KEY", "canary-wrong-secret")
        failure = copier.run().failure
        assert (failure.reason, failure.retryable) == ("StorageAccessDenied", True)
        assert copier.bucket in failure.message, "it must be told which of the two"

    def test_an_outage_fails_with_its_cause_and_the_next_try_completes(
        self, copier: Copier, job: Job, heavy: str
    ) -> None:
        job.backup(heavy)
        worker = copier.start(failpoints="worker.copy.moved-2=stop")
        worker.wait_until_stopped()
        copier.server.stop()
        worker.go_on()
        failure = worker.finish().failure
        copier.server.start()
        assert (failure.reason, failure.retryable) == ("StorageUnreachable", True)
        assert not copier.published()
        copier.copy()
        assert copier.is_complete()


class TestCollection:
    """Objects of no backup are collected in the copy as in the first place, and a copy never loses any by that."""

    def collect(self, copier: Copier) -> CollectResult:
        """By a Job of its own, which knows the second place alone."""
        task = CollectTask(storage=copier.server.location(copier.bucket), folder=COPIES, min_age_seconds=48 * HOUR)
        with Job(copier.job.postgres, copier.server, copier.bucket) as job:
            return job.run("collect", task).result(CollectResult)

    def test_what_a_killed_try_left_goes_and_a_copy_stays(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small, "kept")
        copier.copy("kept")
        job.backup(small, "killed")
        assert copier.run("killed", "worker.copy.before-manifest=kill").exit_code == KILLED
        copier.age(hours=72)
        assert self.collect(copier).deleted_objects > 0
        assert [key for key in copier.listed() if "killed" in key] == []
        assert copier.is_complete("kept")

    def test_nothing_while_a_copy_is_at_work(self, copier: Copier, job: Job, small: str) -> None:
        job.backup(small)
        worker = copier.start(failpoints="worker.copy.before-manifest=stop")
        worker.wait_until_stopped()
        left = [key for key in copier.listed() if INTENTS not in key]
        for key in left:
            os.utime(copier.file(key), (0, 0))
        assert self.collect(copier).postponed
        worker.go_on()
        worker.finish().result(CopyResult)
        assert copier.is_complete()

    def test_old_objects_that_nothing_names_are_not_relied_upon(self, copier: Copier, job: Job, small: str) -> None:
        """A collection that is at work may be about to delete them."""
        backup = job.backup(small)
        assert copier.run(failpoints="worker.copy.before-manifest=kill").exit_code == KILLED
        copier.age(hours=25)
        assert copier.copy().bytes == backup.stored_bytes
        assert copier.is_complete()
