"""When users' files are copied, for which backups that is a checkpoint, and what is said of it: pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.core.conditions import Truth
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.policies.world import KnownBackup, moment_or_none

UPLOADS_SYNCED = "UploadsSynced"
UPLOADS_VERSIONED = "UploadsVersioned"
# A backup that waits for its checkpoint need not wait for the interval.
SOON = timedelta(seconds=10)
# So many backups get their checkpoint from one sync: the rest from the next.
MOST_BACKUPS = 20
# Copies are behind after three intervals without one, and never sooner than this.
_INTERVALS, _LEAST_LAG = 3, timedelta(minutes=15)
_SAID = ("files", "bytes", "transferredFiles", "transferredBytes", "unsettled", "skipped", "versioned", "deletes")
_TOLD_BY_WORKER = frozenset((*_SAID, "backups"))
_KEPT = _TOLD_BY_WORKER | {"lastSync", "failures", "reason", "message"}
Verdict = tuple[Truth, str, str]


def claim_of(lms: Object | None) -> str:
    """Name of the claim with users' files, empty when the AadaLms has none."""
    storage = ((lms or {}).get("spec") or {}).get("storage") or {}
    return str((storage.get("uploads") or {}).get("claimName", ""))


def awaiting(spec: BackupPolicySpec, known: Object, backups: Sequence[KnownBackup]) -> list[KnownBackup]:
    """Completed backups without a checkpoint, newest first; a sync that begins now has all files that they name.

    Only backups that are completed: one that still runs may fail, and be taken again later than its checkpoint.
    """
    s3, told = spec.storage[0].s3, set(known.get("backups", ()))
    found = [
        backup
        for backup in backups
        if backup.awaits_checkpoint
        and backup.name not in told
        and backup.status.location
        and (backup.status.location.bucket, backup.status.location.endpoint) == (s3.bucket, s3.endpoint or "")
    ]
    return sorted(found, key=lambda b: (b.recovery_point, b.name), reverse=True)[:MOST_BACKUPS]


def next_sync(spec: BackupPolicySpec, status: Object, backups: Sequence[KnownBackup]) -> datetime | None:
    """When the next sync is due, None for none: without uploads, or while one runs. May be long ago."""
    known = status.get("uploads") or {}
    if spec.uploads is None or known.get("result") == "Running":
        return None
    began = moment_or_none(known.get("startedAt"))
    if began is None:
        return datetime.min.replace(tzinfo=UTC)
    interval = timedelta(seconds=seconds(spec.uploads.interval))
    eager = SOON * 2 ** min(known.get("failures", 0), 10)
    return began + (min(eager, interval) if awaiting(spec, known, backups) else interval)


def begun(known: Object, number: int, claim: str, moment: str) -> Object:
    """The status of a sync that begins."""
    kept = {field: known[field] for field in _KEPT if field in known}
    return kept | {"number": number, "result": "Running", "claim": claim, "startedAt": moment}


def done(known: Object, result: dict[str, Any], moment: str) -> Object:
    """The status after a sync that succeeded; its beginning is what the copies are as of."""
    told = {field: value for field, value in result.items() if field in _TOLD_BY_WORKER}
    kept = {field: known[field] for field in ("number", "claim", "startedAt") if field in known}
    return kept | {"result": "Done", "finishedAt": moment, "lastSync": known["startedAt"], "failures": 0} | told


def failed(known: Object, reason: str, message: str, moment: str) -> Object:
    """The status after a sync that failed; what the last good one said stays."""
    told = {"result": "Failed", "reason": reason[:64], "message": message[:1024], "finishedAt": moment}
    return known | told | {"failures": known.get("failures", 0) + 1}


def report(visit: Visit[BackupPolicySpec], lms: Object | None) -> None:
    """The conditions of users' files, where they are declared."""
    if visit.spec.uploads is None:
        visit.status.pop("uploads", None)
        for kind in (UPLOADS_SYNCED, UPLOADS_VERSIONED):
            visit.conditions.drop(kind)
        return
    known = visit.status.get("uploads") or {}
    visit.conditions.set(UPLOADS_SYNCED, *synced(visit.spec, known, claim_of(lms), visit.now))
    visit.conditions.set(UPLOADS_VERSIONED, *versioned(visit.spec, known))


def synced(spec: BackupPolicySpec, known: Object, claim: str, now: datetime) -> Verdict:
    """Whether what users uploaded is in the bucket."""
    assert spec.uploads, "asked of declared ones"  # noqa: S101
    if spec.suspend:
        return "Unknown", "Suspended", "nothing is copied while the policy is suspended"
    if not claim:
        return "False", "NoClaim", f"AadaLms {spec.lms_ref.name} has no storage.uploads: set it, or remove uploads here"
    last, why = moment_or_none(known.get("lastSync")), _failure(known)
    if last is None:
        return ("False", *why) if why[0] else ("Unknown", "FirstSync", known.get("message") or "the first copy is made")
    lag = max(_INTERVALS * timedelta(seconds=seconds(spec.uploads.interval)), _LEAST_LAG)
    if now - last > lag:
        message = f"what was uploaded after {known['lastSync']} is not copied: {why[1] or 'the last copy takes long'}"
        return "False", why[0] or "Behind", message
    return "True", "Synced", f"{known.get('files', 0)} files as of {known['lastSync']}{_left_out(known)}"


def _failure(known: Object) -> tuple[str, str]:
    """Reason and message of the failure since the last good sync, empty without one."""
    return (str(known.get("reason", "")), str(known.get("message", ""))) if known.get("failures") else ("", "")


def _left_out(known: Object) -> str:
    parts = [f"the last try failed: {known.get('message', '')}"] if known.get("failures") else []
    parts += [f"{known['unsettled']} that were being written follow"] if known.get("unsettled") else []
    parts += [f"{known['skipped']} links or devices are left out"] if known.get("skipped") else []
    return "".join(f"; {part}" for part in parts)


def versioned(spec: BackupPolicySpec, known: Object) -> Verdict:
    """Whether the bucket keeps what is changed or deleted."""
    assert spec.uploads, "asked of declared ones"  # noqa: S101
    if "lastSync" not in known:
        return "Unknown", "FirstSync", "told by the first copy"
    if rule := known.get("deletes"):
        return "False", "LifecycleDeletes", f"lifecycle rule {rule} deletes or archives users' files: remove it"
    if known.get("versioned") is None:
        return "Unknown", "NotTold", "the server or its key does not tell whether the bucket keeps versions"
    if known["versioned"]:
        return "True", "Enabled", "what is changed is kept as an older version"
    s3 = spec.uploads.s3
    where = f" --endpoint-url {s3.endpoint}" if s3.endpoint else ""
    command = f"aws s3api put-bucket-versioning --bucket {s3.bucket} --versioning-configuration Status=Enabled{where}"
    return "False", "NotVersioned", f"a file that is changed is lost as it was: {command}"


def trouble(visit: Visit[BackupPolicySpec]) -> tuple[str, str] | None:
    """Why the policy is not Ready because of users' files, as reason and message."""
    if visit.conditions.status_of(UPLOADS_SYNCED) == "False":
        return "UploadsNotSynced", f"users' files are not copied: see the condition {UPLOADS_SYNCED}"
    if visit.conditions.status_of(UPLOADS_VERSIONED) == "False":
        return "UploadsNotKept", f"users' files can be lost in their bucket: see the condition {UPLOADS_VERSIONED}"
    return None


def advice(spec: BackupPolicySpec, lms: Object | None) -> str:
    """A word on files that nobody copies, for the end of a message."""
    claim = claim_of(lms)
    return f"; users' files in claim {claim} are not copied, spec.uploads would" if claim and not spec.uploads else ""
