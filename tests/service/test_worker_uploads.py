"""Users' files on a real S3 server that keeps versions: copied by rclone, never deleted, brought back as they were."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aada_operator.api.task import FilesCheck, VerifyResult
from aada_operator.api.uploads import (
    CheckpointDocument,
    RestoreFilesResult,
    RestoreFilesTask,
    SyncResult,
    SyncTask,
    checkpoint_key,
    parse_checkpoint,
    uploads_folder,
)
from tests.service.servers import PostgresServer
from tests.service.worker_harness import Finished, Job, folder_of

FOLDER = uploads_folder("schools", "aada", "lms")
ODD_NAMES = (
    "plain.pdf", "with blank.pdf", "ü/größe.txt", "-dash", "--config", "a/b/c/deep", "100%25.txt", "a+b&c=d#e?.txt",
    "quote'\".txt", "back\\slash", "new\nline", ".hidden", "trailing ", "attempt-1/page", "_chunks/x", "manifest.json",
    "*.txt", "[x]", "tab\there", "{{x}}", "␊",
)  # fmt: skip


@pytest.fixture
def school(job: Job) -> School:
    job.s3.keep_versions(job.bucket)
    return School(job)


class School:
    """One LMS's claim and bucket."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def put(self, name: str, content: bytes = b"content", *, time: float | None = None) -> Path:
        """What a user uploads."""
        file = self.job.claim / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if time is not None:
            os.utime(file, (time, time))
        return file

    def claim(self) -> dict[str, bytes]:
        files = [path for path in self.job.claim.rglob("*") if path.is_file() and not path.is_symlink()]
        return {str(path.relative_to(self.job.claim)): path.read_bytes() for path in files}

    def bucket(self) -> dict[str, bytes]:
        """Users' files in the bucket by path."""
        client, found = self.job.s3.client(), {}
        for key in self.job.s3.keys(self.job.bucket):
            if key.startswith(f"{FOLDER}/"):
                found[key.removeprefix(f"{FOLDER}/")] = client.get_object(Bucket=self.job.bucket, Key=key)[
                    "Body"
                ].read()
        return found

    def sync_task(self, *backups: str) -> SyncTask:
        place = self.job.s3.location(self.job.bucket)
        folders = [folder_of(name) for name in backups]
        return SyncTask(storage=place, folder=FOLDER, backup_storage=place, backups=folders)

    def try_sync(self, *backups: str, failpoints: str = "") -> Finished:
        return self.job.run("uploads", self.sync_task(*backups), failpoints)

    def sync(self, *backups: str) -> SyncResult:
        return self.try_sync(*backups).result(SyncResult)

    def checkpoint(self, backup: str) -> CheckpointDocument | None:
        key = checkpoint_key(folder_of(backup))
        if key not in self.job.s3.keys(self.job.bucket):
            return None
        return parse_checkpoint(self.job.s3.client().get_object(Bucket=self.job.bucket, Key=key)["Body"].read())

    def restore_task(self, backup: str, *, overwrite: bool = False) -> RestoreFilesTask:
        document = self.checkpoint(backup)
        assert document is not None
        return RestoreFilesTask(
            storage=self.job.s3.location(document.bucket),
            folder=document.prefix,
            list_key=document.list_key,
            list_sha256=document.list_sha256,
            overwrite=overwrite,
        )

    def restore(self, backup: str, **options: bool) -> RestoreFilesResult:
        return self.job.run("uploads-restore", self.restore_task(backup, **options)).result(RestoreFilesResult)

    def empty_the_claim(self) -> None:
        for path in sorted(self.job.claim.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


class TestSync:
    def test_every_file_arrives_whatever_its_name_and_size(self, school: School) -> None:
        for name in ODD_NAMES:
            school.put(name, name.encode())
        school.put("empty", b"")
        school.put("large", random.Random(1).randbytes(12 * 2**20))  # several parts
        result = school.sync()
        assert school.bucket() == school.claim()
        assert (result.files, result.transferred_files) == (len(ODD_NAMES) + 2, len(ODD_NAMES) + 2)
        assert (result.versioned, result.unsettled, result.skipped) == (True, 0, 0)

    def test_only_what_is_new_or_changed_travels(self, school: School) -> None:
        school.put("old", time=1_700_000_000)
        school.sync()
        school.put("new")
        # Clearly after it was copied: the bucket's clock and that of files are two, and a file's is coarse.
        school.put("old", b"changed", time=time.time() + 5)
        result = school.sync()
        assert (result.transferred_files, result.transferred_bytes) == (2, len(b"content") + len(b"changed"))
        assert school.sync().transferred_files == 0

    def test_what_users_delete_stays_in_the_bucket(self, school: School) -> None:
        school.put("keep")
        school.put("gone")
        school.sync()
        (school.job.claim / "gone").unlink()
        assert school.sync().files == 2
        school.empty_the_claim()
        assert school.sync("nightly").files == 2
        assert set(school.bucket()) == {"keep", "gone"}

    def test_links_and_devices_are_left_out_and_counted(self, school: School) -> None:
        school.put("file")
        (school.job.claim / "link").symlink_to("/etc/passwd")
        os.mkfifo(school.job.claim / "pipe")
        assert school.sync().skipped == 2
        assert set(school.bucket()) == {"file"}

    def test_a_file_that_is_being_written_is_left_to_the_next_sync(self, school: School) -> None:
        school.put("settled")
        writing, stop = school.put("film", b"x" * 2**22), threading.Event()

        def write() -> None:
            with writing.open("ab") as file:
                while not stop.wait(0.001):
                    file.write(b"y" * 1000)
                    file.flush()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            result = school.sync("nightly")
        finally:
            stop.set()
            writer.join()
        assert result.unsettled == 1
        assert "settled" in school.bucket()
        assert school.checkpoint("nightly") is not None
        assert school.sync().unsettled == 0
        assert school.bucket() == school.claim()

    def test_a_changed_file_that_kept_its_old_time_is_found_for_a_checkpoint(self, school: School) -> None:
        school.put("exam", b"first", time=1_700_000_000)
        school.sync()
        school.put("exam", b"second", time=1_600_000_000)
        school.sync("nightly")
        assert school.bucket() == {"exam": b"second"}

    def test_no_bucket_and_a_wrong_key_are_told(self, school: School) -> None:
        school.put("file")
        school.job.s3.client().delete_bucket(Bucket=school.job.bucket)
        assert school.try_sync().failure.reason == "BucketNotFound"
        school.job.secret("uploads-storage/AWS_SECRET_ACCESS_KEY", "canary-wrong")
        assert school.try_sync().failure.reason == "StorageAccessDenied"

    def test_an_unversioned_bucket_is_copied_to_and_told(self, job: Job) -> None:
        school = School(job)
        school.put("file")
        assert school.sync("nightly").versioned is False
        school.empty_the_claim()
        assert school.restore("nightly").copied == 1


class TestCheckpoint:
    def test_it_names_every_file_in_its_version_and_is_written_once(self, school: School) -> None:
        school.put("a", b"12345")
        result = school.sync("monday", "tuesday")
        assert result.backups == ["monday", "tuesday"]
        document = school.checkpoint("monday")
        assert document is not None
        assert (document.files, document.bytes, document.versioned) == (1, 5, True)
        school.put("b")
        assert school.sync("monday", "wednesday").files == 2
        assert school.checkpoint("monday") == document
        assert school.checkpoint("wednesday") != document

    def test_a_sync_that_was_killed_leaves_no_checkpoint_and_the_next_one_ends_it(self, school: School) -> None:
        for number in range(50):
            school.put(f"{number}", os.urandom(1000))
        for place in ("after-copy", "after-list", "after-checkpoint"):
            killed = school.try_sync("monday", "tuesday", failpoints=f"worker.uploads.{place}=kill")
            assert killed.exit_code == -signal.SIGKILL
        assert school.checkpoint("monday") is not None
        assert school.checkpoint("tuesday") is None
        school.sync("monday", "tuesday")
        assert school.checkpoint("tuesday") is not None


class TestRestore:
    def test_files_come_back_as_they_were_at_the_checkpoint(self, school: School) -> None:
        for name in ODD_NAMES:
            school.put(name, name.encode(), time=1_700_000_000.5)
        school.put("large", random.Random(1).randbytes(12 * 2**20))
        school.put("essay", b"first")
        before = school.claim()
        school.sync("nightly")
        school.put("essay", b"spoiled")
        school.put("later")
        (school.job.claim / "plain.pdf").unlink()
        school.sync()
        school.empty_the_claim()
        result = school.restore("nightly")
        assert school.claim() == before
        assert (result.files, result.copied, result.kept) == (len(before), len(before), 0)
        assert (school.job.claim / "new\nline").stat().st_mtime == pytest.approx(1_700_000_000.5, abs=0.01)

    def test_what_is_there_stays_unless_told_otherwise(self, school: School) -> None:
        school.put("essay", b"first")
        school.put("same")
        school.put("lost")
        school.sync("nightly")
        school.put("essay", b"newer")
        school.put("later")
        (school.job.claim / "lost").unlink()
        result = school.restore("nightly")
        assert (result.copied, result.kept) == (1, 1)
        assert school.claim() == {"essay": b"newer", "same": b"content", "lost": b"content", "later": b"content"}
        assert school.restore("nightly", overwrite=True).copied == 1
        assert school.claim() == {"essay": b"first", "same": b"content", "lost": b"content", "later": b"content"}

    def test_killed_it_goes_on_where_it_was_and_leaves_no_half_file(self, school: School) -> None:
        for number in range(100):
            school.put(f"folder/{number}", os.urandom(1000))
        before = school.claim()
        school.sync("nightly")
        school.empty_the_claim()
        failpoint = "worker.uploads-restore.after-batch=kill"
        assert school.job.run("uploads-restore", school.restore_task("nightly"), failpoint).exit_code == -signal.SIGKILL
        there = school.claim()
        assert 0 < len(there) < 100
        assert there.items() <= before.items()
        assert school.restore("nightly").copied == 100 - len(there)
        assert school.claim() == before

    def test_a_version_that_somebody_deleted_is_told_and_the_others_come_back(self, school: School) -> None:
        school.put("essay", b"first")
        school.put("other")
        school.sync("nightly")
        school.put("essay", b"second")
        school.sync()
        client, key = school.job.s3.client(), f"{FOLDER}/essay"
        listed = client.list_object_versions(Bucket=school.job.bucket, Prefix=key)["Versions"]
        old = next(version["VersionId"] for version in listed if not version["IsLatest"])
        client.delete_object(Bucket=school.job.bucket, Key=key, VersionId=old)
        school.empty_the_claim()
        failed = school.job.run("uploads-restore", school.restore_task("nightly")).failure
        assert (failed.reason, failed.retryable) == ("Corrupt", False)
        assert "1 of 2 files" in failed.message
        assert school.claim() == {"other": b"content"}

    def test_a_list_that_was_tampered_with_is_refused(self, school: School) -> None:
        school.put("essay")
        school.sync("nightly")
        task = school.restore_task("nightly")
        school.job.s3.client().put_object(Bucket=school.job.bucket, Key=task.list_key, Body=b"x")
        assert school.job.run("uploads-restore", task).failure.reason == "Corrupt"

    def test_a_link_in_the_claim_leads_nowhere_else(self, school: School) -> None:
        school.put("folder/essay")
        school.sync("nightly")
        school.empty_the_claim()
        outside = school.job.folder / "outside"
        outside.mkdir()
        (school.job.claim / "folder").symlink_to(outside)
        failed = school.job.run("uploads-restore", school.restore_task("nightly")).failure
        assert "leads out of the claim" in failed.message
        assert list(outside.iterdir()) == []


class TestCheckOfSampledFiles:
    @pytest.fixture
    def documents(self, school: School, postgres: PostgresServer, database: str) -> Any:
        """A database that names its users' files, backed up with a checkpoint."""
        postgres.execute(
            "CREATE TABLE documents (path text); INSERT INTO documents VALUES ('a'), ('ü/b'), (NULL)", database
        )
        for name in ("a", "ü/b"):
            school.put(name)
        school.job.backup(database)
        school.sync("nightly")
        return school

    def verify(self, school: School, sql: str) -> Finished:
        document = school.checkpoint("nightly")
        assert document is not None
        files = FilesCheck(
            storage=school.job.s3.location(school.job.bucket),
            folder=document.prefix,
            list_key=document.list_key,
            list_sha256=document.list_sha256,
            sql=sql,
            sample=100,
        )
        return school.job.run("verify", school.job.verify_task().model_copy(update={"files": files}))

    def test_all_are_there(self, documents: School) -> None:
        finished = self.verify(documents, "SELECT path FROM documents")
        checks = {check.name: check.message for check in finished.result(VerifyResult).checks}
        assert checks["uploads"] == "2 sampled files are in the bucket"

    def test_one_that_is_missing_is_told_by_its_hash(self, documents: School, postgres: PostgresServer) -> None:
        sql = "SELECT path FROM documents UNION ALL SELECT 'mueller-medical.pdf'"
        failed = self.verify(documents, sql).failure
        assert failed.reason == "UploadsMissing"
        assert "1 of 3 sampled files" in failed.message
        assert "mueller" not in failed.message
        expression = "left(encode(sha256(convert_to('mueller-medical.pdf', 'UTF8')), 'hex'), 12)"
        assert postgres.value(f"SELECT {expression}") in failed.message

    def test_one_whose_version_was_deleted(self, documents: School) -> None:
        client, key = documents.job.s3.client(), f"{FOLDER}/a"
        version = client.list_object_versions(Bucket=documents.job.bucket, Prefix=key)["Versions"][0]["VersionId"]
        client.delete_object(Bucket=documents.job.bucket, Key=key, VersionId=version)
        assert "1 of 2 sampled files" in self.verify(documents, "SELECT path FROM documents").failure.message

    @pytest.mark.parametrize("sql", ["SELECT 1", "SELECT nothing", "DELETE FROM documents RETURNING path"])
    def test_a_query_that_gives_no_paths(self, documents: School, sql: str) -> None:
        assert self.verify(documents, sql).failure.reason == "CheckInvalid"
