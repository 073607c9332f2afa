"""When an AadaLms may be disturbed."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from aada_operator.api.common import CronExpression, Model, TimeZone

# From a minute up to 99 days: a window of nothing never opens, and one of years is no window.
WindowLength = Annotated[
    str, StringConstraints(max_length=6, pattern=r"^([1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d)$")
]


class MaintenanceWindow(Model):
    """A time that comes again and again."""

    kind: Annotated[
        Literal["Allow", "Deny"],
        Field(description="Allow: work may begin in it. Deny: not, even inside an Allow."),
    ] = "Allow"
    schedule: Annotated[CronExpression, Field(description="When it opens: five cron fields, read in timeZone.")]
    duration: Annotated[
        WindowLength, Field(description="How long it is open: 90m, 2h or 14d of real time, also when clocks change.")
    ]
    time_zone: Annotated[TimeZone, Field(description="Time zone of the schedule.")] = "Etc/UTC"
