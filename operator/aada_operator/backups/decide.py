"""What one Backup should do now: pure functions of its status, what its Jobs said, and the time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.api.backup import SUSPICIOUS_SIZE, CopyStatus
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.location import Location
from aada_operator.api.manifest import Manifest, lms_folder
from aada_operator.api.task import CHECK_FAILED, CORRUPT, DIGEST_MISMATCH, RESTORE_FAILED, UPLOADS_MISSING, WRONG_KEY
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import condition_of
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobState

# What says that the backup is bad; anything else says that it could not be verified.
FAULTS = frozenset({UPLOADS_MISSING, CHECK_FAILED, CORRUPT, DIGEST_MISMATCH, WRONG_KEY, RESTORE_FAILED})
MOST_TRIES = 5
# Of the backup before: one that is smaller may lack what somebody lost.
LEAST_SHARE = 0.5
LONGEST_WAIT_FOR_FILES = timedelta(minutes=30)
# Stages of the worker that are phases of their own (a dump streams into the bucket); all others are Running.
_PHASES = {"dump": "Uploading", "finalize": "Finalizing"}


def location_of(policy: BackupPolicySpec, namespace: str, backup: str) -> Location:
    """Where a backup of this policy lies."""
    return policy.storage[0].location_of(namespace, policy.lms_ref.name, backup)


def base_of(location: Location, lms: str, backups: Iterable[Object]) -> str | None:
    """Name of the newest backup beside ``location`` whose chunks may be shared, None when there is none.

    Where one backup of an epoch was found to be bad, every chunk of that epoch is suspect.
    """
    siblings = [body for body in backups if _is_beside(location, lms, body.get("status") or {})]
    suspect = {body["status"].get("epoch") for body in siblings if condition_of(body, "Verified") == "False"}
    sound = [body for body in siblings if body["status"].get("epoch") and body["status"]["epoch"] not in suspect]
    newest = max(sound, key=lambda body: str(body["status"].get("recoverableFrom", "")), default=None)
    return str(newest["metadata"]["name"]) if newest else None


def _is_beside(location: Location, lms: str, status: Object) -> bool:
    """Whether a completed backup lies in the same folder of the same bucket."""
    if status.get("phase") != "Completed" or status.get("lms") != lms or "location" not in status:
        return False
    other = Location.model_validate(status["location"])
    same = [(place.bucket, place.endpoint, lms_folder(place.prefix)) for place in (location, other)]
    return same[0] == same[1]


def predecessor(name: str, status: Object, backups: Iterable[Object]) -> Object | None:
    """The backup that a completed one is compared with: of the same policy and LMS, the newest one before it.

    One that is suspicious itself is passed over, or the second after a loss would find all as it was before it.
    """
    moment, of = str(status["recoverableFrom"]), (status.get("policy"), status.get("lms"))
    earlier = [
        body
        for body in backups
        if body["metadata"]["name"] != name and _is_earlier(body.get("status") or {}, moment, of) and _counts(body)
    ]
    return max(earlier, key=lambda body: str(body["status"]["recoverableFrom"]), default=None)


def _is_earlier(status: Object, moment: str, of: tuple[object, object]) -> bool:
    known = status.get("phase") == "Completed" and (status.get("policy"), status.get("lms")) == of
    return bool(known and status.get("recoverableFrom", moment) < moment)


def _counts(body: Object) -> bool:
    return condition_of(body, "Verified") != "False" and condition_of(body, SUSPICIOUS_SIZE) != "True"


def is_suspicious(stored: int, before: int) -> bool:
    """Whether a backup of so many stored bytes is too small to be trusted, by those of the one before.

    What an incremental backup shares is among them, and dead rows and indexes are not.
    """
    return stored < LEAST_SHARE * before


def is_let_go(name: str, policy: Object, status: Object) -> bool:
    """Whether ``policy``, in what it says of its present spec, lets a completed backup go."""
    spec, said = policy.get("spec") or {}, policy.get("status") or {}
    current = said.get("observedGeneration") == (policy.get("metadata") or {}).get("generation")
    rule = spec.get("retention") or {"mode": "Observe"}
    acts = rule.get("mode", "Auto") == "Auto" and not spec.get("suspend")
    busy = (status.get("verification") or {}).get("result") == "Running" or is_copying(status)
    return acts and current and not busy and name in (said.get("retention") or {}).get("expired", ())


def deletes_data(policy: Object) -> bool:
    """Whether a Backup of this policy takes its data with it when it is deleted."""
    return bool((policy.get("spec") or {}).get("deletionPolicy") == "Delete")


def is_own(manifest: Manifest, uid: str, sha256: str, status: Object) -> bool:
    """Whether a manifest in the bucket is the one that this very Backup wrote or took over."""
    return manifest.uid == uid or sha256 == status.get("manifestSha256")


def copies_of(status: Object) -> list[CopyStatus]:
    """The copies that a Backup's status tells of."""
    return [CopyStatus.model_validate(entry) for entry in status.get("copies", ())]


def is_copying(status: Object) -> bool:
    """Whether a Job copies it now."""
    return any(copy.state == "Running" for copy in copies_of(status))


def is_its_turn(name: str, place: str, policy: Object) -> bool:
    """Whether a policy wants this Backup to be copied to its second place now."""
    asked = (policy.get("status") or {}).get("copies") or {}
    return (asked.get("backupName"), asked.get("storage")) == (name, place)


def phase_of(stage: str) -> str:
    """The phase for what the worker says it does."""
    return _PHASES.get(stage, "Running")


def is_of(manifest: Manifest, namespace: str, lms: str, policy: str, backup: str, uid: str) -> bool:
    """Whether a manifest found in the bucket is this Backup's.

    An object that was made again (GitOps, a restored cluster) has another uid and the same names: its backup is taken
    over. Other names mean that the folder belongs to somebody else.
    """
    names = (manifest.namespace, manifest.lms, manifest.policy or policy, manifest.backup)
    return manifest.uid == uid or names == (namespace, lms, policy, backup)


@dataclass(frozen=True)
class VerificationOrder:
    """A verification that is wanted, and what asked for it: ``status.verification`` echoes both."""

    request: str
    verify_at: str


def verification_wanted(
    name: str, known: Object, policy: Object, verify_at: str, *, on_full: bool
) -> VerificationOrder | None:
    """The verification that a completed Backup owes, None for none.

    ``known`` is its ``status.verification``, ``policy`` the policy's status, ``verify_at`` the annotation's value,
    ``on_full`` whether every new backup is verified once.
    """
    request, suspect = policy.get("verificationRequest") or {}, policy.get("suspect") or {}
    answered = VerificationOrder(known.get("request", ""), known.get("verifyAt", ""))
    asked = name in (request.get("backupName"), request.get("olderName"))
    requested = str(request.get("requestedAt", "")) if asked else ""
    order = VerificationOrder(requested or answered.request, verify_at or answered.verify_at)
    doubted = name == suspect.get("backupName") and known.get("time", "") < suspect["since"]
    return order if order != answered or doubted or (on_full and not known.get("attempt")) else None


def awaits_files(policy: BackupPolicySpec, status: Object, now: datetime) -> bool:
    """Whether a verification had better wait for the checkpoint of users' files, which it is to look for."""
    if policy.uploads is None or policy.uploads.check is None or "uploads" in status:
        return False
    return now - from_rfc3339(status["completionTime"]) < LONGEST_WAIT_FOR_FILES


def verification_verdict(state: JobState, tries: int) -> str:
    """What a failed verification Job means: ``Retry``, ``Bad`` (the backup is) or ``Unknown``."""
    if state.retryable and tries < MOST_TRIES:
        return "Retry"
    return "Bad" if state.reason in FAULTS else "Unknown"
