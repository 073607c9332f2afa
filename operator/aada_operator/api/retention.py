"""How long the data of backups stay in the bucket."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from aada_operator.api.common import Duration, Model, StatusModel, Timestamp, rules

Count = Annotated[int, Field(ge=1, le=1000)]
_RULES = ("maxAge", "hourly", "daily", "weekly", "monthly", "yearly")
_EMPTY = "say what stays: maxAge, or one of hourly, daily, weekly, monthly, yearly"


class Retention(Model):
    """A backup of the schedule stays while any of these wants it; the newest verified one always does.

    A period's backup is its newest; periods without a backup do not count. Periods are those of spec.timeZone.
    """

    model_config = ConfigDict(json_schema_extra=rules((" || ".join(f"has(self.{name})" for name in _RULES), _EMPTY)))

    mode: Annotated[
        Literal["Observe", "Auto"], Field(description="Observe: status.retention says what would go, nothing goes.")
    ] = "Auto"
    max_age: Annotated[Duration | None, Field(description="All that are not older than this, as 30d.")] = None
    min_count: Annotated[int, Field(ge=1, le=1000, description="The newest good ones, however old.")] = 3
    hourly: Annotated[Count | None, Field(description="One for each of so many hours.")] = None
    daily: Annotated[Count | None, Field(description="One for each of so many days.")] = None
    weekly: Annotated[Count | None, Field(description="One for each of so many ISO weeks.")] = None
    monthly: Annotated[Count | None, Field(description="One for each of so many months.")] = None
    yearly: Annotated[Count | None, Field(description="One for each of so many years.")] = None

    @model_validator(mode="after")
    def _says_what_stays(self) -> "Retention":
        if not any((self.max_age, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)):
            raise ValueError(_EMPTY)
        return self


class RetentionStatus(StatusModel):
    """What the rule says now, and what was done."""

    mode: Annotated[str, Field(max_length=16, description="Mode.")] = ""
    kept: Annotated[int, Field(ge=0, description="Completed backups of the schedule that stay.")] = 0
    expired: Annotated[
        list[Annotated[str, Field(max_length=63)]],
        Field(max_length=20, description="The oldest of those that go; in mode Observe, that would go."),
    ] = []
    locked: Annotated[
        list[Annotated[str, Field(max_length=63)]],
        Field(max_length=20, description="Those whose deletion the bucket refuses: they are kept."),
    ] = []
    deleted: Annotated[int, Field(ge=0, description="Backups that were deleted so far.")] = 0


class CopiesStatus(StatusModel):
    """How far the second place of spec.storage is."""

    storage: Annotated[str, Field(max_length=63, description="Name of the place.")]
    copied: Annotated[int, Field(ge=0, description="Completed backups that are there, too.")] = 0
    behind: Annotated[int, Field(ge=0, description="Completed backups that are not.")] = 0
    backup_name: Annotated[str, Field(max_length=63, description="The Backup whose turn it is: it copies itself.")] = ""
    last_copied: Annotated[Timestamp | None, Field(description="When a copy was last completed.")] = None


class CollectionStatus(StatusModel):
    """The last collection of objects in the bucket that belong to no backup any more."""

    number: Annotated[int, Field(ge=0, description="Number of its Job.")] = 0
    result: Annotated[str, Field(max_length=32, description="Running, Done, Postponed or Failed.")] = ""
    message: Annotated[str, Field(max_length=1024, description="Why it was postponed or failed.")] = ""
    started_at: Annotated[Timestamp | None, Field(description="When it began.")] = None
    finished_at: Annotated[Timestamp | None, Field(description="When it ended.")] = None
    deleted_backups: Annotated[int, Field(ge=0, description="Deleted backups that it knew of.")] = 0
    deleted_objects: Annotated[int, Field(ge=0, description="Objects that it deleted.")] = 0
    deleted_bytes: Annotated[int, Field(ge=0, description="Bytes that it deleted.")] = 0
    orphan_bytes: Annotated[
        int, Field(ge=0, description="Bytes of no backup that are too young to be deleted, or locked.")
    ] = 0
