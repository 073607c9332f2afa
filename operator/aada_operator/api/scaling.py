"""ScalingPolicy: as many pods of a component as are needed, and never more than the database bears."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from aada_operator.api.calendar import Calendar
from aada_operator.api.common import (
    GROUP,
    Column,
    CommonStatus,
    DnsLabel,
    Duration,
    LocalRef,
    Model,
    Resource,
    StatusModel,
    Timestamp,
    rules,
    seconds,
)
from aada_operator.api.scaling_metrics import DatabaseBound, Fallback, Metric, PrometheusMetric, PrometheusServer

# On a Deployment whose size is a ScalingPolicy's: the component's `replicas` at that time. Kept when the policy goes,
# so that the size stays until somebody writes another number there.
ANNOTATION_SCALED_FROM = f"{GROUP}/scaled-from"
# Names a foreign HorizontalPodAutoscaler that may be deleted.
ANNOTATION_TAKE_OVER = f"{GROUP}/take-over"
_OTHER_TARGET = "target: cannot be changed, since the size of the former one would be nobody's: make another policy"
_BOUNDS = "maxReplicas: cannot be less than minReplicas"
_NO_SERVER = "metrics: a query needs prometheus.url, the server that it is asked of"
_FALLBACK = "fallback: replicas cannot be more than maxReplicas"
_NO_CPU_SERVER = "databaseBound: cpuQuery needs prometheus.url, the server that it is asked of"
_QUERIES = "(has(self.metrics) && self.metrics.exists(m, has(m.prometheus)))"
_FLOOR = "calendar: minReplicas of an entry cannot be more than maxReplicas"
# What the API server allows.
_LONGEST_WINDOW = 3600


def _check_window(duration: str) -> str:
    if seconds(duration) > _LONGEST_WINDOW:
        raise ValueError(f"{duration!r} is more than an hour")
    return duration


class Target(Model):
    """The Deployment that is scaled."""

    lms_ref: Annotated[LocalRef, Field(description="The AadaLms.")]
    component: Annotated[DnsLabel, Field(max_length=20, description="Component of it.")]


class Behavior(Model):
    """How fast it follows."""

    scale_down_stabilization: Annotated[
        Duration,
        AfterValidator(_check_window),
        Field(description="Pods go only when fewer were enough for so long; an hour at most."),
    ] = "300s"


class ScalingPolicySpec(Model):
    """How many pods a component has."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.minReplicas <= self.maxReplicas", _BOUNDS),
            ("!has(self.fallback) || self.fallback.replicas <= self.maxReplicas", _FALLBACK),
            ("!(has(self.databaseBound) && has(self.databaseBound.cpuQuery)) || has(self.prometheus)", _NO_CPU_SERVER),
            (f"!{_QUERIES} || has(self.prometheus)", _NO_SERVER),
        )
    )

    target: Annotated[
        Target,
        Field(
            description="What is scaled; cannot be changed.",
            json_schema_extra=rules(("self == oldSelf", _OTHER_TARGET)),
        ),
    ]
    min_replicas: Annotated[int, Field(ge=1, le=100, description="Pods at least, whatever the calendar says.")] = 2
    max_replicas: Annotated[int, Field(ge=1, le=100, description="Pods at most, whatever the calendar says.")] = 5
    metrics: Annotated[
        list[Metric],
        Field(
            default_factory=lambda: [Metric(cpu="70%")],
            min_length=1,
            max_length=8,
            description="What is followed; the one that asks for most counts. Default: cpu 70%.",
        ),
    ]
    prometheus: Annotated[PrometheusServer | None, Field(description="The server that queries are asked of.")] = None
    behavior: Annotated[Behavior, Field(description="How fast it follows.")] = Behavior()
    fallback: Annotated[
        Fallback | None, Field(description="While a metric is lost; absent: the size stays as it is.")
    ] = None
    calendar: Annotated[Calendar | None, Field(description="When more pods are there at least.")] = None
    connection_budget: Annotated[
        Literal["Enforce", "Warn", "Off"],
        Field(
            description="Enforce: no more pods than the database has connections for. Warn: only a condition. "
            "Off: nothing is asked of the database."
        ),
    ] = "Enforce"
    reserved_connections: Annotated[
        int,
        Field(
            ge=3,
            le=100_000,
            description="Connections for all others on that server: operator 3, backup 2, migration 2, exporter 2, "
            "and whatever other applications hold.",
        ),
    ] = 9
    database_bound: Annotated[
        DatabaseBound, Field(description="What holds while the database is the limit, and how its CPU is known.")
    ] = DatabaseBound()
    suspend: Annotated[
        bool, Field(description="True: nothing is scaled; the size stays, and you may change it with kubectl scale.")
    ] = False

    @model_validator(mode="after")
    def _fits(self) -> "ScalingPolicySpec":
        if self.min_replicas > self.max_replicas:
            raise ValueError(_BOUNDS)
        if self.calendar and self.calendar.highest_floor() > self.max_replicas:
            raise ValueError(_FLOOR)
        if self.fallback and self.fallback.replicas > self.max_replicas:
            raise ValueError(_FALLBACK)
        return self

    @model_validator(mode="after")
    def _metrics_fit(self) -> "ScalingPolicySpec":
        resources, queries = [metric.resource for metric in self.resource_metrics()], self.queries()
        if len(set(resources)) != len(resources):
            raise ValueError("metrics: each resource once")
        if len({query.name for query in queries}) != len(queries):
            raise ValueError("metrics: names of queries must differ")
        if queries and self.prometheus is None:
            raise ValueError(_NO_SERVER)
        if self.database_bound.cpu_query and self.prometheus is None:
            raise ValueError(_NO_CPU_SERVER)
        return self

    def resource_metrics(self) -> list[Metric]:
        """The metrics that the autoscaler follows."""
        return [metric for metric in self.metrics if metric.resource]

    def queries(self) -> list[PrometheusMetric]:
        """The metrics that the operator follows."""
        return [metric.prometheus for metric in self.metrics if metric.prometheus]


class BudgetStatus(StatusModel):
    """How many pods the database bears."""

    per_pod: Annotated[int, Field(ge=0, description="Connections that one pod can hold.")] = 0
    max_connections: Annotated[int, Field(ge=0, description="Connections that the server has.")] = 0
    reserved: Annotated[int, Field(ge=0, description="Of these: for superusers and for others.")] = 0
    available: Annotated[int, Field(ge=0, description="What is left for this component.")] = 0
    max_pods: Annotated[int, Field(ge=0, description="Pods that this is enough for, in a rollout too.")] = 0
    limiting_term: Annotated[str, Field(max_length=32, description="What makes it so few.")] = ""
    connection_limit: Annotated[
        int | None, Field(ge=0, description="CONNECTION LIMIT of the application's roles, where one is set.")
    ] = None


class TransitionStatus(StatusModel):
    """The next time at which the calendar changes something."""

    time: Annotated[Timestamp, Field(description="When.")]
    min: Annotated[int, Field(ge=0, description="Pods at least from then on.")] = 0
    because: Annotated[str, Field(max_length=128, description="What applies from then on.")] = ""


class MetricStatus(StatusModel):
    """What a query asks for."""

    name: Annotated[str, Field(max_length=40, description="Name of the metric.")]
    pods: Annotated[int | None, Field(ge=0, description="Pods that it asks for; absent while it is lost.")] = None
    reason: Annotated[str, Field(max_length=64, description="Followed, or why it is lost.")] = ""


class CorrectionStatus(StatusModel):
    """A size that somebody set by hand and that was put back."""

    time: Annotated[Timestamp, Field(description="When it was put back.")]
    by: Annotated[str, Field(max_length=128, description="Program that had set it.")] = ""
    was: Annotated[int, Field(ge=0, description="Pods that it had set.")] = 0
    now: Annotated[int, Field(ge=0, description="Pods that it was put back to.")] = 0


class ScalingPolicyStatus(CommonStatus):
    """How many pods there are, and what limits them."""

    min: Annotated[int, Field(ge=0, description="Pods at least, now.")] = 0
    max: Annotated[int, Field(ge=0, description="Pods at most, now.")] = 0
    desired: Annotated[int, Field(ge=0, description="Pods that should be there.")] = 0
    current: Annotated[int, Field(ge=0, description="Pods that are there.")] = 0
    limited_by: Annotated[str, Field(max_length=32, description="What sets the upper bound.")] = ""
    budget: Annotated[BudgetStatus | None, Field(description="Connections of the database.")] = None
    next_transition: Annotated[TransitionStatus | None, Field(description="What the calendar changes next.")] = None
    metrics: Annotated[list[MetricStatus], Field(max_length=8, description="Queries that are followed.")] = []
    last_correction: Annotated[CorrectionStatus | None, Field(description="The last change by hand put back.")] = None


SCALING_POLICY = Resource(
    kind="ScalingPolicy",
    plural="scalingpolicies",
    short_names=("scp",),
    description="How many pods a component of an AadaLms has: by load and calendar, within what the database bears.",
    max_name=40,
    columns=(
        Column(name="LMS", path=".spec.target.lmsRef.name"),
        Column(name="TARGET", path=".spec.target.component"),
        Column(name="MIN", path=".status.min", type="integer"),
        Column(name="MAX", path=".status.max", type="integer"),
        Column(name="DESIRED", path=".status.desired", type="integer"),
        Column(name="CURRENT", path=".status.current", type="integer"),
        Column(name="LIMITED-BY", path=".status.limitedBy", description="What sets the upper bound."),
        Column(name="NEXT", path=".status.nextTransition.time", description="When the calendar changes something."),
        Column(name="READY", path='.status.conditions[?(@.type=="Ready")].status', priority=1),
        Column(name="STATUS", path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
