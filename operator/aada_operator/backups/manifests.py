"""The Jobs of a Backup, one per attempt and named after it, and the Secret that they share; pure."""

import base64
import secrets
from dataclasses import dataclass

from aada_operator.api.backup import FilesCheckpoint
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.bundle import BundleOrder
from aada_operator.api.common import LABEL_LMS, LABEL_POLICY, seconds
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.location import Location
from aada_operator.api.ownership import Claim
from aada_operator.api.task import BackupTask, CopyTask, DatabaseAddress, FilesCheck, VerifyTask
from aada_operator.core.backups import policy_name
from aada_operator.core.bundle import bundle_mounts, chunk_key_name
from aada_operator.core.resources import SECRETS, Object
from aada_operator.core.worker_jobs import JobRequest
from aada_operator.core.worker_mounts import (
    chunk_key_mounts,
    database_mounts,
    identity_mounts,
    storage_mounts,
    uploads_mounts,
)

# Beyond the life of the snapshot: the pod's start, and the last part's way into the bucket.
BACKUP_MARGIN = 900
VERIFY_DEADLINE = 6 * 3600
# Less than a day: see the worker. What is not copied by then is copied by the next try.
COPY_DEADLINE = 12 * 3600
_CHUNK_KEY_BYTES = 32


@dataclass(frozen=True)
class Context:
    """What a Job of a Backup is made of: the object, its policy, its LMS and its place in the bucket."""

    backup: Object
    policy: BackupPolicySpec
    location: Location
    allow_local: bool
    claim: Claim | None = None

    @property
    def labels(self) -> dict[str, str]:
        policy = policy_name(self.backup)
        return {LABEL_LMS: self.policy.lms_ref.name} | ({LABEL_POLICY: policy} if policy else {})


def chunk_key(namespace: str, lms: str) -> Object:
    """A new key. It has no owner, so that it outlives the AadaLms as its backups do.

    Whoever has it can tell whether the bucket holds a known text. Losing it costs one backup that travels whole.
    """
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": chunk_key_name(lms), "namespace": namespace, "labels": {LABEL_LMS: lms}},
        "type": "Opaque",
        "immutable": True,
        "data": {"key": base64.b64encode(secrets.token_bytes(_CHUNK_KEY_BYTES)).decode()},
    }


def backup_job_name(backup: str, attempt: int) -> str:
    """Name of the Job of an attempt."""
    return f"{backup}-{attempt}"


def verify_job_name(backup: str, attempt: int) -> str:
    """Name of the Job of a verification."""
    return f"{backup}-verify-{attempt}"


def job_names(backup: str, status: Object) -> list[str]:
    """Names of the Jobs that may be at work for a Backup."""
    found = [backup_job_name(backup, status["attempt"])] if status.get("attempt") else []
    if verification := (status.get("verification") or {}).get("attempt"):
        found.append(verify_job_name(backup, verification))
    return found + [copy_job_name(backup, copy["attempt"]) for copy in status.get("copies", ()) if copy.get("attempt")]


def copy_job_name(backup: str, attempt: int) -> str:
    """Name of the Job of a copy."""
    return f"{backup}-copy-{attempt}"


def backup_job(context: Context, lms: AadaLmsSpec, attempt: int, base: str | None, bundle: BundleOrder) -> JobRequest:
    """The Job that takes the backup; ``base`` is the one whose chunks it may share."""
    policy, metadata = context.policy, context.backup["metadata"]
    task = BackupTask(
        name=metadata["name"],
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        lms=policy.lms_ref.name,
        policy=policy_name(context.backup),
        attempt=attempt,
        database=DatabaseAddress(
            host=lms.database.host, port=lms.database.port, name=lms.database.name, ssl_mode=lms.database.ssl_mode
        ),
        revision_table=f"public.{lms.schema_.revision_table}",
        storage=context.location.s3(context.allow_local),
        folder=context.location.prefix,
        base=base,
        claim=context.claim,
        bundle=bundle,
        recipients=list(policy.encryption.recipients),
        compression_level=policy.compression.level,
        max_snapshot_age_seconds=max(1, int(seconds(policy.max_snapshot_age))),
        max_rate=policy.most_bytes_a_second,
    )
    return JobRequest(
        name=backup_job_name(metadata["name"], attempt),
        owner=context.backup,
        command="backup",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=(
            *database_mounts(lms.database),
            *storage_mounts(context.location),
            *chunk_key_mounts(chunk_key_name(policy.lms_ref.name)),
            *bundle_mounts(bundle),
        ),
        deadline=task.max_snapshot_age_seconds + BACKUP_MARGIN,
        labels=context.labels,
        resources=policy.job.resources,
        pod_template=policy.job.pod_template,
    )


def verify_job(context: Context, attempt: int, *, encrypted: bool) -> JobRequest:
    """The Job that restores the backup on a scratch server and compares."""
    policy = context.policy
    identity = policy.encryption.verification_identity_secret_ref if encrypted else None
    task = VerifyTask(
        storage=context.location.s3(context.allow_local),
        folder=context.location.prefix,
        checks=policy.verification.checks,
        files=_files_check(context),
    )
    uploads = uploads_mounts(policy.uploads.s3.location("")) if task.files and policy.uploads else ()
    return JobRequest(
        name=verify_job_name(context.backup["metadata"]["name"], attempt),
        owner=context.backup,
        command="verify",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=(*storage_mounts(context.location), *identity_mounts(identity), *uploads),
        deadline=VERIFY_DEADLINE,
        labels=context.labels,
        resources=policy.job.resources,
        scratch=policy.job.scratch_size,
        pod_template=policy.job.pod_template,
    )


def copy_job(context: Context, copy: Location, attempt: int) -> JobRequest:
    """The Job that brings the backup to a second place."""
    task = CopyTask(
        name=context.backup["metadata"]["name"],
        source=context.location.s3(context.allow_local),
        source_folder=context.location.prefix,
        manifest_sha256=context.backup["status"]["manifestSha256"],
        storage=copy.s3(context.allow_local),
        folder=copy.prefix,
        claim=context.claim,
        max_rate=context.policy.most_bytes_a_second,
    )
    return JobRequest(
        name=copy_job_name(task.name, attempt),
        owner=context.backup,
        command="copy",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=(*storage_mounts(context.location), *storage_mounts(copy, "copy")),
        deadline=COPY_DEADLINE,
        labels=context.labels,
        resources=context.policy.job.resources,
        pod_template=context.policy.job.pod_template,
    )


def _files_check(context: Context) -> FilesCheck | None:
    """Which of users' files are looked for; server and Secrets are the policy's: no object in a bucket chooses them."""
    uploads, known = context.policy.uploads, (context.backup.get("status") or {}).get("uploads")
    if uploads is None or uploads.check is None or known is None:
        return None
    checkpoint = FilesCheckpoint.model_validate(known)
    place = uploads.s3.location(checkpoint.prefix).model_copy(update={"bucket": checkpoint.bucket})
    return FilesCheck(
        storage=place.s3(context.allow_local),
        folder=checkpoint.prefix,
        list_key=checkpoint.list_key,
        list_sha256=checkpoint.list_sha256,
        sql=uploads.check.sql,
        sample=uploads.check.sample,
    )
