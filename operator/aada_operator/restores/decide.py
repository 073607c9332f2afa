"""What one Restore should do now: pure functions of its spec, the backups, what its Jobs said, and the time."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from aada_operator.api.backup import BackupStatus, Location, Progress
from aada_operator.api.lms import Database
from aada_operator.api.manifest import Manifest
from aada_operator.api.task import CORRUPT, INSUFFICIENT_PRIVILEGE, TARGET_EXISTS, VERSION_UNSUPPORTED
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.database import RestoreTarget
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import Object

LONGEST_DATABASE_NAME = 63
UID_PART = 8
HASH_LENGTH = 16
_VERIFIED = {"True": "verified", "False": "its verification FAILED"}


@dataclass(frozen=True)
class Candidate:
    """A Backup as far as a restore needs to know it."""

    name: str
    policy: str
    status: BackupStatus
    verified: str

    @classmethod
    def of(cls, body: Object) -> "Candidate":
        """A Backup that was read."""
        status = BackupStatus.model_validate(body.get("status") or {})
        verified = next((c.status for c in status.conditions if c.type == "Verified"), "Unknown")
        return cls(body["metadata"]["name"], body["spec"]["policyRef"]["name"], status, verified)

    @property
    def completed(self) -> bool:
        return self.status.phase == "Completed"


def demand_completed(candidate: Candidate) -> Location:
    """Where a completed backup lies.

    Raises:
        Waiting: it is not completed yet.
        Stalled: it never will be.
    """
    if candidate.completed and candidate.status.location:
        return candidate.status.location
    if candidate.status.phase == "Failed":
        raise Stalled("BackupFailed", f"Backup {candidate.name} failed: restore another one")
    raise Waiting("BackupNotCompleted", f"Backup {candidate.name} is not completed yet")


def newest(candidates: Iterable[Candidate], policy: str) -> Candidate:
    """The newest completed backup of a policy, verified or not: the plan says which.

    Raises:
        Waiting: there is none.
    """
    completed = [c for c in candidates if c.policy == policy and c.completed and c.status.completion_time]
    if not completed:
        raise Waiting("NoCompletedBackup", f"BackupPolicy {policy} has no completed Backup yet", 30.0)
    return max(completed, key=lambda c: (from_rfc3339(c.status.completion_time or ""), c.name))


def database_name(live: str, uid: str, wanted: str | None) -> str:
    """The database to make: as wanted, else ``<live>_restore_<id>`` within PostgreSQL's 63 bytes."""
    if wanted:
        return wanted
    suffix = f"_restore_{uid.replace('-', '')[:UID_PART]}"
    return live[: LONGEST_DATABASE_NAME - len(suffix)] + suffix


def plan(candidate: Candidate, database: Database, name: str) -> Object:
    """``status.plan``: what an approval approves. Its hash changes with the backup's content, name and server."""
    status = candidate.status
    facts = [candidate.name, status.manifest_sha256, name, database.host, database.port]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:HASH_LENGTH]
    planned = {
        "hash": digest,
        "backup": candidate.name,
        "database": name,
        "summary": _summary(candidate, database, name),
    }
    return planned | ({"recoveryPoint": status.recoverable_from} if status.recoverable_from else {})


def _summary(candidate: Candidate, database: Database, name: str) -> str:
    status = candidate.status
    tables = f"{status.tables.count} tables, {status.tables.rows} rows, " if status.tables else ""
    revision = f", schema revision {status.schema_revision}" if status.schema_revision else ""
    verified = _VERIFIED.get(candidate.verified, "not verified")
    return (
        f"Backup {candidate.name} ({tables}{status.size}{revision}; {verified}), the content as of "
        f"{status.recoverable_from or 'its snapshot'}, goes into the new database {name} on "
        f"{database.host}:{database.port}; database {database.name} is not touched"
    )


def demand_manifest(manifest: Manifest | None, sha256: str, candidate: Candidate) -> Manifest:
    """What lies in the bucket, if it is the backup of the plan.

    Raises:
        Stalled: Corrupt, it is gone or another one.
    """
    if manifest is None:
        raise Stalled(CORRUPT, f"the manifest of Backup {candidate.name} is gone from the bucket: use another backup")
    if sha256 != candidate.status.manifest_sha256:
        message = (
            f"the manifest of Backup {candidate.name} is not what was written: its hash differs; use another backup"
        )
        raise Stalled(CORRUPT, message)
    return manifest


def demand_target(target: RestoreTarget, manifest: Manifest, name: str, uid: str) -> None:
    """Prove that a server can take the backup.

    Raises:
        Stalled: TargetExists, VersionUnsupported.
        Waiting: InsufficientPrivilege.
    """
    major = manifest.database.server_major
    if target.is_taken(uid):
        raise Stalled(TARGET_EXISTS, f"database {name} exists and is not of this Restore: choose another name")
    if target.major < major:
        raise Stalled(VERSION_UNSUPPORTED, f"the backup is of PostgreSQL {major}, the server is {target.major}")
    if not target.may_create:
        raise Waiting(INSUFFICIENT_PRIVILEGE, f"role {target.username} may not make databases: give it CREATEDB", 30.0)


def progress_text(progress: Progress) -> str:
    """Progress for the printer column: ``63%`` of what is loaded, else the stage."""
    if not progress.total_bytes:
        return progress.stage
    return f"{min(100, 100 * progress.bytes // progress.total_bytes)}%"


def finished(steps: list[Object], moment: str) -> list[Object]:
    """The steps of an operation that has ended well: the one at hand is done, too."""
    return [step if step.get("finishedAt") else step | {"finishedAt": moment} for step in steps]
