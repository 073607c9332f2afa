"""A verification passes only for a backup that is whole; whatever is wrong with it has its own name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aada_operator.api.manifest import manifest_key
from aada_operator.api.task import VerifyResult
from aada_operator.worker.keys import keygen
from tests.service.faults import flip
from tests.service.servers import PostgresServer, wait_for
from tests.service.worker_harness import Job, folder_of

KILLED = -9
# Inside the first recipient of an age header: damaged there, the right key no longer fits.
RECIPIENT_AT = 60


def scratch_servers(job: Job) -> list[str]:
    """PostgreSQL processes that use the scratch folder of a job."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if str(job.folder / "scratch") in command:
                found.append(command)
    return found


def fail(job: Job, name: str = "nightly") -> tuple[str, str]:
    """Reason and message of a verification that must fail for good, and leave nothing."""
    failure = job.run("verify", job.verify_task(name)).failure
    assert not failure.retryable
    assert job.left_behind() == []
    assert scratch_servers(job) == []
    return failure.reason, failure.message


class TestDamage:
    @pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "open"])
    @pytest.mark.parametrize("position", [0, RECIPIENT_AT, -70, -1], ids=["first", "recipient", "payload", "last"])
    @pytest.mark.parametrize("kind", ["schema", "rest", "copy"])
    def test_one_flipped_bit_anywhere(self, job: Job, small: str, kind: str, position: int, encrypted: bool) -> None:
        job.backup(small, recipients=[job.recipient] if encrypted else [])
        flip(job.part(kind=kind), position)
        assert fail(job)[0] == "Corrupt"

    def test_a_flipped_bit_in_the_middle_of_a_large_backup(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        flip(job.part(number=5), 1_000_000)
        assert fail(job)[0] == "Corrupt"

    @pytest.mark.parametrize("cut", [1, 1000])
    def test_a_truncated_object(self, job: Job, small: str, cut: int) -> None:
        job.backup(small)
        data = job.part().read_bytes()
        job.part().write_bytes(data[:-cut])
        reason, message = fail(job)
        assert reason == "Corrupt"
        assert str(len(data)) in message

    def test_a_missing_part_is_named(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        missing = job.part(number=1)
        missing.unlink()
        reason, message = fail(job)
        assert reason == "Corrupt"
        assert missing.name in message

    def test_parts_in_each_others_place(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        first, second = job.part(number=0), job.part(number=1)
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
        assert fail(job)[0] == "Corrupt"

    def test_no_manifest_is_no_backup(self, job: Job) -> None:
        reason, message = fail(job, "never-made")
        assert reason == "Corrupt"
        assert "manifest" in message


class TestKeys:
    def test_another_key(self, job: Job, small: str) -> None:
        job.backup(small)
        job.secret("identity/identity", keygen()[0])
        assert fail(job)[0] == "WrongKey"

    def test_no_key(self, job: Job, small: str) -> None:
        job.backup(small)
        (job.folder / "secrets" / "identity" / "identity").unlink()
        assert fail(job)[0] == "WrongKey"

    def test_something_that_is_no_key(self, job: Job, small: str) -> None:
        job.backup(small)
        job.secret("identity/identity", "canary, not a key")
        assert fail(job)[0] == "WrongKey"

    def test_every_recipient_can_open_it_and_comments_in_the_key_file_do_no_harm(self, job: Job, small: str) -> None:
        identity, recipient = keygen()
        job.backup(small, recipients=[job.recipient, recipient])
        job.secret("identity/identity", f"# created: today\n# public key: {recipient}\n{identity}\n")
        job.verify()


class TestManifestThatLies:
    """Objects are whole, but they are not what the manifest says."""

    def _change(self, job: Job, change: Callable[[dict[str, Any]], None]) -> None:
        file = job.s3.file(job.bucket, manifest_key(folder_of("nightly")))
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))

    def test_rows(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["tables"][0].update(rows=1001))
        reason, message = fail(job)
        assert reason == "DigestMismatch"
        assert "public.notes has 1000 rows instead of 1001" in message

    def test_content(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["tables"][0].update(digest="1"))
        reason, message = fail(job)
        assert reason == "DigestMismatch"
        assert "public.notes has other content" in message

    def test_a_hash(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["parts"][0].update(sha256="0" * 64))
        reason, message = fail(job)
        assert reason == "Corrupt"
        assert "hash" in message

    def test_schema_revision(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document.update(schemaRevision="ae1027a6acf"))
        assert fail(job)[0] == "DigestMismatch"

    def test_a_format_of_the_future(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document.update(formatVersion="2.0"))
        assert fail(job)[0] == "VersionUnsupported"

    def test_a_field_of_the_future_is_ignored(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document.update(formatVersion="1.9", later={"a": 1}))
        job.verify()

    def test_a_dump_of_a_newer_pg_dump(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["tools"].update(pgDump="pg_dump (PostgreSQL) 99.1"))
        assert fail(job)[0] == "VersionUnsupported"

    def test_an_extension_that_the_image_lacks(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["extensions"].append({"name": "postgis", "version": "3.4"}))
        reason, message = fail(job)
        assert reason == "VersionUnsupported"
        assert "postgis" in message

    def test_a_locale_that_the_image_lacks_is_no_failure_but_said(self, job: Job, small: str) -> None:
        job.backup(small)
        self._change(job, lambda document: document["database"].update(collate="xx_XX.UTF-8", ctype="xx_XX.UTF-8"))
        (locale,) = [check for check in job.verify().checks if check.name == "locale"]
        assert "xx_XX.UTF-8" in locale.message


class TestInterrupted:
    @pytest.mark.parametrize(
        "point", ["verify.before-load", "load.schema-1", "load.copy", "load.rest-1", "verify.before-compare"]
    )
    def test_a_killed_worker_leaves_no_server_and_the_next_try_passes(self, job: Job, small: str, point: str) -> None:
        job.backup(small)
        assert job.run("verify", job.verify_task(), f"worker.{point}=kill").exit_code == KILLED
        wait_for(lambda: not scratch_servers(job), "the scratch server to end")
        job.verify()
        assert not list((job.folder / "scratch").iterdir())

    def test_sigterm_stops_the_server_and_removes_everything(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        worker = job.start("verify", job.verify_task())
        worker.wait_for_stage("restore")
        worker.stop()
        failure = worker.finish(20).failure
        assert (failure.reason, failure.retryable) == ("Terminated", True)
        assert scratch_servers(job) == []
        assert job.left_behind() == []

    def test_a_storage_that_goes_away_is_no_verdict(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        job.s3.stop()
        failure = job.run("verify", job.verify_task()).failure
        job.s3.start()
        assert (failure.reason, failure.retryable) == ("StorageUnreachable", True)

    def test_a_storage_that_restarts_in_the_middle_is_survived(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        worker = job.start("verify", job.verify_task())
        worker.wait_for_stage("restore")
        job.s3.stop()
        job.s3.start()
        worker.finish().result(VerifyResult)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
    def test_a_scratch_space_that_is_too_small_says_so_and_is_given_back(self, job: Job, heavy: str) -> None:
        job.backup(heavy)
        scratch = job.folder / "scratch"
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m", "none", scratch], check=True)
        try:
            failure = job.run("verify", job.verify_task()).failure
            left = job.left_behind()
        finally:
            subprocess.run(["umount", scratch], check=True)
        assert (failure.reason, failure.retryable) == ("NoSpace", True)
        assert left == []


class TestProductionIsNotTouched:
    def test_verification_needs_no_database(self, job: Job, postgres: PostgresServer, small: str) -> None:
        job.backup(small)
        (job.folder / "secrets" / "database" / "password").unlink()
        postgres.stop()
        try:
            result = job.verify()
        finally:
            postgres.start()
        assert result.rows == 1000
