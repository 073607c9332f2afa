"""The ScalingPolicy of the API's pods: what it says, also beside what holds the application, and how many there are."""

from __future__ import annotations

from typing import Any

from tests.cluster import builders
from tests.cluster.workspace import LONG, Object, Workspace, condition

POLICY = "backend"
REF, AUTOSCALER, DEPLOYMENT = f"scp/{POLICY}", f"hpa/{POLICY}", "deployment/aada-backend"


def declare(workspace: Workspace, **spec: Any) -> None:
    """The policy for the pods of the API."""
    target = {"lmsRef": {"name": builders.LMS}, "component": "backend"}
    workspace.apply(builders.custom_resource("ScalingPolicy", POLICY, {"target": target} | spec))


def held(workspace: Workspace, by: str) -> Object:
    """Wait until the policy says for whom it waits."""

    def says(body: Object) -> bool:
        said = condition(body, "Ready")
        return said.get("reason") == "HeldByOperation" and by in said.get("message", "")

    return workspace.wait_for(REF, says, LONG)


def one_is_enough(workspace: Workspace) -> None:
    """Somebody wants one pod of two now: an autoscaler whose bound falls would take the other at once."""
    declare(workspace, minReplicas=1, maxReplicas=1)
    body = workspace.wait_for(REF, _is_seen)
    assert (body["status"]["limitedBy"], body["status"]["max"]) == ("Operation", 2)
    assert bounds(workspace) == (2, 2)


def bounds(workspace: Workspace) -> tuple[int, int]:
    """What the autoscaler may choose from."""
    spec = (workspace.get(AUTOSCALER) or {})["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


def has(workspace: Workspace, pods: int, timeout: float = LONG) -> None:
    """Wait until so many pods are wanted and there."""
    workspace.wait_for(DEPLOYMENT, lambda body: _is_at(body, pods), timeout)


def _is_at(body: Object, pods: int) -> bool:
    status = body.get("status") or {}
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return bool(body["spec"]["replicas"] == pods and counts == [pods] * 3)


def _is_seen(body: Object) -> bool:
    return bool(body["status"].get("observedGeneration") == body["metadata"]["generation"])
