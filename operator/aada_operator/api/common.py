"""Types that all kinds share: names, durations, references, conditions and the base classes of the models."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "lms.aada.edu"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_OWNER = f"{GROUP}/owner"
LABEL_LMS = f"{GROUP}/lms"
LABEL_POLICY = f"{GROUP}/policy"
LABEL_COMPONENT = f"{GROUP}/component"
ANNOTATION_APPROVE = f"{GROUP}/approve"
ANNOTATION_RESET_AT = f"{GROUP}/reset-at"
ANNOTATION_RECONCILE_AT = f"{GROUP}/reconcile-at"
ANNOTATION_APPLIED = f"{GROUP}/applied-hash"
# The uid of an object whose operation this one is a part of.
ANNOTATION_ON_BEHALF_OF = f"{GROUP}/on-behalf-of"
# On a Secret that is rotated, and on the pods that were started with it, one annotation per SecretRotation, by its
# name: the revision of the content.
REVISION_PREFIX = f"rotation.{GROUP}/"
# On a Deployment of pods that stand in for a component's own: the users are sent to them.
ANNOTATION_SERVES = f"{GROUP}/serves"

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SIZE = re.compile(r"^([1-9][0-9]{0,5})(Ki|Mi|Gi)$")
_SIZE_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_DURATION = re.compile(r"^([0-9]{1,6})(ms|s|m|h|d)$")

DnsLabel = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
HostName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$")
]
SqlName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_$-]*$")]
EnvName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SecretKeyName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


def _check_cron(expression: str) -> str:
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is not a cron expression ({error}); example: 0 2 * * *") from error
    return expression


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; example: Europe/Berlin") from error
    return name


CronExpression = Annotated[
    str, StringConstraints(min_length=9, max_length=100, pattern=r"^\S+( \S+){4}$"), AfterValidator(_check_cron)
]
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$"),
    AfterValidator(_check_time_zone),
]
Duration = Annotated[str, StringConstraints(max_length=9, pattern=_DURATION.pattern)]
Size = Annotated[str, StringConstraints(max_length=8, pattern=_SIZE.pattern)]
Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
ShortText = Annotated[str, StringConstraints(max_length=256)]
LongText = Annotated[str, StringConstraints(max_length=4096)]
Mode = Literal["Observe", "Approve", "Auto"]
SslMode = Literal["disable", "require", "verify-ca", "verify-full"]


def seconds(duration: str) -> float:
    """Seconds of a duration like ``90s``, ``4h`` or ``30d``.

    Raises:
        ValueError: the text is no duration.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration such as 90s, 15m, 4h or 30d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()


def byte_count(size: str) -> int:
    """Bytes of a size like ``512Ki`` or ``100Mi``.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"{size!r} is not a size such as 512Ki, 100Mi or 1Gi")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def stand_in(component: str) -> str:
    """The component label of pods that stand in for a component's own; no component can be called so."""
    return f"{component}.green"


# Models are built at their first use: a process uses few of them, and building all of them takes half a second.
class Model(BaseModel):
    """Base of everything that a user writes: camelCase in YAML, frozen, unknown fields named as errors."""

    model_config = ConfigDict(
        defer_build=True, alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid"
    )


class StatusModel(BaseModel):
    """Base of everything that the operator writes: what a newer version wrote is ignored, never an error."""

    model_config = ConfigDict(
        defer_build=True, alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class LocalRef(Model):
    """A reference to an object in the same namespace."""

    name: Annotated[ObjectName, Field(description="Name of the object, in the namespace of this resource.")]


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: Annotated[ObjectName, Field(description="Name of the Secret.")]
    key: Annotated[SecretKeyName, Field(description="Key inside the Secret.")]


class Condition(StatusModel):
    """One condition as in ``metav1.Condition``."""

    type: Annotated[str, Field(max_length=64, description="Type of the condition, in CamelCase.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether the condition holds.")]
    reason: Annotated[str, Field(max_length=128, description="Why, as one CamelCase word for programs.")]
    message: Annotated[str, Field(max_length=2048, description="Why, for people, with the way out.")] = ""
    last_transition_time: Annotated[Timestamp, Field(description="When the status last changed.")]
    observed_generation: Annotated[int, Field(ge=0, description="Generation of the spec that this speaks of.")] = 0


Conditions = Annotated[
    list[Condition],
    Field(
        default_factory=list,
        max_length=32,
        description="What holds and what does not, newest knowledge of the operator.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class StepStatus(StatusModel):
    """Progress of one step of an operation."""

    name: Annotated[str, Field(max_length=64, description="Name of the step.")]
    started_at: Annotated[Timestamp | None, Field(description="When the step was first begun.")] = None
    finished_at: Annotated[Timestamp | None, Field(description="When the step was seen to be done.")] = None
    message: Annotated[str, Field(max_length=1024, description="What the step did or waits for.")] = ""


class CommonStatus(StatusModel):
    """What every status holds."""

    observed_generation: Annotated[int, Field(ge=0, description="Generation of the spec last acted upon.")] = 0
    phase: Annotated[str, Field(max_length=32, description="One word for the printer column; read conditions.")] = ""
    conditions: Conditions


class Resource(BaseModel):
    """What identifies a kind to the API server and to ``kubectl``."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    columns: tuple["Column", ...]
    max_name: int
    immutable: bool = False


class Column(BaseModel):
    """One printer column: ``priority`` 1 shows with ``-o wide`` only."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


def named_list(key: str = "name") -> dict[str, Any]:
    """Schema extension of a list that is a map by ``key``: two appliers can own different items."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Schema extension with CEL rules, each given as (rule, message)."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


FREE_FORM: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
