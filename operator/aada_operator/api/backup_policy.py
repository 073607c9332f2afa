"""BackupPolicy: when an LMS is backed up, where to, and how each backup is proved."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from aada_operator.api.common import (
    Column,
    CommonStatus,
    CronExpression,
    Duration,
    LocalRef,
    Model,
    Resource,
    SecretKeyRef,
    Size,
    StatusModel,
    Timestamp,
    TimeZone,
    byte_count,
    named_list,
    rules,
)
from aada_operator.api.component import FreeForm
from aada_operator.api.retention import CollectionStatus, CopiesStatus, Retention, RetentionStatus
from aada_operator.api.storage import StorageEntry
from aada_operator.api.uploads import Uploads, UploadsStatus
from aada_operator.api.verification import Suspect, Verification, VerificationRequest

Recipient = Annotated[str, StringConstraints(min_length=62, max_length=62, pattern=r"^age1[a-z0-9]{58}$")]
_TWO_PLACES = (
    "storage: the two places must be two buckets, under two names; a copy beside its original protects from nothing"
)
_TWO_PLACES_RULE = (
    "size(self) < 2 || self[0].s3.bucket != self[1].s3.bucket || "
    "(has(self[0].s3.endpoint) ? self[0].s3.endpoint : '') != (has(self[1].s3.endpoint) ? self[1].s3.endpoint : '')"
)


class Schedule(Model):
    """When something is due."""

    schedule: Annotated[CronExpression, Field(description="Five cron fields, read in spec.timeZone.")]


class Encryption(Model):
    """Who can read the backups. Backing up needs no private key."""

    mode: Annotated[
        Literal["Age", "None"], Field(description="Age: encrypted for the recipients. None must be said.")
    ] = "Age"
    recipients: Annotated[
        list[Recipient],
        Field(
            max_length=10, description="age X25519 public keys (aada-operator keygen); keep one private key offline."
        ),
    ] = []
    verification_identity_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(description="Private key of one recipient, for verification and restores in this cluster."),
    ] = None

    @model_validator(mode="after")
    def _recipients_fit(self) -> "Encryption":
        if (self.mode == "Age") != bool(self.recipients):
            raise ValueError("mode Age needs at least one recipient, mode None takes none")
        return self


class Compression(Model):
    """How the stream is compressed."""

    algorithm: Annotated[Literal["zstd"], Field(description="Algorithm.")] = "zstd"
    level: Annotated[int, Field(ge=1, le=19, description="Level: 1 is fastest, 19 smallest.")] = 1


class Objectives(Model):
    """What the school can bear."""

    rpo: Annotated[Duration | None, Field(description="Most data, in time, that may be lost.")] = None
    rto: Annotated[Duration | None, Field(description="Longest time that a restore may take.")] = None


class HistoryLimit(Model):
    """How many finished Backup objects of the schedule stay; this deletes no data."""

    successful: Annotated[
        int, Field(ge=1, le=1000, description="Completed ones. With spec.retention they stay as long as their data.")
    ] = 30
    failed: Annotated[int, Field(ge=0, le=1000, description="Failed ones.")] = 10


class JobTemplate(Model):
    """How the Jobs run."""

    resources: Annotated[FreeForm, Field(description="Requests and limits of the worker container.")] = {}
    scratch_size: Annotated[
        str,
        Field(
            max_length=16,
            pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)$",
            description="Limit of the scratch space for verification (emptyDir).",
        ),
    ] = "10Gi"
    pod_template: Annotated[FreeForm, Field(description="Overlay on the pod template, merged last.")] = {}


class BackupPolicySpec(Model):
    """What should be true of the backups of one LMS."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.incremental) || has(self.full)",
                "full: incremental needs it, for a fresh start now and then, so that no damage lives on",
            )
        )
    )

    lms_ref: Annotated[LocalRef, Field(description="The AadaLms to back up.")]
    method: Annotated[
        Literal["auto", "logical"], Field(description="How: logical dumps one snapshot; auto chooses and says why.")
    ] = "auto"
    full: Annotated[Schedule | None, Field(description="When a full backup is due; absent: by hand only.")] = None
    incremental: Annotated[
        Schedule | None,
        Field(description="When a backup of what changed is due; at the same instant full wins. Needs full."),
    ] = None
    time_zone: Annotated[TimeZone, Field(description="Time zone of all schedules here, as Europe/Berlin.")] = "Etc/UTC"
    starting_deadline: Annotated[
        Duration, Field(description="How long after its slot a backup may still start or be tried again.")
    ] = "1h"
    immediate: Annotated[
        bool, Field(description="With a schedule: take the first backup at once, without waiting for a slot.")
    ] = True
    max_snapshot_age: Annotated[
        Duration, Field(description="Longest time that a dump may hold its snapshot on the server.")
    ] = "1h"
    max_rate: Annotated[
        Size | None,
        Field(description="Most that a backup, and a copy, uploads in a second, as 100Mi; absent: as much as it can."),
    ] = None
    storage: Annotated[
        list[StorageEntry],
        Field(
            min_length=1,
            max_length=2,
            json_schema_extra=named_list() | rules((_TWO_PLACES_RULE, _TWO_PLACES)),
            description="Where backups are kept. The first place takes them, the second holds a copy of each.",
        ),
    ]
    encryption: Annotated[
        Encryption,
        Field(
            description="Who can read the backups.",
            json_schema_extra=rules(
                (
                    "self.mode == 'None' ? (!has(self.recipients) || size(self.recipients) == 0) "
                    ": (has(self.recipients) && size(self.recipients) > 0)",
                    "mode Age needs at least one recipient, mode None takes none",
                )
            ),
        ),
    ]
    compression: Annotated[Compression, Field(description="Compression.")] = Compression()
    objectives: Annotated[Objectives, Field(description="Objectives for loss and recovery time.")] = Objectives()
    verification: Annotated[Verification, Field(description="How backups are proved.")] = Verification()
    retention: Annotated[
        Retention | None,
        Field(description="Which backups of the schedule stay; the others' data is deleted. Absent: all stay."),
    ] = None
    uploads: Annotated[Uploads | None, Field(description="Where users' files are copied to. Absent: they are not.")] = (
        None
    )
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Field(description="What becomes of the data of a deleted Backup. Retain: it stays in the bucket."),
    ] = "Retain"
    history_limit: Annotated[HistoryLimit, Field(description="How many finished Backup objects stay.")] = HistoryLimit()
    job: Annotated[JobTemplate, Field(description="How the Jobs run.")] = JobTemplate()
    suspend: Annotated[bool, Field(description="True: nothing new is started.")] = False

    @model_validator(mode="after")
    def _two_places(self) -> "BackupPolicySpec":
        names = {place.name for place in self.storage}
        buckets = {(place.s3.bucket, place.s3.endpoint) for place in self.storage}
        if len(names) < len(self.storage) or len(buckets) < len(self.storage):
            raise ValueError(_TWO_PLACES)
        return self

    @property
    def most_bytes_a_second(self) -> int | None:
        """spec.maxRate as a number."""
        return byte_count(self.max_rate) if self.max_rate else None

    @property
    def copy_storage(self) -> StorageEntry | None:
        """The place that holds a copy of each backup, None without one."""
        return self.storage[1] if len(self.storage) > 1 else None

    @model_validator(mode="after")
    def _incremental_needs_full(self) -> "BackupPolicySpec":
        if self.incremental and not self.full:
            raise ValueError("full: incremental needs it, for a fresh start now and then, so that no damage lives on")
        return self


class Inventory(StatusModel):
    """Backups that the bucket had when the policy was new: their objects were made again."""

    taken_at: Annotated[Timestamp, Field(description="When the bucket was looked through.")]
    found: Annotated[int, Field(ge=0, description="Completed backups of this policy.")] = 0


class BackupPolicyStatus(CommonStatus):
    """What is true of the backups of one LMS."""

    method: Annotated[str, Field(max_length=32, description="Method in use.")] = ""
    last_slot: Annotated[Timestamp | None, Field(description="Newest slot of the schedule that was dealt with.")] = None
    schedule: Annotated[str, Field(max_length=512, description="The schedule whose slots count.")] = ""
    schedule_since: Annotated[Timestamp | None, Field(description="Since when: older slots nobody missed.")] = None
    missed_slots: Annotated[int, Field(ge=0, description="Slots that passed without a backup of their own.")] = 0
    missed_at: Annotated[
        Timestamp | None, Field(description="When a missed slot was noticed; gone once a backup was completed since.")
    ] = None
    last_full: Annotated[Timestamp | None, Field(description="Completion of the newest full backup.")] = None
    last_incremental: Annotated[Timestamp | None, Field(description="Completion of the newest incremental backup.")] = (
        None
    )
    last_full_name: Annotated[str, Field(max_length=63, description="Name of that backup.")] = ""
    next: Annotated[Timestamp | None, Field(description="Next slot.")] = None
    recovery_point: Annotated[
        Timestamp | None, Field(description="The newest moment whose content can be brought back.")
    ] = None
    rpo: Annotated[str, Field(max_length=32, description="Age of the newest recovery point, now.")] = ""
    rpo_met: Annotated[str, Field(max_length=8, description="Whether that is within the objective.")] = ""
    rpo_worst_case: Annotated[
        str, Field(max_length=32, description="Most that may be lost by schedule: a gap and the time of a backup.")
    ] = ""
    rto_measured: Annotated[
        str, Field(max_length=32, description="Restore time that the last verification measured.")
    ] = ""
    last_verified: Annotated[Timestamp | None, Field(description="Last verification that passed.")] = None
    suspect: Annotated[Suspect | None, Field(description="A verified Backup that is doubted; one at a time.")] = None
    verification_request: Annotated[
        VerificationRequest | None, Field(description="Backup that is to be verified by schedule.")
    ] = None
    inventory: Annotated[Inventory | None, Field(description="What a new policy found in its bucket.")] = None
    retention: Annotated[RetentionStatus | None, Field(description="What spec.retention says now.")] = None
    uploads: Annotated[UploadsStatus | None, Field(description="How far the copies of users' files are.")] = None
    collection: Annotated[
        CollectionStatus | None, Field(description="The last collection of objects that belong to no backup.")
    ] = None
    copies: Annotated[CopiesStatus | None, Field(description="How far the second place is.")] = None
    copy_collection: Annotated[
        CollectionStatus | None, Field(description="The last collection in the second place.")
    ] = None


BACKUP_POLICY = Resource(
    kind="BackupPolicy",
    plural="backuppolicies",
    short_names=("bp",),
    description="When an AADA LMS is backed up, where to, and how each backup is proved.",
    max_name=30,
    columns=(
        Column(name="LMS", path=".spec.lmsRef.name"),
        Column(name="SUSPENDED", path=".spec.suspend", type="boolean"),
        Column(name="LAST-FULL", path=".status.lastFull", type="date", description="Age of the newest full backup."),
        Column(name="LAST-INCR", path=".status.lastIncremental", type="date"),
        Column(name="NEXT", path=".status.next"),
        Column(name="RPO", path=".status.rpo", description="Age of the newest recovery point."),
        Column(name="RPO-OK", path=".status.rpoMet"),
        Column(name="LAST-VERIFIED", path=".status.lastVerified", type="date"),
        Column(name="RTO", path=".status.rtoMeasured", priority=1),
        Column(name="STATUS", path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
