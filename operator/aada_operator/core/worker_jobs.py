"""Jobs that run the operator's own image: how they are built, and what their pods say.

A Job has no API token and no way to the cluster: it gets its task in an environment variable, Secrets as files, and
tells its result in the termination message. One Job is one attempt (``backoffLimit: 0``): when to try again is the
reconciler's decision, so that it can be seen, explained and bounded.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from aada_operator.api.common import LABEL_OWNER
from aada_operator.core.overlay import merged
from aada_operator.core.resources import Object, owner_reference

UID = 10001
SECRETS_ROOT = "/run/aada"
SCRATCH = "/scratch"
CONTAINER = "worker"


@dataclass(frozen=True)
class SecretMount:
    """A Secret as files under ``/run/aada/<folder>``; ``items`` maps keys to file names, empty means all keys.

    ``optional``: the pod starts without it, too.
    """

    folder: str
    secret: str
    items: dict[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True)
class WorkerImage:
    """Image of the Jobs and when nodes pull it."""

    name: str
    pull_policy: str = "IfNotPresent"


@dataclass(frozen=True)
class JobRequest:
    """All that makes one worker Job; ``deadline`` in seconds, ``scratch`` as a quantity or None for no scratch."""

    name: str
    owner: Object
    command: Literal["backup", "verify", "restore", "collect", "copy", "uploads", "uploads-restore"]
    task: dict[str, Any]
    mounts: tuple[SecretMount, ...]
    deadline: int
    labels: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    scratch: str | None = None
    pod_template: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobState:
    """What is known of an attempt; ``result`` is the worker's own word, empty when it left none."""

    phase: Literal["Running", "Succeeded", "Failed"]
    pod: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    message: str = ""
    retryable: bool = True


def build(request: JobRequest, image: WorkerImage) -> Object:
    """The Job as a manifest; passes Pod Security ``restricted``."""
    labels = {LABEL_OWNER: request.owner["kind"].lower()} | request.labels
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(request, image)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": request.name,
            "namespace": request.owner["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(request.owner)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": request.deadline,
            "template": merged(template, request.pod_template),
        },
    }


def _pod_spec(request: JobRequest, image: WorkerImage) -> Object:
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - an emptyDir of this pod alone
    if request.scratch:
        volumes.append({"name": "scratch", "emptyDir": {"sizeLimit": request.scratch}})
        mounts.append({"name": "scratch", "mountPath": SCRATCH})
    for mount in request.mounts:
        volumes.append({"name": mount.folder, "secret": _secret_volume(mount)})
        mounts.append({"name": mount.folder, "mountPath": f"{SECRETS_ROOT}/{mount.folder}", "readOnly": True})
    container = {
        "name": CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "args": ["worker", request.command],
        "env": [{"name": "AADA_TASK", "value": json.dumps(request.task, sort_keys=True)}],
        "resources": request.resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }


def _secret_volume(mount: SecretMount) -> Object:
    source: Object = {"secretName": mount.secret, "defaultMode": 0o440}
    if mount.optional:
        source["optional"] = True
    if mount.items:
        source["items"] = [{"key": key, "path": path} for key, path in sorted(mount.items.items())]
    return source


def state(job: Object, pods: list[Object]) -> JobState:
    """What a Job and its pods say; pods of other Jobs must have been left out."""
    pod = max(pods, key=lambda p: p["metadata"].get("creationTimestamp", ""), default=None)
    name = pod["metadata"]["name"] if pod else ""
    conditions = {c["type"]: c for c in (job.get("status") or {}).get("conditions", []) if c["status"] == "True"}
    said = _termination(pod)
    if "Complete" in conditions and said.get("ok"):
        return JobState("Succeeded", name, result=said.get("result") or {})
    if "Complete" in conditions or "Failed" in conditions:
        return _failed(name, said, conditions.get("Failed", {}))
    trouble = _start_trouble(pod)
    return JobState("Running", name, reason=trouble[0], message=trouble[1])


def _failed(pod: str, said: dict[str, Any], condition: Object) -> JobState:
    if said.get("reason"):
        retryable = bool(said.get("retryable", True))
        return JobState("Failed", pod, reason=said["reason"], message=said.get("message", ""), retryable=retryable)
    if condition.get("reason") == "DeadlineExceeded":
        return JobState("Failed", pod, reason="DeadlineExceeded", message="the Job ran longer than it may")
    return JobState(
        "Failed", pod, reason="WorkerLost", message="the worker ended without a word: killed, evicted or out of memory"
    )


def _termination(pod: Object | None) -> dict[str, Any]:
    for status in ((pod or {}).get("status") or {}).get("containerStatuses", []):
        terminated = (status.get("state") or {}).get("terminated") or {}
        try:
            said = json.loads(terminated.get("message") or "{}")
        except ValueError:
            continue
        if status["name"] == CONTAINER and isinstance(said, dict):
            return said
    return {}


def _start_trouble(pod: Object | None) -> tuple[str, str]:
    """Why a pod does not start: its image, a missing Secret, no node."""
    for status in ((pod or {}).get("status") or {}).get("containerStatuses", []):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return str(waiting["reason"]), f"the worker pod does not start: {waiting['reason']}"
    for condition in ((pod or {}).get("status") or {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("reason", "Unschedulable")), "no node can take the worker pod"
    return "", ""
