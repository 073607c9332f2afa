"""While a rotation or a release is under way on the real cluster no pod is taken away; then it goes on by itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import builders, load
from tests.cluster.release import Operator
from tests.cluster.rotations.school import HEALTH, School
from tests.cluster.rotations.school import REF as ROTATION
from tests.cluster.scaling.test_scaling import PODS, PODS_OF_IT
from tests.cluster.workspace import LONG, Object, condition
from tests.testbed.cluster import Cluster
from tests.testbed.shell import wait_until
from tests.testbed.versions import SAMPLE_LMS_RELEASES

POLICY = "backend"
REF, AUTOSCALER, DEPLOYMENT = f"scp/{POLICY}", f"hpa/{POLICY}", "deployment/aada-backend"


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """Two pods, a policy for them, and a rotation that nobody has asked for yet."""
    quick = {"name": "backend", "podTemplate": {"spec": PODS}}
    opened = School.open(cluster, f"hold-{secrets.token_hex(3)}", components=[quick])
    opened.declare()
    declare(opened, minReplicas=2, maxReplicas=3)
    opened.workspace.wait_condition(REF, "Ready", timeout=LONG)
    opened.rotate()
    yield opened
    opened.workspace.delete(REF)
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def declare(school: School, **spec: Any) -> None:
    target = {"lmsRef": {"name": builders.LMS}, "component": "backend"}
    school.workspace.apply(builders.custom_resource("ScalingPolicy", POLICY, {"target": target} | spec))


def held(school: School, by: str) -> Object:
    """Wait until the policy says for whom it waits."""

    def says(body: Object) -> bool:
        said = condition(body, "Ready")
        return said.get("reason") == "HeldByOperation" and by in said.get("message", "")

    return school.workspace.wait_for(REF, says, LONG)


def bounds(school: School) -> tuple[int, int]:
    """What the autoscaler may choose from."""
    spec = (school.workspace.get(AUTOSCALER) or {})["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


def pods(school: School) -> list[Object]:
    """Those that are there or on their way out."""
    return school.workspace.items("pods", PODS_OF_IT)


def test_a_rotation_keeps_its_pods_until_it_is_done(school: School) -> None:
    """Somebody wants one pod in the middle of it: an autoscaler whose bound falls would take the other at once."""
    revision = int((school.workspace.get(ROTATION) or {})["status"]["revision"]) + 1
    with load.constant(school.workspace, HEALTH, rate=20) as outcomes:
        school.ask()
        held(school, "SecretRotation login (Rotation)")
        declare(school, minReplicas=1, maxReplicas=1)
        body = school.workspace.wait_for(REF, _is_seen)
        assert (body["status"]["limitedBy"], body["status"]["max"]) == ("Operation", 2)
        assert bounds(school) == (2, 2)
        school.rotated(revision)
        school.workspace.wait_for(DEPLOYMENT, lambda live: live["spec"]["replicas"] == 1, LONG)
        wait_until(lambda: len(pods(school)) == 1, "the other pod to end", LONG)
    assert outcomes.failed == {}, "nor did a request fail while that pod left"
    school.workspace.says(REF, "Ready", "Scaling")
    assert bounds(school) == (1, 1)


def test_a_release_holds_the_size_and_lets_it_go(school: School) -> None:
    declare(school, minReplicas=2, maxReplicas=3)
    school.workspace.wait_for(DEPLOYMENT, lambda live: live.get("status", {}).get("readyReplicas") == 2, LONG)
    school.workspace.says(REF, "Ready", "Scaling")
    school.workspace.patch("lms/aada", version=SAMPLE_LMS_RELEASES[1])
    held(school, "the rollout of Deployment aada-backend")
    assert bounds(school) == (2, 2)
    school.workspace.wait_for("lms/aada", lambda b: b["status"].get("version") == SAMPLE_LMS_RELEASES[1], LONG)
    school.workspace.says(REF, "Ready", "Scaling")
    assert bounds(school) == (2, 3)


def _is_seen(body: Object) -> bool:
    return bool(body["status"].get("observedGeneration") == body["metadata"]["generation"])
