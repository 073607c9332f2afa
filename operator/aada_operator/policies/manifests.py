"""The Backup objects that a schedule makes, and the Jobs of collections; pure."""

from dataclasses import dataclass
from datetime import datetime

from aada_operator.api.backup import (
    ANNOTATION_FOUND,
    ANNOTATION_REPLACES,
    ANNOTATION_SCHEDULED_FOR,
    BackupType,
)
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import LABEL_LMS, LABEL_POLICY, seconds
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.location import Location
from aada_operator.api.manifest import lms_folder
from aada_operator.api.ownership import Claim
from aada_operator.api.task import CollectTask
from aada_operator.api.uploads import SyncTask, uploads_folder
from aada_operator.core import backups
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object
from aada_operator.core.worker_claims import with_claim
from aada_operator.core.worker_jobs import JobRequest
from aada_operator.core.worker_mounts import storage_mounts, uploads_mounts

# An object of a backup that is on its way is younger than two lives of its snapshot, and than this.
COLLECT_AGE = 48 * 3600
COLLECT_DEADLINE = 6 * 3600
# The first sync of a large claim goes on with the next Job where this one ends.
SYNC_DEADLINE = 6 * 3600

_SHORT: dict[BackupType, str] = {"Full": "full", "Incremental": "incr"}


def backup_name(policy: str, slot: datetime, kind: BackupType) -> str:
    """The one name of a slot's backup: whoever makes it a second time meets the first."""
    return f"{policy}-{_SHORT[kind]}-{slot:%Y%m%dt%H%Mz}"


def backup(namespace: str, policy: str, lms: str, slot: datetime, kind: BackupType, replaces: str = "") -> Object:
    """The Backup of a slot (in UTC). It has no owner: deleting the policy must leave it."""
    annotations = {ANNOTATION_SCHEDULED_FOR: to_rfc3339(slot)} | ({ANNOTATION_REPLACES: replaces} if replaces else {})
    return backups.backup(namespace, policy, lms, backup_name(policy, slot, kind), kind, annotations)


def found_backup(
    namespace: str, policy: str, lms: str, name: str, kind: BackupType, slot: datetime | None, found_at: datetime
) -> Object:
    """The Backup for what was found in the bucket: of a slot, or made by hand."""
    annotations = {ANNOTATION_FOUND: to_rfc3339(found_at)}
    if slot:
        annotations[ANNOTATION_SCHEDULED_FOR] = to_rfc3339(slot)
    return backups.backup(namespace, policy, lms, name, kind, annotations)


@dataclass(frozen=True)
class Bin:
    """Where objects of no backup are collected: number of the place in spec.storage, field of the status."""

    place: int
    field: str
    word: str


PRIMARY = Bin(0, "collection", "collect")
COPY = Bin(1, "copyCollection", "collect-copy")


def collect_job_name(policy: str, number: int, where: Bin = PRIMARY) -> str:
    """Name of the Job of a collection."""
    return f"{policy}-{where.word}-{number}"


def collect_job(
    policy: Object, spec: BackupPolicySpec, number: int, allow_local: bool, claim: Claim | None, where: Bin = PRIMARY
) -> JobRequest:
    """The Job that deletes what belongs to no backup of the LMS any more."""
    metadata = policy["metadata"]
    location = spec.storage[where.place].location_of(metadata["namespace"], spec.lms_ref.name, "any")
    task = CollectTask(
        storage=location.s3(allow_local),
        folder=lms_folder(location.prefix),
        claim=claim,
        min_age_seconds=max(COLLECT_AGE, 2 * int(seconds(spec.max_snapshot_age)), _locked_for(location)),
    )
    return JobRequest(
        name=collect_job_name(metadata["name"], number, where),
        owner=policy,
        command="collect",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=storage_mounts(location),
        deadline=COLLECT_DEADLINE,
        labels={LABEL_LMS: spec.lms_ref.name, LABEL_POLICY: metadata["name"]},
        resources=spec.job.resources,
        pod_template=spec.job.pod_template,
    )


def _locked_for(location: Location) -> int:
    """Seconds for which what was written cannot be deleted for good."""
    return location.object_lock.days * 86400 if location.object_lock else 0


def sync_job_name(policy: str, number: int) -> str:
    """Name of the Job of a sync."""
    return f"{policy}-uploads-{number}"


def sync_job(
    policy: Object, spec: BackupPolicySpec, lms: AadaLmsSpec, number: int, backups: list[str], allow_local: bool
) -> JobRequest:
    """The Job that copies users' files; ``backups`` are the folders of those that get a checkpoint from it."""
    assert spec.uploads, "asked for only where they are declared"  # noqa: S101
    assert lms.storage.uploads, "asked for only where there is a claim"  # noqa: S101
    metadata, s3, name = policy["metadata"], spec.uploads.s3, spec.lms_ref.name
    location = s3.location(uploads_folder(s3.prefix, metadata["namespace"], name))
    backup_location = spec.storage[0].s3.location("")
    task = SyncTask(
        storage=location.s3(allow_local),
        folder=location.prefix,
        backup_storage=backup_location.s3(allow_local),
        backups=backups,
    )
    claim = lms.storage.uploads.claim_name
    return JobRequest(
        name=sync_job_name(metadata["name"], number),
        owner=policy,
        command="uploads",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=(*storage_mounts(backup_location), *uploads_mounts(location)),
        deadline=SYNC_DEADLINE,
        labels={LABEL_LMS: name, LABEL_POLICY: metadata["name"]},
        resources=spec.job.resources,
        pod_template=with_claim(name, lms, claim, spec.job.pod_template, writes=False),
    )
