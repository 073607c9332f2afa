"""Restore: brings one backup back, beside the live database, and compares it with its manifest."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aada_operator.api.backup import Progress
from aada_operator.api.common import (
    Column,
    CommonStatus,
    Duration,
    LocalRef,
    LongText,
    Mode,
    Model,
    ObjectName,
    Resource,
    SqlName,
    StatusModel,
    StepStatus,
    Timestamp,
    named_list,
    rules,
)


class Source(Model):
    """Which backup: one by name, or the newest completed one of a policy."""

    backup_name: Annotated[ObjectName | None, Field(description="Name of a completed Backup.")] = None
    policy_ref: Annotated[LocalRef | None, Field(description="A BackupPolicy; with latest: true.")] = None
    latest: Annotated[bool | None, Field(description="The newest completed backup of the policy.")] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "Source":
        by_policy = self.policy_ref is not None and self.latest is True
        half = (self.policy_ref is None) != (self.latest is None)
        if half or (self.backup_name is not None) == by_policy:
            raise ValueError("give either backupName, or policyRef with latest: true")
        return self


class Target(Model):
    """Where to."""

    mode: Annotated[Literal["NewDatabase"], Field(description="NewDatabase: beside the live one.")] = "NewDatabase"
    database: Annotated[
        SqlName | None, Field(description="Name of the new database. Default: <database>_restore_<id>.")
    ] = None


class RestoreSpec(Model):
    """What to bring back, and where to; immutable."""

    source: Annotated[
        Source,
        Field(
            description="Which backup.",
            json_schema_extra=rules(
                (
                    "has(self.backupName) ? (!has(self.policyRef) && !has(self.latest)) "
                    ": (has(self.policyRef) && has(self.latest) && self.latest)",
                    "give either backupName, or policyRef with latest: true",
                )
            ),
        ),
    ]
    target: Annotated[Target, Field(description="Where to.")] = Target()
    mode: Annotated[
        Mode,
        Field(
            description="Auto: acts. Approve: waits until the annotation lms.aada.edu/approve holds the plan's hash. "
            "Observe: writes the plan only."
        ),
    ] = "Auto"
    timeout: Annotated[Duration, Field(description="How long the restore may be tried.")] = "4h"


class Plan(StatusModel):
    """What will be done, before it is done."""

    hash: Annotated[str, Field(max_length=64, description="What an approval must name.")]
    backup: Annotated[str, Field(max_length=63, description="The Backup that is restored.")]
    database: Annotated[str, Field(max_length=63, description="The database that is made.")]
    recovery_point: Annotated[Timestamp | None, Field(description="The moment whose content it will hold.")] = None
    summary: Annotated[LongText, Field(description="The plan in words.")] = ""


class RestoreStatus(CommonStatus):
    """What is true of one restore."""

    mode: Annotated[str, Field(max_length=16, description="Where it goes: NewDatabase.")] = ""
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
    rows: Annotated[int, Field(ge=0, description="Rows restored and compared.")] = 0
    digest: Annotated[str, Field(max_length=128, description="Digest of the restored content.")] = ""


RESTORE = Resource(
    kind="Restore",
    plural="restores",
    short_names=("lmsr",),
    description="Brings a backup back into a new database and proves that its content equals the manifest.",
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
