"""Users' files of a Restore: what its plan says of them, and the Job that brings them into the claim; pure."""

import hashlib
import json

from aada_operator.api.backup import FilesCheckpoint
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import LABEL_LMS
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.restore import RestoreUploads
from aada_operator.api.uploads import RestoreFilesTask
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.core.worker_claims import with_claim
from aada_operator.core.worker_jobs import JobRequest
from aada_operator.core.worker_mounts import uploads_mounts


def job_name(restore: str, attempt: int) -> str:
    """Name of the Job of an attempt."""
    return f"{restore}-uploads-{attempt}"


def demand_checkpoint(backup: str, checkpoint: FilesCheckpoint | None) -> FilesCheckpoint:
    """The checkpoint of a backup.

    Raises:
        Waiting: NoCheckpoint.
    """
    if checkpoint is None:
        message = f"Backup {backup} has no checkpoint of users' files: see its condition UploadsCheckpointed"
        raise Waiting("NoCheckpoint", f"{message}, or restore without uploads", 30.0)
    return checkpoint


def planned(plan: Object, wanted: RestoreUploads, checkpoint: FilesCheckpoint | None) -> Object:
    """The plan with what becomes of users' files: its hash changes with claim, manner and checkpoint."""
    facts = [plan["hash"], wanted.claim_name, wanted.overwrite, checkpoint.list_sha256 if checkpoint else ""]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[: len(plan["hash"])]
    moment = f"{checkpoint.files} files as of {checkpoint.checkpoint}" if checkpoint else "files (no checkpoint yet)"
    manner = "those that differ are replaced" if wanted.overwrite else "those that are there stay"
    words = f"{plan['summary']}. Users' {moment} go into claim {wanted.claim_name}: {manner}, none is deleted"
    return plan | {"hash": digest, "summary": words[:4096]}


def job(
    restore: Object,
    wanted: RestoreUploads,
    checkpoint: FilesCheckpoint,
    policy: BackupPolicySpec,
    lms: AadaLmsSpec,
    attempt: int,
    deadline: int,
    *,
    allow_local: bool,
) -> JobRequest:
    """The Job; server and Secrets are the policy's: no object in a bucket chooses them.

    Raises:
        Waiting: UploadsNotDeclared.
    """
    if policy.uploads is None:
        raise Waiting("UploadsNotDeclared", "the BackupPolicy says no more where users' files are: set its uploads")
    place = policy.uploads.s3.location(checkpoint.prefix).model_copy(update={"bucket": checkpoint.bucket})
    task = RestoreFilesTask(
        storage=place.s3(allow_local),
        folder=checkpoint.prefix,
        list_key=checkpoint.list_key,
        list_sha256=checkpoint.list_sha256,
        overwrite=wanted.overwrite,
    )
    name, template = policy.lms_ref.name, policy.job.pod_template
    return JobRequest(
        name=job_name(restore["metadata"]["name"], attempt),
        owner=restore,
        command="uploads-restore",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=uploads_mounts(place),
        deadline=deadline,
        labels={LABEL_LMS: name},
        resources=policy.job.resources,
        pod_template=with_claim(name, lms, wanted.claim_name, template, writes=True),
    )
