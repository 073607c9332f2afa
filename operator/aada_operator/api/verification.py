"""How backups of a policy are verified, and which of them are to be: the policy asks in its status."""

from typing import Annotated

from pydantic import Field

from aada_operator.api.common import (
    CronExpression,
    Model,
    StatusModel,
    Timestamp,
    named_list,
)
from aada_operator.api.task import SqlCheck


class Verification(Model):
    """When a backup is restored on a scratch server and compared."""

    schedule: Annotated[
        CronExpression | None, Field(description="Five cron fields: the newest backup is verified then.")
    ] = None
    on_full: Annotated[bool, Field(description="Verify every full backup as soon as it is completed.")] = False
    older_sample: Annotated[
        bool, Field(description="By schedule, besides the newest, one older backup that chance chooses.")
    ] = True
    checks: Annotated[
        list[SqlCheck],
        Field(
            max_length=20, json_schema_extra=named_list(), description="What must hold in the restored copy besides."
        ),
    ] = []


class VerificationRequest(StatusModel):
    """Which Backups the schedule wants to be verified: the policy asks here, the Backups act."""

    backup_name: Annotated[str, Field(max_length=63, description="Name of the newest Backup.")]
    older_name: Annotated[str, Field(max_length=63, description="An older one, if there is one.")] = ""
    requested_at: Annotated[Timestamp, Field(description="Slot of the verification schedule.")]


class Suspect(StatusModel):
    """A Backup that counts as verified and shares chunks with one that was found bad since: it is verified again."""

    backup_name: Annotated[str, Field(max_length=63, description="Its name.")]
    since: Annotated[Timestamp, Field(description="When the other one was found bad.")]
