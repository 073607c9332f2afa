"""Users' files come back with the database, as of the checkpoint of the backup."""

from __future__ import annotations

import pytest

from aada_operator.core.overlay import merged
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS
from tests.unit.restores.rehearsal import CHECKPOINT, FILES_RESULT, RESTORE, Rehearsal, failure

JOB = f"{RESTORE}-uploads-1"


@pytest.fixture
def files(rehearsal: Rehearsal) -> Rehearsal:
    rehearsal.api.secret("s3-files", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    declared = {"uploads": {"s3": {"bucket": "moved", "credentialsSecretRef": {"name": "s3-files"}}}}
    policy = rehearsal.api.read(BACKUP_POLICIES, "nightly")
    policy["spec"] = merged(policy["spec"], declared)
    rehearsal.api.read(BACKUPS, "monday")["status"]["uploads"] = dict(CHECKPOINT)
    return rehearsal


def load(world: Rehearsal) -> None:
    world.settle()
    world.end_job()
    world.settle()


def test_after_the_load_into_the_claim_as_of_the_checkpoint(files: Rehearsal) -> None:
    files.restore("monday", uploads={"claimName": "review"})
    load(files)
    task = files.task(JOB)
    assert (task["storage"]["bucket"], task["folder"], task["listSha256"]) == ("files", "_uploads/school/aada", "abc")
    assert task["overwrite"] is False
    pod = files.api.read(JOBS, JOB)["spec"]["template"]["spec"]
    assert {"name": "uploads", "persistentVolumeClaim": {"claimName": "review"}} in pod["volumes"]
    assert "s3-files" in {volume.get("secret", {}).get("secretName") for volume in pod["volumes"]}
    assert "7 files as of 2026-03-01T01:00:00Z go into claim review" in files.status["plan"]["summary"]
    files.api.end_job(JOB, FILES_RESULT)
    files.settle()
    assert files.condition("Completed") == ("True", "RestoredAndCompared")
    assert (files.status["uploads"]["files"], files.status["uploads"]["kept"]) == (7, 1)


def test_the_plans_hash_changes_with_the_manner(files: Rehearsal) -> None:
    hashes = set()
    for overwrite in (False, True):
        files.restore("monday", mode="Observe", uploads={"claimName": "review", "overwrite": overwrite})
        files.settle()
        hashes.add(files.status["plan"]["hash"])
    assert len(hashes) == 2


def test_without_a_checkpoint_nothing_is_begun(files: Rehearsal) -> None:
    del files.api.read(BACKUPS, "monday")["status"]["uploads"]
    files.restore("monday", uploads={"claimName": "review"})
    files.settle()
    assert files.condition("Ready") == ("False", "NoCheckpoint")
    assert files.jobs == []


def test_a_failed_job_is_followed_by_another_and_what_is_lost_is_told(files: Rehearsal) -> None:
    files.restore("monday", uploads={"claimName": "review"})
    load(files)
    files.api.end_job(JOB, failure("StorageUnreachable"))
    files.settle()
    files.clock.advance(seconds=30)
    files.settle()
    files.api.end_job(f"{RESTORE}-uploads-2", failure("Corrupt", retryable=False))
    files.settle()
    assert files.condition("Failed") == ("True", "Corrupt")


@pytest.mark.parametrize("place", range(8))
def test_the_operator_killed_at_any_write_brings_them_back_once(files: Rehearsal, place: int) -> None:
    files.restore("monday", uploads={"claimName": "review"})
    files.settle()
    files.end_job()
    files.api.crash_after = len(files.api.writes) + place
    files.settle()
    if JOB in files.jobs:
        files.api.end_job(JOB, FILES_RESULT)
    files.settle()
    files.api.crash_after = None
    assert files.jobs == [f"{RESTORE}-restore-1", JOB]
    assert files.condition("Completed")[0] == "True"
