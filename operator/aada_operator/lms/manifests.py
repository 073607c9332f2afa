"""The children of an AadaLms as plain dicts: Deployment, Service, Ingress and PodDisruptionBudget per component."""

from collections.abc import Mapping

from aada_operator.api.component import Component, Probe
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.scaling import ANNOTATION_SCALED_FROM
from aada_operator.core import capacity
from aada_operator.core.overlay import merged
from aada_operator.core.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    INGRESSES,
    SERVICES,
    ApiResource,
    Object,
    owner_reference,
)
from aada_operator.lms import pod
from aada_operator.lms.sizes import Size

# A pod that ends first serves on while the news spreads that it is no longer an endpoint, then it finishes requests.
# Five seconds were too few on a server whose processors were all busy: kube-proxy heard of it later than that.
PRE_STOP_SECONDS = 10
DRAIN_SECONDS = 30
GRACE_SECONDS = PRE_STOP_SECONDS + DRAIN_SECONDS + 5
PROGRESS_SECONDS = 300


def children(
    owner: Object,
    spec: AadaLmsSpec,
    component: Component,
    stamp: Mapping[str, str],
    size: Size | None = None,
    *,
    stood_in: bool = False,
) -> list[tuple[ApiResource, Object]]:
    """All children of a component, Deployment first; ``stamp`` are annotations of its pods that tell of Secrets.

    Without a ``size`` it is the component's; ``stood_in``: users are sent to pods that stand in for its own.
    """
    size = size or Size(component.replicas)
    wanted = [
        (DEPLOYMENTS, deployment(owner, spec, component, stamp, size)),
        (SERVICES, service(owner, component, stood_in=stood_in)),
    ]
    if component.host:
        wanted.append((INGRESSES, ingress(owner, component)))
    if component.replicas > 1 or size.scaled_from:
        wanted.append((DISRUPTION_BUDGETS, disruption_budget(owner, component, stood_in=stood_in)))
    return wanted


def deployment(
    owner: Object, spec: AadaLmsSpec, component: Component, stamp: Mapping[str, str], size: Size | None = None
) -> Object:
    """Rolls without a failed request: a new pod is ready before an old one leaves, and that one drains first."""
    size = size or Size(component.replicas)
    lms = owner["metadata"]["name"]
    serving = pod.container(spec, lms, component) | _serving(component)
    pod_spec = pod.pod_spec(spec, component, [serving]) | {"terminationGracePeriodSeconds": GRACE_SECONDS}
    template = {
        "metadata": {"labels": pod.component_labels(lms, component), "annotations": dict(stamp)},
        "spec": pod_spec,
    }
    template = merged(template, component.pod_template)
    paced = _pace(component, template, size)
    body = _child(owner, component, DEPLOYMENTS)
    if size.scaled_from:
        body["metadata"]["annotations"] = {ANNOTATION_SCALED_FROM: size.scaled_from}
    numbers = {"replicas": size.replicas, "minReadySeconds": paced or None}
    return body | {
        "spec": {name: number for name, number in numbers.items() if number is not None}
        | {
            "selector": {"matchLabels": pod.selector(lms, component)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": PROGRESS_SECONDS + paced,
            "template": template,
        }
    }


def _pace(component: Component, template: Object, size: Size) -> int:
    """Seconds that a new pod is ready before an old one leaves.

    A rollout of no more pods than may leave together needs none, nor do pods without a database: these roll sooner.
    """
    many = size.scaled_from or component.replicas > capacity.LEAVING
    return capacity.pace(template.get("spec") or {}) if component.role == "api" and many else 0


def _serving(component: Component) -> Object:
    """What a container that serves has and one that migrates has not."""
    start = {"command": component.command, "args": component.args}
    return {name: value for name, value in start.items() if value} | {
        "ports": [{"name": "http", "containerPort": component.port, "protocol": "TCP"}],
        # Until the port is open nothing else is asked: a slow start is not a reason to be killed.
        "startupProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 180},
        # Patient: a pod that is slow under load and is taken out leaves its load to the others, and they follow.
        "readinessProbe": _probe(component.probes.readiness) | {"periodSeconds": 5, "failureThreshold": 5},
        "livenessProbe": _probe(component.probes.liveness) | {"periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
    }


def _probe(probe: Probe) -> Object:
    if probe.http is None:
        return {"tcpSocket": {"port": "http"}, "timeoutSeconds": 5}
    return {"httpGet": {"path": probe.http.path, "port": "http"}, "timeoutSeconds": 5}


def service(owner: Object, component: Component, *, stood_in: bool = False) -> Object:
    """The component's stable address."""
    port = {"name": "http", "port": component.port, "targetPort": "http", "protocol": "TCP"}
    selector = pod.served_by(owner["metadata"]["name"], component, stood_in=stood_in)
    return _child(owner, component, SERVICES) | {"spec": {"type": "ClusterIP", "selector": selector, "ports": [port]}}


def ingress(owner: Object, component: Component) -> Object:
    """Publishes a component that has a host, with TLS."""
    name = pod.child_name(owner["metadata"]["name"], component)
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    return _child(owner, component, INGRESSES) | {
        "spec": {
            "tls": [{"hosts": [component.host], "secretName": component.tls_secret_name or f"{name}-tls"}],
            "rules": [
                {
                    "host": component.host,
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                }
            ],
        }
    }


def disruption_budget(owner: Object, component: Component, *, stood_in: bool = False) -> Object:
    """A drain of nodes takes one pod that serves at a time; pods that are broken anyway never block it."""
    selector = pod.served_by(owner["metadata"]["name"], component, stood_in=stood_in)
    return _child(owner, component, DISRUPTION_BUDGETS) | {
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector},
        }
    }


def _child(owner: Object, component: Component, resource: ApiResource) -> Object:
    lms = owner["metadata"]["name"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": pod.child_name(lms, component),
            "namespace": owner["metadata"]["namespace"],
            "labels": pod.component_labels(lms, component),
            "ownerReferences": [owner_reference(owner)],
        },
    }
