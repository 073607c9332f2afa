"""Restore: brings one backup back, beside the live database or in its place, and compares it with its manifest."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from aada_operator.api.backup import Progress
from aada_operator.api.common import (
    GROUP,
    Column,
    CommonStatus,
    Duration,
    LongText,
    Mode,
    Model,
    ObjectName,
    Resource,
    StatusModel,
    StepStatus,
    Timestamp,
    named_list,
    rules,
    seconds,
)
from aada_operator.api.restore_places import NO_COPY, NO_NAME, ONE_SOURCE, SERVER, Source, Target
from aada_operator.api.task import SqlCheck

# On an AadaLms or BackupPolicy that a Restore made again: uid of the Restore.
ANNOTATION_RESTORED_BY = f"{GROUP}/restored-by"
KEEP_OLD_FOR = "7d"
_NO_CUTOVER = "target: mode Cutover needs a Backup as source; what is in storage can go to a NewServer or a NewDatabase"
_CUTOVER_ONLY = "target: keepOldFor and safetyBackup are for its mode Cutover"
_TABLES_BESIDE = "tables: the other modes take the whole database; some tables go into a new one (mode NewDatabase)"
# With or without its schema, as the backup's manifest has it; no quotes.
TableName = Annotated[str, Field(min_length=1, max_length=127)]


class RestoreUploads(Model):
    """Users' files as of the backup's checkpoint."""

    claim_name: Annotated[
        ObjectName, Field(description="Existing PersistentVolumeClaim that they go into; nothing there is deleted.")
    ]
    overwrite: Annotated[bool, Field(description="True: files that are there and differ are replaced.")] = False


class RestoredUploads(StatusModel):
    """What became of users' files."""

    attempt: Annotated[int, Field(ge=0, description="Number of the try.")] = 0
    next_attempt: Annotated[Timestamp | None, Field(description="When the next try begins.")] = None
    done: Annotated[bool, Field(description="Whether every file of the checkpoint is in the claim.")] = False
    files: Annotated[int, Field(ge=0, description="Files of the checkpoint.")] = 0
    bytes: Annotated[int, Field(ge=0, description="Their bytes.")] = 0
    copied: Annotated[int, Field(ge=0, description="Files that were brought back by the last try.")] = 0
    kept: Annotated[int, Field(ge=0, description="Files that were there, differ or may differ, and stayed.")] = 0


class RestoreSpec(Model):
    """What to bring back, and where to; immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.target) && has(self.target.mode) && self.target.mode == 'Cutover') "
                "|| (!has(self.keepOldFor) && !has(self.safetyBackup))",
                _CUTOVER_ONLY,
            ),
            (
                "!(has(self.source.storage) && has(self.target) && has(self.target.mode) "
                "&& self.target.mode == 'Cutover')",
                _NO_CUTOVER,
            ),
            (
                "!has(self.tables) || size(self.tables) == 0 || !has(self.target) || !has(self.target.mode) "
                "|| self.target.mode == 'NewDatabase'",
                _TABLES_BESIDE,
            ),
        )
    )

    source: Annotated[
        Source,
        Field(
            description="Which backup.",
            json_schema_extra=rules(
                (
                    "(has(self.backupName) ? 1 : 0) + (has(self.storage) ? 1 : 0) "
                    "+ (has(self.policyRef) || has(self.latest) ? 1 : 0) == 1 "
                    "&& has(self.policyRef) == (has(self.latest) && self.latest)",
                    ONE_SOURCE,
                ),
                ("!(has(self.copy) && has(self.storage))", NO_COPY),
            ),
        ),
    ]
    target: Annotated[
        Target,
        Field(
            description="Where to.",
            json_schema_extra=rules(
                ("!(has(self.mode) && self.mode != 'NewDatabase' && has(self.database))", NO_NAME),
                ("(has(self.mode) && self.mode == 'NewServer') == has(self.server)", SERVER),
            ),
        ),
    ] = Target()
    tables: Annotated[
        list[TableName],
        Field(
            max_length=100,
            description="Only these tables with their rows, as name or schema.name; not for a Cutover. "
            "Empty: everything.",
        ),
    ] = []
    checks: Annotated[
        list[SqlCheck],
        Field(
            max_length=20,
            json_schema_extra=named_list(),
            description="What must hold in the restored database; the application's login asks.",
        ),
    ] = []
    uploads: Annotated[
        RestoreUploads | None, Field(description="Bring users' files back, too, as of the backup's checkpoint.")
    ] = None
    mode: Annotated[
        Mode | None,
        Field(
            description="Auto: acts. Approve: waits until the annotation lms.aada.edu/approve holds the plan's hash. "
            "Observe: writes the plan only. Default: Approve for a Cutover, else Auto."
        ),
    ] = None
    safety_backup: Annotated[
        bool | None,
        Field(description="Whether a Cutover takes a full backup of the live database before. Default: true."),
    ] = None
    keep_old_for: Annotated[
        Duration | None,
        Field(description="How long a Cutover keeps the database that it replaced. Default: 7d."),
    ] = None
    timeout: Annotated[Duration, Field(description="How long the restore may be tried.")] = "4h"

    @model_validator(mode="after")
    def _cutover_only(self) -> "RestoreSpec":
        if not self.is_cutover and (self.safety_backup is not None or self.keep_old_for is not None):
            raise ValueError(_CUTOVER_ONLY)
        if self.is_cutover and self.source.storage:
            raise ValueError(_NO_CUTOVER)
        return self

    @model_validator(mode="after")
    def _tables_beside(self) -> "RestoreSpec":
        if self.target.mode != "NewDatabase" and self.tables:
            raise ValueError(_TABLES_BESIDE)
        return self

    @property
    def is_cutover(self) -> bool:
        """Whether the live database is replaced."""
        return self.target.mode == "Cutover"

    @property
    def is_new_server(self) -> bool:
        """Whether the LMS is made again on another server."""
        return self.target.mode == "NewServer"

    @property
    def asks(self) -> Mode:
        """How it goes on after its plan."""
        return self.mode or ("Approve" if self.is_cutover else "Auto")

    @property
    def takes_safety_backup(self) -> bool:
        return self.is_cutover and self.safety_backup is not False

    @property
    def keeps_old_for(self) -> float:
        """Seconds for which a Cutover keeps what it replaced."""
        return seconds(self.keep_old_for or KEEP_OLD_FOR)


class Plan(StatusModel):
    """What will be done, before it is done."""

    hash: Annotated[str, Field(max_length=64, description="What an approval must name.")]
    backup: Annotated[str, Field(max_length=63, description="The Backup that is restored.")]
    lms: Annotated[str, Field(max_length=63, description="The AadaLms whose server it is.")] = ""
    policy: Annotated[str, Field(max_length=63, description="The BackupPolicy of the backup.")] = ""
    database: Annotated[str, Field(max_length=63, description="The database that is made.")]
    replaces: Annotated[str | None, Field(max_length=63, description="Live database that a Cutover replaces.")] = None
    old_database: Annotated[str | None, Field(max_length=63, description="The name that it gets then.")] = None
    makes: Annotated[
        list[Annotated[str, Field(max_length=330)]] | None,
        Field(max_length=300, description="Objects that are made on the way to a new server, as Kind/name."),
    ] = None
    keeps: Annotated[
        list[Annotated[str, Field(max_length=330)]] | None,
        Field(max_length=300, description="Objects of the backup that are here already, and left as they are."),
    ] = None
    address: Annotated[str | None, Field(max_length=330, description="Server and name of the live database.")] = None
    schema_revision: Annotated[str, Field(max_length=128, description="Revision of the restored schema.")] = ""
    recovery_point: Annotated[Timestamp | None, Field(description="The moment whose content it will hold.")] = None
    summary: Annotated[LongText, Field(description="The plan in words.")] = ""


class RetiredDatabase(StatusModel):
    """A database that nobody needs any more: the one that a Cutover replaced, or what a failed Restore had made."""

    name: Annotated[str, Field(max_length=63, description="Its name now.")]
    drop_after: Annotated[Timestamp, Field(description="When it is dropped; one that is renamed stays.")]
    dropped_at: Annotated[Timestamp | None, Field(description="When it was dropped, or seen to be gone.")] = None
    message: Annotated[str, Field(max_length=1024, description="Why it is still there.")] = ""


class RestoreStatus(CommonStatus):
    """What is true of one restore."""

    mode: Annotated[str, Field(max_length=16, description="Where it goes: NewDatabase, Cutover or NewServer.")] = ""
    plan: Annotated[Plan | None, Field(description="What is done.")] = None
    steps: Annotated[
        list[StepStatus], Field(max_length=20, json_schema_extra=named_list(), description="How far it is.")
    ] = []
    step: Annotated[str, Field(max_length=64, description="The step at hand.")] = ""
    progress: Annotated[Progress | None, Field(description="How far the load is.")] = None
    progress_text: Annotated[str, Field(max_length=32, description="Progress for people.")] = ""
    attempt: Annotated[int, Field(ge=0, description="Number of the try.")] = 0
    next_attempt: Annotated[Timestamp | None, Field(description="When the next try begins.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When it began.")] = None
    completion_time: Annotated[Timestamp | None, Field(description="When it ended.")] = None
    duration: Annotated[str, Field(max_length=32, description="How long it took.")] = ""
    database: Annotated[str, Field(max_length=63, description="The restored database.")] = ""
    tables: Annotated[int, Field(ge=0, description="Tables restored and compared.")] = 0
    rows: Annotated[int, Field(ge=0, description="Rows restored and compared.")] = 0
    digest: Annotated[str, Field(max_length=128, description="Digest of the restored content.")] = ""
    left_out: Annotated[
        str, Field(max_length=1024, description="What of the chosen tables could not come with them: foreign keys.")
    ] = ""
    checks: Annotated[
        list[Annotated[str, Field(max_length=256)]], Field(max_length=50, description="What was compared and held.")
    ] = []
    uploads: Annotated[RestoredUploads | None, Field(description="What became of users' files.")] = None
    safety_backup: Annotated[str, Field(max_length=63, description="The Backup that a Cutover took before.")] = ""
    old_database: Annotated[RetiredDatabase | None, Field(description="What a Cutover replaced.")] = None
    leftover: Annotated[RetiredDatabase | None, Field(description="What a failed Restore had made.")] = None


RESTORE = Resource(
    kind="Restore",
    plural="restores",
    short_names=("lmsr",),
    description="Brings a backup back, beside the live database or in its place, and proves that it is equal.",
    max_name=40,
    immutable=True,
    columns=(
        Column(name="SOURCE", path=".status.plan.backup"),
        Column(name="MODE", path=".status.mode"),
        Column(name="PHASE", path=".status.phase"),
        Column(name="STEP", path=".status.step"),
        Column(name="PROGRESS", path=".status.progressText"),
        Column(name="TOOK", path=".status.duration"),
        Column(name="DATABASE", path=".status.database", priority=1),
        Column(name="STATUS", path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
