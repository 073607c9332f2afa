"""Backups in a bucket with object lock: nothing of them can be deleted before its time, the shared chunks too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.manifest import Manifest, lms_folder, manifest_key, parse_manifest
from aada_operator.api.task import BackupResult, CopyResult, ObjectLock, S3Location
from aada_operator.core.errors import Stalled
from tests.service.servers import PostgresServer, S3Server
from tests.service.worker_harness import Job, folder_of

LMS = lms_folder(folder_of("any"))


@pytest.fixture
def locked(postgres: PostgresServer, s3: S3Server) -> Iterator[Job]:
    """A Job with a bucket that can lock."""
    with Job(postgres, s3, s3.make_bucket(locks=True)) as job:
        yield job


def location(job: Job, days: int, mode: str = "Governance") -> S3Location:
    lock = ObjectLock.model_validate({"mode": mode, "days": days})
    return job.s3.location(job.bucket).model_copy(update={"object_lock": lock})


def backup(job: Job, database: str, name: str, days: int, mode: str = "Governance", **fields: Any) -> BackupResult:
    return job.backup(database, name, storage=location(job, days, mode), **fields)


def manifest(job: Job, name: str, folder: str = "") -> Manifest:
    key = manifest_key(folder or folder_of(name))
    return parse_manifest(job.s3.client().get_object(Bucket=job.bucket, Key=key)["Body"].read())


def locks(job: Job, lms: str, found: Manifest) -> dict[str, datetime]:
    """Until when the objects of a backup are locked, its manifest too."""
    keys = {f"{lms}/{part.key}" for part in found.parts} | {f"{lms}/{found.backup}/manifest.json"}
    heads = {key: job.s3.client().head_object(Bucket=job.bucket, Key=key) for key in keys}
    return {key: head["ObjectLockRetainUntilDate"] for key, head in heads.items()}


def test_every_object_is_locked_and_every_version_known(locked: Job, small: str) -> None:
    result = backup(locked, small, "full", 2, "Compliance")
    assert result.immutable_until is not None
    until = datetime.fromisoformat(result.immutable_until)
    assert timedelta(days=1, hours=23) < until - datetime.now(UTC) <= timedelta(days=2)
    found = manifest(locked, "full")
    assert found.immutable_until == result.immutable_until
    assert min(locks(locked, LMS, found).values()) >= until
    for part in found.parts:
        assert part.version
        with pytest.raises(ClientError, match="AccessDenied"):
            locked.s3.client().delete_object(Bucket=locked.bucket, Key=f"{LMS}/{part.key}", VersionId=part.version)
    assert locked.verify("full").digest == result.digest


def test_a_shared_chunk_is_locked_for_as_long_as_the_backup_that_shares_it(locked: Job, small: str) -> None:
    full = backup(locked, small, "full", 1)
    second = backup(locked, small, "second", 5, base="full")
    assert second.new_bytes < full.new_bytes, "chunks are shared"
    assert second.immutable_until
    assert min(locks(locked, LMS, manifest(locked, "second")).values()) >= datetime.fromisoformat(
        second.immutable_until
    )


def test_one_that_is_locked_for_longer_already_is_shared_as_it_is(locked: Job, small: str) -> None:
    full = backup(locked, small, "full", 5)
    assert backup(locked, small, "second", 1, base="full").new_bytes < full.new_bytes


def test_one_that_cannot_be_locked_any_more_travels_anew(locked: Job, small: str) -> None:
    backup(locked, small, "full", 1)
    (chunk,) = [part for part in manifest(locked, "full").parts if part.kind == "copy"]
    locked.s3.client().delete_object(Bucket=locked.bucket, Key=f"{LMS}/{chunk.key}")
    second = backup(locked, small, "second", 1, base="full")
    assert locked.verify("second").digest == second.digest


def test_a_limited_upload_is_locked_too(locked: Job, small: str) -> None:
    result = backup(locked, small, "full", 2, max_rate=2**22)
    assert result.immutable_until
    found = manifest(locked, "full")
    assert min(locks(locked, LMS, found).values()) >= datetime.fromisoformat(result.immutable_until)
    assert all(part.version for part in found.parts)


def test_a_copy_has_locks_of_its_own(job: Job, locked: Job, small: str) -> None:
    job.backup(small)
    job.mount("copy", locked.s3)
    for days in (1, 4):  # the second time everything is there, and is locked for longer
        task = job.copy_task("nightly", location(locked, days), "copies/nightly")
        result = job.run("copy", task).result(CopyResult)
    assert (result.objects, bool(result.immutable_until)) == (0, True)
    found = manifest(locked, "nightly", "copies/nightly")
    until = datetime.now(UTC) + timedelta(days=3, hours=23)
    assert min(locks(locked, "copies", found).values()) >= until


def test_a_bucket_that_cannot_lock_is_refused_with_the_fix(s3: S3Server) -> None:
    plain = s3.location(s3.make_bucket())
    wanted = plain.model_copy(update={"object_lock": ObjectLock(mode="Governance", days=1)})
    keys = AccessKeys(s3.access_key, s3.secret_key)
    with pytest.raises(Stalled, match="object-lock-enabled-for-bucket") as refused:
        ObjectStore(wanted, lambda: keys).demand_locks()
    assert refused.value.reason == "ObjectLockDisabled"
    ObjectStore(plain, lambda: keys).demand_locks()
