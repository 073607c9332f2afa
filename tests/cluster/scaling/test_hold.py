"""While a rotation or a release is under way on the real cluster no pod is taken away; then it goes on by itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import load
from tests.cluster.release import Operator
from tests.cluster.rotations.school import HEALTH, School
from tests.cluster.rotations.school import REF as ROTATION
from tests.cluster.scaling.school import PODS, PODS_OF_IT
from tests.cluster.sizes import REF, bounds, declare, has, held, one_is_enough
from tests.cluster.workspace import LONG
from tests.testbed.cluster import Cluster
from tests.testbed.shell import wait_until
from tests.testbed.versions import SAMPLE_LMS_RELEASES


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """Two pods, a policy for them, and a rotation that nobody has asked for yet."""
    quick = {"name": "backend", "podTemplate": {"spec": PODS}}
    opened = School.open(cluster, f"hold-{secrets.token_hex(3)}", components=[quick])
    opened.declare()
    declare(opened.workspace, minReplicas=2, maxReplicas=3)
    opened.workspace.wait_condition(REF, "Ready", timeout=LONG)
    opened.rotate()
    yield opened
    opened.workspace.delete(REF)
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_a_rotation_keeps_its_pods_until_it_is_done(school: School) -> None:
    workspace = school.workspace
    revision = int((workspace.get(ROTATION) or {})["status"]["revision"]) + 1
    with load.constant(workspace, HEALTH, rate=20) as outcomes:
        school.ask()
        held(workspace, "SecretRotation login (Rotation)")
        one_is_enough(workspace)
        school.rotated(revision)
        has(workspace, 1)
        wait_until(lambda: len(workspace.items("pods", PODS_OF_IT)) == 1, "the other pod to end", LONG)
    assert outcomes.failed == {}, "nor did a request fail while that pod left"
    workspace.says(REF, "Ready", "Scaling")
    assert bounds(workspace) == (1, 1)


def test_a_release_holds_the_size_and_lets_it_go(school: School) -> None:
    workspace = school.workspace
    declare(workspace, minReplicas=2, maxReplicas=3)
    has(workspace, 2)
    workspace.says(REF, "Ready", "Scaling")
    workspace.patch("lms/aada", version=SAMPLE_LMS_RELEASES[1])
    held(workspace, "the rollout of Deployment aada-backend")
    assert bounds(workspace) == (2, 2)
    workspace.wait_for("lms/aada", lambda b: b["status"].get("version") == SAMPLE_LMS_RELEASES[1], LONG)
    workspace.says(REF, "Ready", "Scaling")
    assert bounds(workspace) == (2, 3)
