"""A Backup of type Imported: it stands for a backup that lies in a bucket already. Its data is never deleted."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.storage import fetch_manifest, open_store
from aada_operator.api.backup import BackupSpec, ImportSource
from aada_operator.api.backup_policy import BackupPolicySpec, Encryption
from aada_operator.api.common import LocalRef
from aada_operator.api.storage import LockableS3, StorageEntry
from aada_operator.backups import outcome, report
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.errors import Waiting

NOW, RETRY = 0.0, 30.0


def policy_for(source: ImportSource) -> BackupPolicySpec:
    """What a policy would say of it: how it is read, and everything else by default."""
    return BackupPolicySpec(
        lms_ref=LocalRef(name=source.lms),
        storage=[StorageEntry(name="imported", s3=LockableS3.model_validate(source.s3.model_dump()))],
        encryption=Encryption(mode="None", verification_identity_secret_ref=source.identity_secret_ref),
    )


async def find(kube: Kube, allow_local: bool, visit: Visit[BackupSpec], source: ImportSource) -> float:
    """Look for the backup; it is completed as soon as its manifest is there.

    Raises:
        Waiting: BackupNotFound; SecretMissing; the storage cannot be read.
        Stalled: Corrupt, VersionUnsupported.
    """
    location = source.location_of(visit.namespace, source.backup)
    visit.status |= {"lms": source.lms, "phase": "Pending"}
    visit.status.setdefault("startTime", to_rfc3339(visit.now))
    store = await open_store(kube, visit.namespace, location, allow_local)
    found = await fetch_manifest(store, location)
    if found is None:
        message = f"{location.bucket}/{location.prefix} holds no completed backup: correct importFrom in another Backup"
        raise Waiting("BackupNotFound", message, RETRY)
    visit.status["location"] = location.model_dump(by_alias=True, exclude_defaults=True)
    visit.status["method"] = "logical"
    result = outcome.result_of(found.manifest, found.sha256)
    visit.status |= outcome.completed_fields(result, None) | {"type": visit.spec.type}
    report.encrypted(visit, found.manifest.encryption.mode)
    content = f"{result.tables} tables, {result.rows} rows, as of {visit.status['recoverableFrom']}"
    report.completed(visit, report.ADOPTED, f"imported from {location.bucket}/{location.prefix}: {content}")
    report.bundled(visit, result.bundle)
    report.settled(visit)
    return NOW
