"""Specs, Deployments, pods and Jobs as tests need them: small, valid, changed by keyword."""

from datetime import UTC, datetime
from typing import Any

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.overlay import merged
from aada_operator.core.resources import Object

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
UID = "0a1b2c3d-0000-4000-8000-000000000001"

MINIMAL: Object = {
    "components": [{"name": "backend", "role": "api", "image": "registry.example/lms"}],
    "database": {"host": "db", "adminSecretRef": {"name": "db-admin"}},
}


def spec(patch: Object | None = None) -> AadaLmsSpec:
    """The minimal spec with a patch merged into it."""
    return AadaLmsSpec.model_validate(merged(MINIMAL, patch or {}))


def owner(name: str = "aada") -> Object:
    """An AadaLms as the API server gives it, with labels and annotations that no child may inherit."""
    return {
        "apiVersion": "lms.aada.edu/v1alpha1",
        "kind": "AadaLms",
        "metadata": {
            "name": name,
            "namespace": "school",
            "uid": UID,
            "labels": {"argocd.argoproj.io/instance": "lms"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
    }


def deployment(image: str = "registry.example/lms", replicas: int = 2, **status: Any) -> Object:
    """A Deployment of component backend, rolled out completely unless ``status`` says otherwise."""
    done = {
        "observedGeneration": 3,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [progressing("NewReplicaSetAvailable")],
    }
    return {
        "metadata": {"name": "aada-backend", "generation": 3, "labels": {LABEL_COMPONENT: "backend"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {LABEL_LMS: "aada", LABEL_COMPONENT: "backend"}},
            "template": {"spec": {"containers": [{"name": "backend", "image": image}]}},
        },
        "status": {name: value for name, value in (done | status).items() if value},
    }


def progressing(reason: str) -> Object:
    """The Progressing condition of a Deployment."""
    return {"type": "Progressing", "status": "True", "reason": reason}


def pod(*containers: Object, name: str = "aada-backend-1", **changes: Any) -> Object:
    """A pod of component backend with these container statuses."""
    body = {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-01-02T11:00:00Z",
            "labels": {LABEL_LMS: "aada", LABEL_COMPONENT: "backend"},
        },
        "status": {"phase": "Running", "containerStatuses": list(containers)},
    }
    result: Object = merged(body, changes)
    return result


def waiting(reason: str, **changes: Any) -> Object:
    """The status of a container that does not run."""
    return {"name": "backend", "image": "registry.example/lms:v1", "state": {"waiting": {"reason": reason}}} | changes


def ended(code: int, reason: str = "Error") -> Object:
    """A terminated state."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": "canary: what the container said"}}


def running(**changes: Any) -> Object:
    """The status of a container that runs and is ready."""
    return {"name": "backend", "image": "registry.example/lms:v1", "ready": True, "state": {"running": {}}} | changes
