"""What a policy sees: its LMS, its Backups, its bucket; plain values, read off the objects."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from aada_operator.api.backup import (
    ANNOTATION_FOUND,
    ANNOTATION_REPLACES,
    ANNOTATION_SCHEDULED_FOR,
    ENDED,
    SUSPICIOUS_SIZE,
    BackupStatus,
    CopyStatus,
    VerificationStatus,
)
from aada_operator.api.location import Location
from aada_operator.api.ownership import Claim, FolderOwner
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import Truth
from aada_operator.core.resources import Object


@dataclass(frozen=True)
class KnownBackup:
    """One Backup of the policy, made by its schedule (``scheduled_for``) or by hand."""

    body: Object

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @cached_property
    def status(self) -> BackupStatus:
        return BackupStatus.model_validate(self.body.get("status") or {})

    @property
    def created(self) -> datetime:
        return from_rfc3339(self.body["metadata"]["creationTimestamp"])

    @property
    def scheduled_for(self) -> datetime | None:
        annotations = self.body["metadata"].get("annotations") or {}
        return moment_or_none(annotations.get(ANNOTATION_SCHEDULED_FOR))

    @property
    def completed(self) -> bool:
        return self.status.phase == "Completed"

    @property
    def full(self) -> bool:
        """Whether everything travelled for it."""
        return self.status.type != "Incremental"

    @property
    def failed(self) -> bool:
        return self.status.phase == "Failed"

    @property
    def active(self) -> bool:
        return self.status.phase not in ENDED

    @property
    def completion(self) -> datetime:
        """When it was completed; when it was made, for one that was not."""
        return moment_or_none(self.status.completion_time) or self.created

    @property
    def recovery_point(self) -> datetime:
        """The moment whose content it holds."""
        return moment_or_none(self.status.recoverable_from) or self.completion

    def copied_to(self, name: str, location: Location) -> CopyStatus:
        """What is known of its copy in a place."""
        known = next((copy for copy in self.status.copies if copy.is_at(name, location)), None)
        return known or CopyStatus(name=name, location=location)

    def is_locked(self, now: datetime) -> bool:
        """Whether its objects cannot be deleted yet."""
        until = moment_or_none(self.status.immutable_until)
        return until is not None and now < until

    @property
    def copying(self) -> bool:
        """Whether a Job copies it now."""
        return self.completed and any(copy.state == "Running" for copy in self.status.copies)

    @property
    def verification(self) -> VerificationStatus:
        return self.status.verification or VerificationStatus()

    @property
    def verified(self) -> str:
        """Status of its condition Verified."""
        return next((c.status for c in self.status.conditions if c.type == "Verified"), "Unknown")

    @property
    def verdict(self) -> str:
        """Reason of its condition Verified."""
        return next((c.reason for c in self.status.conditions if c.type == "Verified"), "")

    @property
    def suspicious(self) -> bool:
        """Whether it is much smaller than the one before, and nobody said that it should be."""
        return any(c.type == SUSPICIOUS_SIZE and c.status == "True" for c in self.status.conditions)

    @property
    def found(self) -> bool:
        """Whether its object was made for a backup that the bucket had."""
        return ANNOTATION_FOUND in (self.body["metadata"].get("annotations") or {})

    @property
    def awaits_checkpoint(self) -> bool:
        """Whether it is completed, was taken here, and nobody has said that users' files of it are in their bucket."""
        return self.completed and not self.found and self.status.location is not None and self.status.uploads is None

    @property
    def replaces(self) -> str:
        """The bad backup in whose place it was taken; empty: none."""
        return str((self.body["metadata"].get("annotations") or {}).get(ANNOTATION_REPLACES, ""))

    @property
    def verified_at(self) -> datetime | None:
        """When its last verification told good from bad, None when none did."""
        decided = self.verified in ("True", "False")
        return moment_or_none(self.verification.time) if decided else None


@dataclass(frozen=True)
class Reachability:
    """What a probe of the bucket found, as in a condition; ``deletes``: it may delete.

    ``rules`` is a condition, too: whether the bucket's own rules leave backups alone.
    """

    ok: bool
    reason: str
    message: str
    deletes: bool = True
    owner: FolderOwner | None = None
    rules: tuple[Truth, str, str] = ("Unknown", "Probing", "no answer yet")


@dataclass(frozen=True)
class World:
    """What was observed: the LMS (None: there is none), the policy's Backups, its bucket (None: not known yet).

    ``copy`` is the bucket of the second place; None, too, when there is no such place.
    """

    lms: Object | None
    backups: list[KnownBackup]
    storage: Reachability | None
    copy: Reachability | None = None
    claim: Claim | None = None

    @property
    def taken_by(self) -> FolderOwner | None:
        """Who else the folder in the bucket is of, so that nothing is written there."""
        owner = self.storage.owner if self.storage else None
        return owner if owner and self.claim and not self.claim.accepts(owner) else None


@dataclass(frozen=True)
class Hold:
    """Why nothing is started now; ``healthy``: it will be, and nobody needs to care."""

    reason: str
    message: str
    healthy: bool = False


def moment_or_none(text: str | None) -> datetime | None:
    """The moment in a timestamp; None when there is none, or nobody can read it."""
    try:
        return from_rfc3339(text) if text else None
    except ValueError:
        return None
