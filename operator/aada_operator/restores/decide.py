"""What one Restore should do now: pure functions of its spec, the backups, what its Jobs said, and the time."""

from collections.abc import Iterable
from dataclasses import dataclass

from aada_operator.api.backup import SUSPICIOUS_SIZE, BackupStatus, ImportSource, Progress
from aada_operator.api.common import ANNOTATION_ON_BEHALF_OF
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.api.manifest import Manifest
from aada_operator.api.task import CORRUPT, INSUFFICIENT_PRIVILEGE, TARGET_EXISTS, VERSION_UNSUPPORTED, RestoreResult
from aada_operator.core.backups import policy_name
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import condition_of
from aada_operator.core.database import CutoverNames, CutoverServer, RestoreTarget, complete_mark
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import Object

LONGEST_DATABASE_NAME = 63
UID_PART = 8
_MOST_CHECKS, _LONGEST_CHECK = 50, 256


@dataclass(frozen=True)
class Candidate:
    """A Backup as far as a restore needs to know it; ``copy`` is the place that is read instead of the backup's own.

    ``imported`` says how it is read where no policy does.
    """

    name: str
    policy: str
    status: BackupStatus
    verified: str
    copy: str = ""
    imported: ImportSource | None = None
    suspicious: bool = False

    @classmethod
    def of(cls, body: Object) -> "Candidate":
        """A Backup that was read."""
        status = BackupStatus.model_validate(body.get("status") or {})
        verified = next((c.status for c in status.conditions if c.type == "Verified"), "Unknown")
        source = body["spec"].get("importFrom")
        imported = ImportSource.model_validate(source) if source else None
        small = condition_of(body, SUSPICIOUS_SIZE) == "True"
        return cls(body["metadata"]["name"], policy_name(body), status, verified, imported=imported, suspicious=small)

    @property
    def completed(self) -> bool:
        return self.status.phase == "Completed"

    @property
    def copied_to(self) -> dict[str, Location]:
        """Where its completed copies lie, by the names of their places."""
        return {copy.name: copy.location for copy in self.status.copies if copy.state == "Completed"}


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


def demand_copy(candidate: Candidate, place: str) -> Location:
    """Where its copy in a place lies, which is the same backup, byte by byte.

    Raises:
        Waiting: CopyNotFound.
    """
    if place in candidate.copied_to:
        return candidate.copied_to[place]
    there = ", ".join(candidate.copied_to) or "no place"
    raise Waiting("CopyNotFound", f"Backup {candidate.name} has no copy in {place}: it has one in {there}", 30.0)


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
    return wanted or _derived(live, "restore", uid)


def old_name(live: str, uid: str) -> str:
    """The name of the live database once it is replaced: ``<live>_before_<id>`` within PostgreSQL's 63 bytes."""
    return _derived(live, "before", uid)


def _derived(live: str, word: str, uid: str) -> str:
    suffix = f"_{word}_{uid.replace('-', '')[:UID_PART]}"
    return live[: LONGEST_DATABASE_NAME - len(suffix)] + suffix


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


def demand_cutover(server: CutoverServer, names: CutoverNames) -> None:
    """Prove that the databases can change their names.

    Raises:
        Stalled: TargetExists.
        Waiting: InsufficientPrivilege, DatabaseHeld.
    """
    if names.old in server.comments:
        raise Stalled(TARGET_EXISTS, f"database {names.old} exists, the live one cannot get its name: rename it")
    if not server.may_rename:
        message = f"role {server.username} needs CREATEDB and to be a member of the owner of {names.live}: GRANT that"
        raise Waiting(INSUFFICIENT_PRIVILEGE, message, 30.0)
    if not server.may_terminate:
        message = f"role {server.username} may not end sessions: GRANT pg_signal_backend TO {server.username}"
        raise Waiting(INSUFFICIENT_PRIVILEGE, message, 30.0)
    if server.holds:
        held = f"{', '.join(server.holds[:3])} holds database {names.live}"
        raise Waiting("DatabaseHeld", f"{held}: it would stay with the old one; remove it", 30.0)


def is_safety_backup(backup: Object, uid: str) -> bool:
    """Whether a Backup was taken for the Restore of this uid."""
    return bool((backup["metadata"].get("annotations") or {}).get(ANNOTATION_ON_BEHALF_OF) == uid)


def is_safe(backup: Object | None, uid: str) -> bool:
    """Whether the backup of what is about to be replaced is completed.

    Raises:
        Stalled: SafetyBackupFailed; NameTaken, it is not of the Restore of this uid.
    """
    if backup is None:
        return False
    name, status = backup["metadata"]["name"], backup.get("status") or {}
    if not is_safety_backup(backup, uid):
        raise Stalled("NameTaken", f"Backup {name} exists and is not of this Restore: give the Restore another name")
    if status.get("phase") == "Failed":
        fix = "put right what its condition Failed says, or set safetyBackup: false, in a new Restore"
        raise Stalled("SafetyBackupFailed", f"Backup {name} of the live database failed, nothing was replaced: {fix}")
    return bool(status.get("phase") == "Completed")


def demand_restored(server: CutoverServer, names: CutoverNames, uid: str) -> None:
    """Prove that the restored database is there, and compared.

    Raises:
        Stalled: RestoredDatabaseGone.
    """
    if server.comments.get(names.restored) != complete_mark(uid):
        message = f"database {names.restored} is gone or was changed; nothing was replaced: create a Restore"
        raise Stalled("RestoredDatabaseGone", message)


def demand_revision(found: str | None, wanted: str) -> None:
    """Prove that the application finds the schema that was backed up.

    Raises:
        Stalled: SmokeFailed.
    """
    if (found or "") != wanted:
        seen = found or "no revision"
        message = f"the application sees {seen} in the restored database, not {wanted}; nothing was replaced"
        raise Stalled("SmokeFailed", f"{message}: restore another backup")


def address(database: Database) -> str:
    """Server and name of a database."""
    return f"{database.host}:{database.port}/{database.name}"


def safety_backup_name(restore: str) -> str:
    """The Backup that a Cutover takes before."""
    return f"{restore}-safety"


def loaded_fields(result: RestoreResult) -> Object:
    """What the status tells of a load that ended well."""
    checks = [f"{check.name}: {check.message}" if check.message else check.name for check in result.checks]
    told: Object = {"leftOut": result.left_out} if result.left_out else {}
    told |= {"checks": [check[:_LONGEST_CHECK] for check in checks[:_MOST_CHECKS]]} if checks else {}
    return {"tables": result.tables, "rows": result.rows, "digest": result.digest} | told


def progress_text(progress: Progress) -> str:
    """Progress for the printer column: ``63%`` of what is loaded, else the stage."""
    if not progress.total_bytes:
        return progress.stage
    return f"{min(100, 100 * progress.bytes // progress.total_bytes)}%"


def finished(steps: list[Object], moment: str) -> list[Object]:
    """The steps of an operation that has ended well: the one at hand is done, too."""
    return [step if step.get("finishedAt") else step | {"finishedAt": moment} for step in steps]
