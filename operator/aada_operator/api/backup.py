"""Backup: one backup; made by a policy's schedule, or by hand for a backup now."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from aada_operator.api.common import (
    GROUP,
    Column,
    CommonStatus,
    LocalRef,
    Model,
    ObjectName,
    Resource,
    StatusModel,
    Timestamp,
    rules,
)
from aada_operator.api.location import Location
from aada_operator.api.storage import InBucket

# Slot of the schedule for which a policy made the Backup; one that was made by hand has none.
ANNOTATION_SCHEDULED_FOR = f"{GROUP}/scheduled-for"
# On a Backup that a new policy found in its bucket: when.
ANNOTATION_FOUND = f"{GROUP}/found-at"
# The bad Backup for which a policy made this one.
ANNOTATION_REPLACES = f"{GROUP}/replaces"
# Every new value asks for one verification of the Backup.
ANNOTATION_VERIFY_AT = f"{GROUP}/verify-at"
# ``true`` on a Backup that is much smaller than the one before: so it should be.
ANNOTATION_ACCEPT_SIZE = f"{GROUP}/accept-size"
# Condition of a Backup that is much smaller than the one before.
SUSPICIOUS_SIZE = "SuspiciousSize"
BackupType = Literal["Full", "Incremental", "Imported"]
_IMPORTED = "type: Imported takes importFrom and no policyRef, the other types take policyRef and no importFrom"
PHASES = ("Pending", "Queued", "Running", "Uploading", "Finalizing", "Completed", "Failed", "Deleting")
# Nothing of a Backup runs any more.
ENDED = ("Completed", "Failed", "Deleting")


class ImportSource(InBucket):
    """A completed backup that somebody else made: another cluster, or a policy that is gone."""

    backup: Annotated[ObjectName, Field(description="Name of the backup.")]


class BackupSpec(Model):
    """What to back up; immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.type) && self.type == 'Imported') ? (has(self.importFrom) && !has(self.policyRef)) "
                ": (has(self.policyRef) && !has(self.importFrom))",
                _IMPORTED,
            )
        )
    )

    policy_ref: Annotated[
        LocalRef | None, Field(description="The BackupPolicy that says of what, how and where to.")
    ] = None
    type: Annotated[
        BackupType,
        Field(
            description="Full: everything travels. Incremental: what changed since another backup; whole all the same. "
            "Imported: nothing is backed up, the object stands for a backup that lies in a bucket already."
        ),
    ] = "Full"
    import_from: Annotated[
        ImportSource | None, Field(description="The backup that it stands for, with type Imported; never deleted.")
    ] = None

    @model_validator(mode="after")
    def _one_origin(self) -> "BackupSpec":
        imported = self.type == "Imported"
        if (self.import_from is not None, self.policy_ref is None) != (imported, imported):
            raise ValueError(_IMPORTED)
        return self

    @property
    def policy(self) -> str:
        """Name of the BackupPolicy, empty for an imported one."""
        return self.policy_ref.name if self.policy_ref else ""


class Progress(StatusModel):
    """How far a running Job is."""

    stage: Annotated[str, Field(max_length=32, description="What it does now.")] = ""
    bytes: Annotated[int, Field(ge=0, description="Bytes dealt with so far.")] = 0
    total_bytes: Annotated[int, Field(ge=0, description="Estimate of all bytes; 0: unknown.")] = 0
    tables: Annotated[int, Field(ge=0, description="Tables dealt with so far.")] = 0


class CopyStatus(StatusModel):
    """The copy of this backup in another place."""

    name: Annotated[str, Field(max_length=63, description="Name of the place in the policy's spec.storage.")]
    location: Annotated[Location, Field(description="Where it is.")]
    state: Annotated[str, Field(max_length=16, description="Running, Waiting (for another try) or Completed.")] = ""
    time: Annotated[Timestamp | None, Field(description="When it was completed.")] = None
    bytes: Annotated[int, Field(ge=0, description="Bytes that travelled in the try that completed it.")] = 0
    immutable_until: Annotated[Timestamp | None, Field(description="Until when all of its objects are locked.")] = None
    attempt: Annotated[int, Field(ge=0, description="Number of the try.")] = 0
    next_attempt: Annotated[Timestamp | None, Field(description="When the next try begins.")] = None

    def is_at(self, name: str, location: Location) -> bool:
        """Whether it is the copy in that place, which is still the same bucket and folder."""
        here, there = self.location, location
        same = (here.bucket, here.prefix, here.endpoint) == (there.bucket, there.prefix, there.endpoint)
        return self.name == name and same


class PostgresInfo(StatusModel):
    """The server that was backed up."""

    version: Annotated[str, Field(max_length=32, description="Version.")] = ""
    system_identifier: Annotated[str, Field(max_length=32, description="System identifier of the cluster.")] = ""
    lsn: Annotated[str, Field(max_length=32, description="WAL position when the snapshot was taken.")] = ""


class Tables(StatusModel):
    """What is in it."""

    count: Annotated[int, Field(ge=0, description="Tables.")] = 0
    rows: Annotated[int, Field(ge=0, description="Rows of all tables.")] = 0
    digest: Annotated[str, Field(max_length=128, description="Digest over the contents of all tables.")] = ""


class VerificationStatus(StatusModel):
    """The last verification of this backup."""

    time: Annotated[Timestamp | None, Field(description="When it ended.")] = None
    result: Annotated[str, Field(max_length=32, description="Passed, Failed or Running.")] = ""
    duration: Annotated[str, Field(max_length=32, description="How long it took.")] = ""
    rto: Annotated[str, Field(max_length=32, description="How long the restore alone took.")] = ""
    request: Annotated[str, Field(max_length=64, description="The policy's request that it answers.")] = ""
    verify_at: Annotated[
        str, Field(max_length=64, description="Value of the annotation lms.aada.edu/verify-at that it answers.")
    ] = ""
    attempt: Annotated[int, Field(ge=0, description="Number of the Job, over all verifications.")] = 0
    tries: Annotated[int, Field(ge=0, description="Tries of the present verification.")] = 0
    next_attempt: Annotated[Timestamp | None, Field(description="When the next try begins.")] = None
    checks: Annotated[
        list[Annotated[str, Field(max_length=256)]], Field(max_length=50, description="What was compared and held.")
    ] = []


class FilesCheckpoint(StatusModel):
    """The moment as of which the bucket has every file that the backup's rows name."""

    checkpoint: Annotated[Timestamp, Field(description="That moment, by the bucket's clock.")]
    bucket: Annotated[str, Field(max_length=63, description="Bucket.")]
    prefix: Annotated[str, Field(max_length=1024, description="Folder with the files.")]
    files: Annotated[int, Field(ge=0, description="Files in it at that moment.")]
    bytes: Annotated[int, Field(ge=0, description="Their bytes.")]
    list_key: Annotated[str, Field(max_length=1024, description="Object with the version of each of them.")]
    list_sha256: Annotated[str, Field(max_length=64, description="SHA-256 of that object.")]
    versioned: Annotated[bool | None, Field(description="Whether the bucket kept versions; absent: not told.")] = None


class BackupStatus(CommonStatus):
    """What is true of one backup."""

    lms: Annotated[str, Field(max_length=63, description="The AadaLms that was backed up.")] = ""
    policy: Annotated[str, Field(max_length=63, description="The BackupPolicy.")] = ""
    type: Annotated[str, Field(max_length=16, description="Full or Incremental, as it was taken.")] = ""
    parent: Annotated[str, Field(max_length=63, description="Backup whose chunks it shares; empty: none.")] = ""
    epoch: Annotated[str, Field(max_length=128, description="The full backup that its chunks began with.")] = ""
    method: Annotated[str, Field(max_length=16, description="Method that was used.")] = ""
    scheduled_for: Annotated[Timestamp | None, Field(description="Slot of the schedule; absent: by hand.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When the first try began.")] = None
    completion_time: Annotated[Timestamp | None, Field(description="When the manifest was written.")] = None
    duration: Annotated[str, Field(max_length=32, description="From the first try to the manifest.")] = ""
    attempt: Annotated[int, Field(ge=0, description="Number of the try.")] = 0
    deadline: Annotated[Timestamp | None, Field(description="No new try begins later than this.")] = None
    next_attempt: Annotated[Timestamp | None, Field(description="When the next try begins.")] = None
    progress: Annotated[Progress | None, Field(description="How far it is, while it runs.")] = None
    location: Annotated[Location | None, Field(description="Where it is.")] = None
    size_bytes: Annotated[int, Field(ge=0, description="Size of the database.")] = 0
    stored_bytes: Annotated[int, Field(ge=0, description="Bytes of this backup in the bucket.")] = 0
    new_bytes: Annotated[int, Field(ge=0, description="Bytes that travelled for this backup.")] = 0
    size: Annotated[str, Field(max_length=16, description="Stored bytes for people.")] = ""
    manifest_sha256: Annotated[str, Field(max_length=64, description="SHA-256 of manifest.json.")] = ""
    immutable_until: Annotated[Timestamp | None, Field(description="Until when all of its objects are locked.")] = None
    encryption: Annotated[str, Field(max_length=16, description="Age or None.")] = ""
    postgres: Annotated[PostgresInfo | None, Field(description="The server.")] = None
    schema_revision: Annotated[str, Field(max_length=128, description="Revision of the schema in it.")] = ""
    tables: Annotated[Tables | None, Field(description="What is in it.")] = None
    recoverable_from: Annotated[Timestamp | None, Field(description="The moment whose content it holds.")] = None
    uploads: Annotated[FilesCheckpoint | None, Field(description="Users' files that belong to it.")] = None
    verification: Annotated[VerificationStatus | None, Field(description="The last verification.")] = None
    copies: Annotated[
        list[CopyStatus], Field(max_length=4, description="Its copies in the further places of spec.storage.")
    ] = []


BACKUP = Resource(
    kind="Backup",
    plural="backups",
    short_names=("lmsb",),
    description="One backup of an AADA LMS. Creating one by hand is a backup now; deleting one leaves its data.",
    max_name=52,
    immutable=True,
    columns=(
        Column(name="LMS", path=".status.lms"),
        Column(name="TYPE", path=".status.type"),
        Column(name="METHOD", path=".status.method"),
        Column(name="PHASE", path=".status.phase"),
        Column(name="VERIFIED", path='.status.conditions[?(@.type=="Verified")].status'),
        Column(name="SIZE", path=".status.size"),
        Column(name="TOOK", path=".status.duration"),
        Column(name="COMPLETED", path=".status.completionTime", type="date"),
        Column(name="COPIED", path='.status.conditions[?(@.type=="Replicated")].status', priority=1),
        Column(name="NEW", path=".status.newBytes", type="integer", priority=1),
        Column(name="LSN", path=".status.postgres.lsn", priority=1),
        Column(name="SHA256", path=".status.manifestSha256", priority=1),
        Column(name="POLICY", path=".spec.policyRef.name", priority=1),
        Column(name="REASON", path='.status.conditions[?(@.type=="Completed")].reason', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
