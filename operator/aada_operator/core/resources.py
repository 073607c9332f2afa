"""The kinds of the API server that the operator reads or writes, and how an object names itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aada_operator.api.common import API_VERSION
from aada_operator.api.registry import KINDS
from aada_operator.core.workqueue import Key

Object = dict[str, Any]


@dataclass(frozen=True)
class ApiResource:
    """Where a kind lives: its apiVersion, kind and plural."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of a collection, an object or its subresource."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        parts = [root]
        parts += ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


DEPLOYMENTS = ApiResource("apps/v1", "Deployment", "deployments")
STATEFUL_SETS = ApiResource("apps/v1", "StatefulSet", "statefulsets")
JOBS = ApiResource("batch/v1", "Job", "jobs")
CRON_JOBS = ApiResource("batch/v1", "CronJob", "cronjobs")
LEASES = ApiResource("coordination.k8s.io/v1", "Lease", "leases")
PODS = ApiResource("v1", "Pod", "pods")
SERVICES = ApiResource("v1", "Service", "services")
ENDPOINT_SLICES = ApiResource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
SECRETS = ApiResource("v1", "Secret", "secrets")
CONFIG_MAPS = ApiResource("v1", "ConfigMap", "configmaps")
INGRESSES = ApiResource("networking.k8s.io/v1", "Ingress", "ingresses")
DISRUPTION_BUDGETS = ApiResource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
AUTOSCALERS = ApiResource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
OWN = {kind.resource.kind: ApiResource(API_VERSION, kind.resource.kind, kind.resource.plural) for kind in KINDS}
AADA_LMS, BACKUP_POLICIES, BACKUPS, RESTORES, SECRET_ROTATIONS, SCALING_POLICIES = (
    OWN["AadaLms"],
    OWN["BackupPolicy"],
    OWN["Backup"],
    OWN["Restore"],
    OWN["SecretRotation"],
    OWN["ScalingPolicy"],
)


def key_of(body: Object) -> Key | None:
    """The work queue's key of one of our own objects, None for any other kind."""
    resource = OWN.get(body["kind"]) if body.get("apiVersion") == API_VERSION else None
    if resource is None:
        return None
    metadata = body["metadata"]
    return Key(resource.plural, metadata["namespace"], metadata["name"])


def leaves(body: Mapping[str, Any]) -> bool:
    """Whether an object is to be deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))


def owner_key(body: Object) -> Key | None:
    """The key of the object of ours that controls this child, None when there is none."""
    for reference in body["metadata"].get("ownerReferences", ()):
        if reference.get("controller") and reference.get("apiVersion") == API_VERSION:
            resource = OWN.get(reference["kind"])
            return Key(resource.plural, body["metadata"]["namespace"], reference["name"]) if resource else None
    return None


def owner_reference(owner: Object) -> Object:
    """A controller reference to one of our own objects, for children that may die with it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
