"""A ScalingPolicy on the real cluster: the size handed over, raised, put back, paused and left behind, never in a jump.

There is no metrics-server here, so Kubernetes keeps the bounds and holds the size within them.
"""

from __future__ import annotations

import json
import secrets

from aada_operator.core.managed_fields import managers_of
from tests.cluster import load
from tests.cluster.full_pools import full_pools
from tests.cluster.release import Operator
from tests.cluster.scaling.school import ALL_DAY, PODS_OF_IT, School
from tests.cluster.sizes import AUTOSCALER, DEPLOYMENT, POLICY, REF
from tests.cluster.workspace import LONG, Object
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.shell import wait_until
from tests.testbed.versions import SAMPLE_LMS_RELEASES
from tests.unit.scaling.calendars import event, ics


def test_the_size_is_handed_over_and_no_pod_starts_or_ends(school: School) -> None:
    before = school.pods()
    school.declare()
    school.workspace.wait_condition(REF, "Ready")
    school.workspace.says(REF, "ConnectionsFenced", "Limited")
    spec = (school.workspace.get(AUTOSCALER) or {})["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (1, 3, "aada-backend")
    assert school.pods() == before
    assert school.limit() == 200 - 3 - 9 + 3, "the operator and migrations log in as it, too"
    noted = json.loads(school.workspace.kubectl("get", DEPLOYMENT, "--output=json", "--show-managed-fields"))
    assert managers_of(noted, "spec", "replicas") == {"aada-operator-scaling"}, "the AadaLms applies no number any more"
    assert (school.workspace.get("pdb/aada-backend") or {})["spec"]["maxUnavailable"] == 1


def test_it_is_seen_with_kubectl(school: School) -> None:
    header, row = school.workspace.kubectl("get", "scp").splitlines()
    assert header.split() == ["NAME", "LMS", "TARGET", "MIN", "MAX", "DESIRED", "CURRENT", "LIMITED-BY", "NEXT", "AGE"]
    assert "MaxReplicas" in row


def test_class_hours_raise_the_floor(school: School) -> None:
    school.declare(calendar={"classHours": [ALL_DAY]})
    school.has(2)
    school.workspace.wait_condition(REF, "Ready")
    school.workspace.wait_for(REF, lambda body: body["status"].get("current") == 2)
    assert (school.workspace.get(REF) or {})["status"]["min"] == 2


def test_a_calendar_that_is_replaced_counts_and_a_broken_one_is_told(school: School) -> None:
    """Without `look_again`: the policy notices by itself."""
    file = {"name": "holidays", "key": "school.ics"}
    school.workspace.apply(_calendar_file(ics()))
    school.declare(calendar={"classHours": [ALL_DAY], "holidays": {"configMapRef": file}})
    school.workspace.says(REF, "CalendarAvailable", "Complete")
    school.has(2)
    school.workspace.apply(_calendar_file(ics(event("DTSTART;VALUE=DATE:20200101", "RRULE:FREQ=DAILY"))))
    school.workspace.wait_for(REF, lambda body: body["status"].get("min") == 1, LONG)
    school.workspace.apply(_calendar_file("no calendar"))
    assert "until then load" in school.workspace.says(REF, "CalendarAvailable", "CalendarInvalid")
    school.workspace.wait_for(REF, lambda body: body["status"].get("min") == 2, LONG)
    school.has(2)
    assert "CalendarInvalid" in {one["reason"] for one in school.workspace.events(f"ScalingPolicy/{POLICY}")}


def _calendar_file(text: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "holidays"}, "data": {"school.ics": text}}


def test_a_release_leaves_the_size_alone(school: School) -> None:
    school.lms(version=SAMPLE_LMS_RELEASES[1])
    school.workspace.wait_for("lms/aada", lambda b: b["status"].get("version") == SAMPLE_LMS_RELEASES[1], LONG)
    school.has(2)


def test_kubectl_scale_is_put_back_and_told(school: School) -> None:
    school.declare(calendar={"classHours": [ALL_DAY]})
    for replicas in (3, 0):
        school.workspace.kubectl("scale", DEPLOYMENT, f"--replicas={replicas}")
        school.has(2)
    message = school.workspace.says(REF, "ReplicasManaged", "ScaledByHand")
    assert "by hand" in message
    assert "spec.suspend" in message
    assert "ScaledByHand" in {event["reason"] for event in school.workspace.events(f"ScalingPolicy/{POLICY}")}


def test_during_a_pause_the_size_is_the_users(school: School) -> None:
    school.workspace.patch(REF, suspend=True)
    school.workspace.wait_condition(REF, "Paused")
    school.workspace.wait_gone(AUTOSCALER)
    school.workspace.kubectl("scale", DEPLOYMENT, "--replicas=1")
    school.look_again()
    school.has(1)
    school.workspace.wait_for(REF, lambda body: body["status"].get("current") == 1)
    assert school.limit() == -1
    school.workspace.patch(REF, suspend=False)
    school.has(2)


def test_another_autoscaler_is_not_fought_and_can_be_taken_over(school: School) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "aada-backend"}
    school.workspace.apply({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "theirs"},
        "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 3},
    })  # fmt: skip
    school.workspace.kubectl("annotate", REF, "lms.aada.edu/note=look")
    school.workspace.says(REF, "Stalled", "AnotherAutoscaler")
    school.workspace.wait_gone(AUTOSCALER)
    school.workspace.kubectl("annotate", REF, "lms.aada.edu/take-over=theirs")
    school.workspace.wait_gone("hpa/theirs")
    school.workspace.wait_condition(REF, "Ready")
    school.has(2)


def test_full_pools_never_meet_53300_nor_does_a_request_fail_while_pods_leave(school: School) -> None:
    """What is left is enough for four pods of four connections, one in a rollout and two that leave.

    All are replaced, two leave to their very end, and come back before: pods that leave still have their sessions.
    """
    available = (4 + 1 + 2) * 4
    budgeted = {"reservedConnections": 197 - available, "databaseBound": {"action": "Off"}}
    school.declare(minReplicas=4, maxReplicas=10, **budgeted)
    body = school.workspace.wait_for(REF, lambda b: b["status"].get("max") == 4, LONG)
    assert (body["status"]["limitedBy"], body["status"]["budget"]["maxPods"]) == ("ConnectionBudget", 4)
    school.has(4)
    school.workspace.wait_for(REF, lambda b: b["status"]["budget"].get("connectionLimit") == available + 3)
    load.install(school.workspace, f"{SAMPLE_LMS}:{SAMPLE_LMS_RELEASES[1]}")
    before = school.pods()
    with full_pools(school.workspace, school.database) as (outcomes, most):
        school.workspace.kubectl("rollout", "restart", DEPLOYMENT)
        school.workspace.kubectl("rollout", "status", DEPLOYMENT, f"--timeout={LONG}s")
        school.declare(minReplicas=2, maxReplicas=2, **budgeted)
        school.workspace.wait_for(DEPLOYMENT, lambda live: live["spec"]["replicas"] == 2, LONG)
        school.declare(minReplicas=4, maxReplicas=10, **budgeted)
        school.has(4)
        wait_until(lambda: len(school.workspace.items("pods", PODS_OF_IT)) == 4, "pods that leave to end", LONG)
    print(f"{most.pods} sessions of pods at the most, {available} counted; {most.everybody} of everybody")
    assert not before & school.pods()
    assert 4 * 4 < most.pods <= available, "the pools were full"
    assert outcomes.answered > 100
    assert outcomes.failed == {}
    assert school.database.refused() == 0
    school.declare(minReplicas=2, maxReplicas=2)
    school.has(2)


def test_the_operator_killed_in_the_middle_goes_on(school: School, operator: Operator) -> None:
    school.workspace.patch(REF, suspend=True)
    school.workspace.wait_condition(REF, "Paused")
    school.workspace.patch(REF, suspend=False)
    operator.kill()
    school.workspace.wait_condition(REF, "Ready", timeout=LONG)
    school.workspace.says(REF, "ConnectionsFenced", "Limited")
    school.has(2)
    operator.rolled_out()


def test_deletion_leaves_the_size_until_another_is_written(school: School) -> None:
    before = school.pods()
    school.workspace.delete(REF)
    school.workspace.wait_gone(AUTOSCALER)
    assert school.limit() == -1
    school.workspace.kubectl("annotate", "lms/aada", "--overwrite", f"lms.aada.edu/reconcile-at={secrets.token_hex(4)}")
    school.has(2)
    assert school.pods() == before
    school.lms(version=SAMPLE_LMS_RELEASES[1], replicas=3)
    school.has(3)
