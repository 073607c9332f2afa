"""The conditions of a Backup, said in one place; pure."""

from aada_operator.api.backup import ANNOTATION_ACCEPT_SIZE, ANNOTATION_VERIFY_AT, SUSPICIOUS_SIZE, BackupSpec
from aada_operator.api.bundle import BundleSummary
from aada_operator.backups import decide
from aada_operator.core import conditions
from aada_operator.core.clock import from_rfc3339, human_bytes
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object

COMPLETED = "Completed"
FAILED = "Failed"
RETRYING = "Retrying"
ENCRYPTED = "Encrypted"
UPLOADS_CHECKPOINTED = "UploadsCheckpointed"
VERIFIED = "Verified"
REPLICATED = "Replicated"
IMMUTABLE = "Immutable"
BUNDLED = "Bundled"
# Reason of Completed for a backup that another object of this name had taken.
ADOPTED = "Adopted"
KNOWN = (
    conditions.READY,
    conditions.RECONCILING,
    COMPLETED,
    FAILED,
    RETRYING,
    ENCRYPTED,
    VERIFIED,
    BUNDLED,
    REPLICATED,
    IMMUTABLE,
    SUSPICIOUS_SIZE,
)


def under_way(visit: Visit[BackupSpec], phase: str, reason: str, message: str) -> None:
    """Neither good nor bad yet. Unknown, so that the way to the end makes no warnings."""
    visit.status["phase"] = phase
    visit.conditions.set(COMPLETED, "Unknown", reason, message)
    visit.conditions.set(FAILED, False, "UnderWay")
    if visit.conditions.status_of(RETRYING) != "True":
        visit.conditions.set(RETRYING, False, "UnderWay")
    visit.conditions.set(VERIFIED, "Unknown", "NotCompleted")
    visit.conditions.set(REPLICATED, "Unknown", "NotCompleted")
    visit.conditions.set(IMMUTABLE, "Unknown", "NotCompleted")
    visit.conditions.set(conditions.READY, "Unknown", reason, message)
    visit.conditions.set(conditions.RECONCILING, True, reason, message)


def retrying(visit: Visit[BackupSpec], reason: str, message: str) -> None:
    """An attempt failed and another one follows; told until that one, or the last of all, has ended."""
    under_way(visit, "Pending", reason, message)
    visit.conditions.set(RETRYING, True, reason, message)


def encrypted(visit: Visit[BackupSpec], mode: str) -> None:
    """Who can read it."""
    if mode == "Age":
        visit.conditions.set(ENCRYPTED, True, "Age", "readable for the holders of a recipient's private key")
    else:
        visit.conditions.set(ENCRYPTED, False, "None", "readable for whoever can read the bucket")


def completed(visit: Visit[BackupSpec], reason: str, message: str) -> None:
    """It is in the bucket."""
    visit.conditions.set(COMPLETED, True, reason, message)
    visit.conditions.set(FAILED, False, reason)
    visit.conditions.set(RETRYING, False, reason)
    visit.conditions.set(SUSPICIOUS_SIZE, "Unknown", "NotCompared", "its size was not compared when it was taken")
    encrypted(visit, visit.status["encryption"])


def bundled(visit: Visit[BackupSpec], found: BundleSummary | None) -> None:
    """Whether it has all that the LMS needs besides its database."""
    if found is None:
        visit.conditions.set(BUNDLED, "Unknown", "NoBundle", "taken by a version that packed the database alone")
        return
    content = f"{found.objects} custom resources, {found.roles} roles"
    if visit.status["encryption"] == "None":
        message = f"{content}; without encryption no Secret is in it: keep them elsewhere, or add recipients"
        visit.conditions.set(BUNDLED, False, "SecretsWithheld", message)
    elif found.missing:
        missing = ", ".join(found.missing[:5]) + (f" and {len(found.missing) - 5} more" if found.missing[5:] else "")
        message = f"{missing} not in it: make what is missing, or correct who names it, and take another backup"
        visit.conditions.set(BUNDLED, False, "Incomplete", message)
    else:
        visit.conditions.set(BUNDLED, True, "Complete", f"{content}, {found.secrets} Secrets")


def sized(visit: Visit[BackupSpec], before: Object | None) -> None:
    """Whether it is as large as the backup ``before`` lets expect."""
    if before is None:
        visit.conditions.set(SUSPICIOUS_SIZE, "Unknown", "NothingToCompare", "there is no backup before it")
        return
    stored, expected = visit.status["storedBytes"], before["status"].get("storedBytes", 0)
    sizes = f"{human_bytes(stored)}, and {before['metadata']['name']} has {human_bytes(expected)}"
    if not decide.is_suspicious(stored, expected):
        visit.conditions.set(SUSPICIOUS_SIZE, False, "SimilarSize", sizes)
        return
    command = f"kubectl --namespace {visit.namespace} annotate lmsb {visit.name} {ANNOTATION_ACCEPT_SIZE}=true"
    message = f"{sizes}: look whether rows are lost. Earlier backups stay until this size is accepted: {command}"
    visit.conditions.set(SUSPICIOUS_SIZE, True, "LessThanHalf", message)


def size_accepted(visit: Visit[BackupSpec]) -> None:
    """A person has looked: from now on this size is what others are compared with."""
    if (
        visit.conditions.status_of(SUSPICIOUS_SIZE) == "True"
        and visit.annotations.get(ANNOTATION_ACCEPT_SIZE) == "true"
    ):
        visit.conditions.set(SUSPICIOUS_SIZE, False, "SizeAccepted", f"{ANNOTATION_ACCEPT_SIZE} says so")


def failed(visit: Visit[BackupSpec], reason: str, message: str) -> None:
    """It will never be; the phase is final."""
    visit.status["phase"] = "Failed"
    for field in ("progress", "nextAttempt"):
        visit.status.pop(field, None)
    visit.conditions.set(COMPLETED, False, reason, message)
    visit.conditions.set(FAILED, True, reason, message)
    visit.conditions.set(RETRYING, False, reason)
    visit.conditions.set(VERIFIED, "Unknown", "NotCompleted")
    visit.conditions.set(REPLICATED, "Unknown", "NotCompleted")
    visit.conditions.set(IMMUTABLE, "Unknown", "NotCompleted")
    visit.conditions.set(conditions.READY, False, reason, message)
    visit.conditions.set(conditions.RECONCILING, False, reason)


def expired(visit: Visit[BackupSpec], message: str) -> None:
    """It is being deleted, as it should be: nobody needs a warning."""
    visit.conditions.set(COMPLETED, "Unknown", "Expired", message)
    visit.conditions.set(conditions.READY, "Unknown", "Expired", message)
    visit.conditions.set(conditions.RECONCILING, True, "Expired", message)


def not_asked(visit: Visit[BackupSpec]) -> None:
    """Nothing asks for a verification; what an earlier one found stays."""
    if visit.conditions.reason_of(VERIFIED) in ("", "Pending", "NotCompleted"):
        message = f"nothing asked for a verification yet; the annotation {ANNOTATION_VERIFY_AT} does"
        visit.conditions.set(VERIFIED, "Unknown", "NotRequested", message)


def not_verified(visit: Visit[BackupSpec], reason: str, message: str) -> None:
    """A verification is wanted and has not told yet; what an earlier one found stays until then."""
    if visit.conditions.status_of(VERIFIED) not in ("True", "False"):
        visit.conditions.set(VERIFIED, "Unknown", reason, message)


def checkpointed(visit: Visit[BackupSpec], known: Object) -> None:
    """Users' files that the backup's rows name are in their bucket."""
    content = f"{known['files']} files as of {known['checkpoint']}"
    if known.get("versioned"):
        visit.conditions.set(UPLOADS_CHECKPOINTED, True, "CheckpointTaken", content)
    else:
        message = f"{content}; what is changed later is lost as it was: see UploadsVersioned of the policy"
        visit.conditions.set(UPLOADS_CHECKPOINTED, False, "NotVersioned", message)


def settled(visit: Visit[BackupSpec]) -> None:
    """Ready of a completed Backup: it is there, and no verification found it bad."""
    bad = visit.conditions.status_of(VERIFIED) == "False"
    busy = (visit.status.get("verification") or {}).get("result") == "Running"
    reason = "VerificationFailed" if bad else "BackupCompleted"
    message = "the backup did not pass its verification: see the condition Verified" if bad else ""
    visit.conditions.set(conditions.READY, not bad, reason, message)
    visit.conditions.set(conditions.RECONCILING, busy, "Verifying" if busy else "Settled")


def no_copy(visit: Visit[BackupSpec]) -> None:
    """Nobody wants a copy; one that is there stays."""
    if visit.conditions.status_of(REPLICATED) != "True":
        message = "the policy names one place: a second entry in spec.storage holds a copy of each backup"
        visit.conditions.set(REPLICATED, "Unknown", "NoCopy", message)


def awaits_copy(visit: Visit[BackupSpec], place: str) -> None:
    """Its turn will come; why an earlier try failed stays until then."""
    if visit.conditions.status_of(REPLICATED) != "False":
        visit.conditions.set(REPLICATED, "Unknown", "AwaitingCopy", f"waits for its turn to be copied to {place}")


def copying(visit: Visit[BackupSpec], message: str) -> None:
    """A Job copies; why an earlier try failed stays until it ends."""
    if visit.conditions.status_of(REPLICATED) != "False":
        visit.conditions.set(REPLICATED, "Unknown", "Copying", message)


def copied(visit: Visit[BackupSpec], message: str) -> None:
    """The same backup is in two places."""
    visit.conditions.set(REPLICATED, True, "Copied", message)


def not_copied(visit: Visit[BackupSpec], reason: str, message: str) -> None:
    """The copy is missing for now; the backup itself is none the worse."""
    visit.conditions.set(REPLICATED, False, reason, message)


def immutable(visit: Visit[BackupSpec]) -> None:
    """Whether all of its objects are locked now, the shared ones too."""
    until = visit.status.get("immutableUntil")
    if until is None:
        message = "whoever has the bucket's keys can delete it: objectLock in spec.storage prevents that"
        visit.conditions.set(IMMUTABLE, "Unknown", "NotLocked", message)
    elif visit.now < from_rfc3339(until):
        visit.conditions.set(IMMUTABLE, True, "Locked", f"none of its objects can be deleted before {until}")
    else:
        visit.conditions.set(IMMUTABLE, False, "LockEnded", f"its objects were locked until {until}")
