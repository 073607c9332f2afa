"""A component of an AadaLms: one Deployment of it, its probes and its connections."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from aada_operator.api.common import (
    FREE_FORM,
    DnsLabel,
    EnvName,
    HostName,
    LongText,
    Model,
    ObjectName,
    ShortText,
    named_list,
)

Argument = Annotated[str, StringConstraints(max_length=4096)]
AbsolutePath = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^/")]
FreeForm = Annotated[dict[str, Any], Field(json_schema_extra=FREE_FORM)]


class EnvVar(Model):
    """One environment variable with a plain value or from a Secret or ConfigMap, as in a Pod."""

    name: Annotated[EnvName, Field(description="Name of the variable.")]
    value: Annotated[LongText | None, Field(description="Plain value; never put a secret here.")] = None
    value_from: Annotated[
        dict[str, Any] | None, Field(json_schema_extra=FREE_FORM, description="Source of the value, as in a Pod.")
    ] = None


class HttpProbe(Model):
    """An HTTP GET that must answer 2xx or 3xx."""

    path: Annotated[AbsolutePath, Field(description="Path to GET on the component's port.")] = "/health"


class Probe(Model):
    """How one probe asks: by HTTP, or by opening the port."""

    http: Annotated[HttpProbe | None, Field(description="Ask by HTTP GET; absent: open a TCP connection.")] = None


class Probes(Model):
    """Readiness and liveness of a component.

    Liveness is TCP by default on purpose: an HTTP liveness probe that needs the database makes the kubelet
    kill healthy pods as soon as the pool is empty.
    """

    readiness: Annotated[Probe, Field(description="When the pod may get requests. Default: TCP.")] = Probe()
    liveness: Annotated[Probe, Field(description="When the pod is restarted. Default: TCP.")] = Probe()


class Connections(Model):
    """What one pod may open towards the database; its size lies in the application's code."""

    workers: Annotated[int, Field(ge=1, le=256, description="Worker processes in one pod.")] = 4
    pool_size: Annotated[int, Field(ge=0, le=1000, description="Pooled connections of one worker.")] = 5
    max_overflow: Annotated[int, Field(ge=0, le=1000, description="Further connections of one worker.")] = 10

    def per_pod(self) -> int:
        """Connections that one pod can hold at the most."""
        return self.workers * (self.pool_size + self.max_overflow)


class Component(Model):
    """One Deployment with its Service, and an Ingress when it has a host."""

    name: Annotated[DnsLabel, Field(max_length=20, description="Name; the Deployment is <lms>-<name>.")]
    role: Annotated[
        Literal["api", "web"],
        Field(description="api talks to the database and gets its credentials and secrets; web is static."),
    ]
    image: Annotated[
        ShortText,
        Field(min_length=1, description="Image. Without tag or digest, spec.version is the tag."),
    ]
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Field(description="When the node pulls the image.")
    ] = "IfNotPresent"
    replicas: Annotated[int, Field(ge=0, le=100, description="Number of pods.")] = 2
    port: Annotated[int, Field(ge=1, le=65535, description="Port on which the container listens.")] = 8000
    command: Annotated[
        list[Argument],
        Field(max_length=64, description="Entry point. Needed when the image's own migrates the database at start."),
    ] = []
    args: Annotated[list[Argument], Field(max_length=64, description="Arguments of the entry point.")] = []
    env: Annotated[
        list[EnvVar],
        Field(max_length=200, json_schema_extra=named_list(), description="Environment variables, as in a Pod."),
    ] = []
    env_from: Annotated[
        list[FreeForm], Field(max_length=20, description="Whole ConfigMaps or Secrets as variables, as in a Pod.")
    ] = []
    resources: Annotated[FreeForm, Field(description="Requests and limits, as in a container.")] = {}
    pod_template: Annotated[
        FreeForm, Field(description="Overlay on the pod template, merged last; lists are merged by name.")
    ] = {}
    host: Annotated[HostName | None, Field(description="Host name: makes an Ingress with TLS.")] = None
    tls_secret_name: Annotated[
        ObjectName | None, Field(description="TLS Secret of the Ingress. Default: <lms>-<name>-tls.")
    ] = None
    probes: Annotated[Probes, Field(description="Readiness and liveness.")] = Probes()
    connections: Annotated[
        Connections | None, Field(description="Connections that one pod may open; used for CapacitySafe.")
    ] = None
