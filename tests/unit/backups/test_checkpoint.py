"""A completed Backup keeps the checkpoint of users' files that its policy's sync wrote beside its manifest."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.uploads import CheckpointDocument
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, Object
from tests.unit.backups.school import BACKUP_RESULT, School, failure

UPLOADS: Object = {
    "s3": {"bucket": "files", "endpoint": "https://s3.example", "credentialsSecretRef": {"name": "s3-files"}},
    "check": {"sql": "SELECT path FROM documents"},
}
KEY = "school/aada/by-hand/uploads.json"


def checkpoint(**fields: Any) -> bytes:
    document = CheckpointDocument(
        **{
            "checkpoint": "2026-03-01T01:31:00Z",
            "bucket": "files-then",
            "prefix": "_uploads/school/aada",
            "files": 7,
            "bytes": 700,
            "list_key": "_uploads-lists/school/aada/abc.jsonl.zst",
            "list_sha256": "abc",
            "versioned": True,
            **fields,
        }
    )
    return document.model_dump_json(by_alias=True).encode()


@pytest.fixture
def backed_up(school: School) -> School:
    school.api.secret("s3-files", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    school.policy(full=None, uploads=UPLOADS)
    school.backup()
    for _ in range(4):
        school.visit(BACKUPS, "by-hand")
    school.api.end_job("by-hand-1", BACKUP_RESULT)
    school.clock.advance(seconds=40)
    school.visit(BACKUPS, "by-hand")
    return school


def condition(school: School) -> tuple[str, str]:
    school.visit(BACKUPS, "by-hand")
    return school.condition(BACKUPS, "by-hand", "UploadsCheckpointed")


def verify(school: School) -> None:
    school.api.read(BACKUPS, "by-hand")["metadata"]["annotations"] = {"lms.aada.edu/verify-at": "now"}
    school.settle(BACKUPS, "by-hand")
    school.settle(BACKUPS, "by-hand")


def test_it_is_awaited_and_kept(backed_up: School) -> None:
    assert condition(backed_up) == ("Unknown", "AwaitingSync")
    backed_up.bucket.objects[KEY] = checkpoint()
    assert condition(backed_up) == ("True", "CheckpointTaken")
    known = backed_up.status(BACKUPS, "by-hand")["uploads"]
    assert (known["files"], known["bucket"], known["listSha256"]) == (7, "files-then", "abc")
    backed_up.bucket.trouble = Waiting("StorageUnreachable", "away")
    assert condition(backed_up) == ("True", "CheckpointTaken")


def test_without_versions_it_is_worth_less(backed_up: School) -> None:
    backed_up.bucket.objects[KEY] = checkpoint(versioned=False)
    assert condition(backed_up) == ("False", "NotVersioned")


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'{"formatVersion": "2.0"}'])
def test_what_is_no_checkpoint_is_told(backed_up: School, content: bytes) -> None:
    backed_up.bucket.objects[KEY] = content
    assert condition(backed_up) == ("Unknown", "Corrupt")


def test_a_storage_that_is_away_is_told_and_asked_again(backed_up: School) -> None:
    backed_up.bucket.trouble = Waiting("StorageUnreachable", "away")
    assert condition(backed_up) == ("Unknown", "StorageUnreachable")
    assert backed_up.visit(BACKUPS, "by-hand") == 300


def test_a_backup_of_a_lost_cluster_has_one_or_will_never_have(backed_up: School) -> None:
    found = {"lms.aada.edu/found-at": "2026-03-01T01:30:00Z"}
    backed_up.api.read(BACKUPS, "by-hand")["metadata"]["annotations"] = found
    assert condition(backed_up) == ("False", "NoCheckpoint")
    backed_up.bucket.objects[KEY] = checkpoint()
    assert condition(backed_up) == ("True", "CheckpointTaken")


def test_without_uploads_nothing_is_said(backed_up: School) -> None:
    backed_up.visit(BACKUPS, "by-hand")
    del backed_up.api.read(BACKUP_POLICIES, "nightly")["spec"]["uploads"]
    backed_up.visit(BACKUPS, "by-hand")
    kinds = {c["type"] for c in backed_up.status(BACKUPS, "by-hand")["conditions"]}
    assert "UploadsCheckpointed" not in kinds


def test_a_verification_waits_for_it_and_looks_for_the_files_where_the_policy_says(backed_up: School) -> None:
    verify(backed_up)
    assert backed_up.condition(BACKUPS, "by-hand", "Verified") == ("Unknown", "AwaitingUploads")
    assert "by-hand-verify-1" not in backed_up.api.names(JOBS)
    backed_up.bucket.objects[KEY] = checkpoint()
    verify(backed_up)
    pod = backed_up.api.read(JOBS, "by-hand-verify-1")["spec"]["template"]["spec"]
    assert backed_up.api.task("by-hand-verify-1")["files"]["storage"] == {
        "bucket": "files-then", "endpoint": "https://s3.example", "region": "us-east-1", "allowLocalEndpoint": False,
    }  # fmt: skip
    assert "s3-files" in {volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}


def test_a_verification_does_not_wait_for_ever(backed_up: School) -> None:
    backed_up.clock.advance(minutes=31)
    verify(backed_up)
    assert "by-hand-verify-1" in backed_up.api.names(JOBS)


def test_missing_files_are_a_bad_backup(backed_up: School) -> None:
    backed_up.bucket.objects[KEY] = checkpoint()
    verify(backed_up)
    backed_up.api.end_job("by-hand-verify-1", failure("UploadsMissing", retryable=False))
    backed_up.visit(BACKUPS, "by-hand")
    assert backed_up.condition(BACKUPS, "by-hand", "Verified") == ("False", "UploadsMissing")
