"""What a ScalingPolicy follows: CPU and memory through the autoscaler, and queries that the operator asks."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from aada_operator.api.common import DnsLabel, Duration, Model, SecretKeyRef, rules, seconds

_ONE_METRIC = "metrics: each entry names one of cpu, memory and prometheus"
_LONGEST_TIMEOUT = 20
_LONGEST_AFTER = 3600


def _check_timeout(duration: str) -> str:
    if not 0 < seconds(duration) <= _LONGEST_TIMEOUT:
        raise ValueError(f"{duration!r} is not between 1ms and {_LONGEST_TIMEOUT}s")
    return duration


def _check_after(duration: str) -> str:
    if seconds(duration) > _LONGEST_AFTER:
        raise ValueError(f"{duration!r} is more than an hour")
    return duration


Percent = Annotated[str, StringConstraints(max_length=4, pattern=r"^[1-9][0-9]{0,2}%$")]
Query = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class PrometheusServer(Model):
    """A server that speaks Prometheus' HTTP API."""

    url: Annotated[
        str,
        Field(
            max_length=512,
            # Neither a password nor a query belongs here.
            pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
            description="As http://prometheus.monitoring.svc:9090; what stands before /api/v1/query.",
        ),
    ]
    bearer_token_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="Token that it wants; absent: none is sent.")
    ] = None
    ca_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="CA certificate of the server; absent: the system's.")
    ] = None
    timeout: Annotated[
        Duration, AfterValidator(_check_timeout), Field(description="How long an answer may take; 20s at most.")
    ] = "5s"


class Fallback(Model):
    """What holds while a metric is lost: at least so many pods, and never fewer than are there."""

    replicas: Annotated[int, Field(ge=1, le=100, description="Pods at least; never more than maxReplicas.")]
    after: Annotated[
        Duration, AfterValidator(_check_after), Field(description="How long a metric must be lost; an hour at most.")
    ] = "3m"


class DatabaseBound(Model):
    """When the database is the limit, more pods make it worse."""

    action: Annotated[
        Literal["Hold", "Warn", "Off"],
        Field(
            description="Hold: no pods are added while the database is the limit. Warn: only a condition. "
            "Off: nobody looks."
        ),
    ] = "Hold"
    cores: Annotated[
        int | None, Field(ge=1, le=1024, description="CPU cores of the server; absent: its CPU is not judged by SQL.")
    ] = None
    cpu_query: Annotated[
        Query | None, Field(description="PromQL that gives the server's CPU in use, from 0 to 1; busy from 0.9 on.")
    ] = None


def _check_target(value: float) -> float:
    # Not by the schema: an API server takes a minimum of 0.001 for 0 where the value has no decimal point.
    if value < 0.001:
        raise ValueError("target: must be 0.001 at least, since pods are the value divided by it")
    return value


class PrometheusMetric(Model):
    """A query that gives one number, and how much of it one pod bears."""

    name: Annotated[DnsLabel, Field(max_length=40, description="Name, for conditions and metrics.")]
    query: Annotated[Query, Field(description="PromQL that gives one number, as sum(rate(http_requests_total[2m])).")]
    target: Annotated[
        float, Field(ge=0, le=1e12, description="How much of it one pod bears."), AfterValidator(_check_target)
    ]


class Metric(Model):
    """Average use of all pods that is aimed at, of what they request, or a query; exactly one field."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("[has(self.cpu), has(self.memory), has(self.prometheus)].filter(x, x).size() == 1", _ONE_METRIC)
        )
    )

    cpu: Annotated[Percent | None, Field(description="CPU, as 70%.")] = None
    memory: Annotated[Percent | None, Field(description="Memory, as 80%.")] = None
    prometheus: Annotated[PrometheusMetric | None, Field(description="A query of spec.prometheus.")] = None

    @model_validator(mode="after")
    def _is_one(self) -> "Metric":
        if [self.cpu, self.memory, self.prometheus].count(None) != 2:
            raise ValueError(_ONE_METRIC)
        return self

    @property
    def resource(self) -> str:
        """Name of the resource; empty for a query."""
        return "cpu" if self.cpu else "memory" if self.memory else ""

    @property
    def percent(self) -> int:
        """What is aimed at, of a resource."""
        return int((self.cpu or self.memory or "").rstrip("%"))
