"""The key of an application that knows one key only, on the real cluster: one login for all, and no failed request."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import pytest

from tests.cluster import load
from tests.cluster.release import Operator
from tests.cluster.rotations.school import HEALTH, JWT, PROTECTED, School
from tests.cluster.workspace import LONG, Object
from tests.testbed.cluster import Cluster

REFUSED = "HTTPError: HTTP Error 401: Unauthorized"
RATE = 10.0


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school whose application is given one key."""
    opened = School.open(cluster, f"bluegreen-{secrets.token_hex(3)}")
    variables = (opened.workspace.get("lms/aada") or {})["spec"]["secrets"]
    one_key = [variable for variable in variables if variable["name"] != "JWT_SECRET_KEYS_ACCEPTED"]
    patch = json.dumps([{"op": "replace", "path": "/spec/secrets", "value": one_key}])
    opened.workspace.kubectl("patch", "lms/aada", "--type=json", "--patch", patch)
    opened.workspace.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "lms/aada", "--timeout=60s")
    opened.workspace.wait_for("lms/aada", _serves_as_wanted, LONG)
    opened.declare_tokens(strategy="BlueGreen")
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def _serves_as_wanted(lms: Object) -> bool:
    conditions = {c["type"]: c for c in lms["status"]["conditions"]}
    return bool(conditions["Ready"]["status"] == "True" and conditions["RolloutHealthy"]["reason"] == "RolledOut")


def left_over(school: School) -> list[str]:
    return [one["metadata"]["name"] for one in school.workspace.items("deployments", "lms.aada.edu/rotation=jwt")]


def test_no_request_fails_and_a_token_is_good_until_the_switch_and_nowhere_after_it(school: School) -> None:
    before = school.token()
    with (
        load.constant(school.workspace, HEALTH, rate=RATE) as health,
        load.constant(school.workspace, PROTECTED, rate=RATE, token=before) as session,
    ):
        school.ask(JWT)
        body = school.rotated(1, ref=JWT)
        time.sleep(12)  # the pods that stood in finish their requests: what fails then counts as well
    assert health.failed == {}
    assert health.answered >= 200
    assert set(session.failed) == {REFUSED}, "the old token is refused, and nothing else goes wrong"
    steps = {step["name"]: step for step in body["status"]["steps"]}
    switched = str(steps["SwitchToGreen"]["startedAt"])[11:19]
    # By when it was answered: one that waited for a name or a connection began before the switch.
    refused_before = [failure for failure in session.failures if failure[:8] < switched]
    assert refused_before == [], f"it was accepted until the switch at {switched}"
    after = school.token()
    assert school.answers(before) == {"401"}
    assert school.answers(after) == {"200"}
    assert left_over(school) == []
    assert body["status"]["strategy"] == "BlueGreen"


def test_after_the_switch_the_old_token_is_refused_at_every_request(school: School) -> None:
    """While the component's own pods change over behind those that serve."""
    before = school.token()
    school.ask_until("Converge", JWT)
    with load.constant(school.workspace, PROTECTED, rate=RATE, token=before) as session:
        school.rotated(2, ref=JWT)
    assert set(session.counts) == {REFUSED}


def test_the_operator_killed_while_others_stand_in_goes_on(school: School, operator: Operator) -> None:
    with load.constant(school.workspace, HEALTH, rate=RATE) as health:
        school.ask_until("Converge", JWT)
        operator.kill()
        school.rotated(3, ref=JWT)
    assert health.failed == {}
    assert left_over(school) == []
    operator.rolled_out()
