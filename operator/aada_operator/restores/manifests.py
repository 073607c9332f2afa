"""The Jobs of a Restore: one per attempt, named after it; pure."""

from dataclasses import dataclass

from aada_operator.api.backup_policy import JobTemplate
from aada_operator.api.common import ANNOTATION_ON_BEHALF_OF, GROUP, SecretKeyRef
from aada_operator.api.data_key import DataKey
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.api.task import DatabaseAddress, RestoreTask, SqlCheck
from aada_operator.core import backups
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobRequest
from aada_operator.core.worker_mounts import (
    application_mounts,
    data_key_mounts,
    database_mounts,
    identity_mounts,
    storage_mounts,
)
from aada_operator.restores import decide

# What the Job loads stands on it: a Restore whose status was lost must not take another backup for its own.
LABEL_RESTORE = f"{GROUP}/restore"
LABEL_BACKUP = f"{GROUP}/backup"
LABEL_ATTEMPT = f"{GROUP}/attempt"
# Room for an empty server and a piece of one table.
_KEY_SCRATCH = "2Gi"


@dataclass(frozen=True)
class Load:
    """All that a Job of a Restore is made of; ``identity`` only for an encrypted backup."""

    restore: Object
    backup: str
    location: Location
    manifest_sha256: str
    server: Database
    database: str
    identity: SecretKeyRef | None
    job: JobTemplate
    allow_local: bool
    lms: str
    tables: tuple[str, ...] = ()
    checks: tuple[SqlCheck, ...] = ()
    data_key: DataKey | None = None


def job_name(restore: str, attempt: int) -> str:
    """Name of the Job of an attempt; a Backup of the same name has Jobs, too."""
    return f"{restore}-restore-{attempt}"


def restore_job(load: Load, attempt: int, deadline: int) -> JobRequest:
    """The Job that loads the backup and compares; it may run for ``deadline`` seconds."""
    metadata, server = load.restore["metadata"], load.server
    task = RestoreTask(
        uid=metadata["uid"],
        storage=load.location.s3(load.allow_local),
        folder=load.location.prefix,
        manifest_sha256=load.manifest_sha256,
        database=DatabaseAddress(host=server.host, port=server.port, name=load.database, ssl_mode=server.ssl_mode),
        tables=list(load.tables),
        checks=list(load.checks),
        data_key=load.data_key,
    )
    application = application_mounts(server, load.lms) if load.checks else ()
    return JobRequest(
        name=job_name(metadata["name"], attempt),
        owner=load.restore,
        command="restore",
        task=task.model_dump(mode="json", by_alias=True, exclude_none=True),
        mounts=(
            *database_mounts(server),
            *application,
            *storage_mounts(load.location),
            *identity_mounts(load.identity),
            *data_key_mounts(load.data_key),
        ),
        deadline=deadline,
        scratch=_KEY_SCRATCH if load.data_key else None,
        labels={LABEL_RESTORE: metadata["name"], LABEL_BACKUP: load.backup, LABEL_ATTEMPT: str(attempt)},
        resources=load.job.resources,
        pod_template=load.job.pod_template,
    )


def safety_backup(restore: Object, lms: str, policy: str) -> Object:
    """The full Backup of the database that a Cutover is about to replace."""
    metadata = restore["metadata"]
    name, annotations = decide.safety_backup_name(metadata["name"]), {ANNOTATION_ON_BEHALF_OF: metadata["uid"]}
    return backups.backup(metadata["namespace"], policy, lms, name, "Full", annotations)
