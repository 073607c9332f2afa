"""What goes wrong around a ScalingPolicy on the real cluster: lost metrics, fewer connections, specs that cannot be.

This cluster has metrics-server as long as these tests run.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aada_operator.core.capacity import pace
from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.scaling.school import ALL_DAY, PODS, School
from tests.cluster.sizes import DEPLOYMENT, REF
from tests.cluster.workspace import LONG, Workspace
from tests.testbed import services
from tests.testbed.cluster import Cluster

YOUNGER = "scp/younger"
# With this many the server bears one pod of four connections: one in a rollout, two that leave, 9 for others, 3 for
# superusers.
ENOUGH_FOR_ONE = (1 + 1 + 2) * 4 + 9 + 3


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school whose load is followed, with two pods for a class that is on."""
    services.install_metrics(cluster)
    made = School.open(cluster, f"faults-{secrets.token_hex(3)}")
    made.declare(calendar={"classHours": [ALL_DAY]})
    made.has(2)
    yield made
    made.workspace.kubectl("delete", "scp", "--all")
    cluster.kubectl("delete", "namespace", made.workspace.namespace, "--wait=false")
    services.remove_metrics(cluster)


@contextmanager
def sizes(school: School) -> Iterator[list[tuple[int, float]]]:
    """Every number of pods that is wanted while the block runs, with the time at which it was first seen."""
    seen: list[tuple[int, float]] = []
    done = threading.Event()

    def follow() -> None:
        for event in school.workspace.watch(DEPLOYMENT, LONG):
            size = int(event["object"]["spec"]["replicas"])
            if not seen or seen[-1][0] != size:
                seen.append((size, time.monotonic()))
            if done.is_set():
                return

    threading.Thread(target=follow, daemon=True).start()
    yield seen
    done.set()


def test_metrics_that_are_lost_leave_the_size_as_it_is_or_mean_the_fallback(school: School) -> None:
    """The calendar goes on: its floor needs no metrics."""
    school.workspace.says(REF, "MetricsAvailable", "Followed", LONG)
    system = Workspace(school.workspace.cluster, services.METRICS_NAMESPACE)
    system.kubectl("scale", services.METRICS, "--replicas=0")
    assert "metrics-server" in school.workspace.says(REF, "MetricsAvailable", "MetricsMissing", LONG)
    school.has(2)
    three = {"classHours": [ALL_DAY | {"minReplicas": 3}]}
    school.declare(calendar=three)
    school.has(3)
    assert school.workspace.says(REF, "Fallback", "NotNeeded") == "", "none is declared"
    school.declare(calendar=three, maxReplicas=4, fallback={"replicas": 4, "after": "1s"})
    school.has(4)
    assert "4 pods at least" in school.workspace.says(REF, "Fallback", "MetricsLost")
    system.kubectl("scale", services.METRICS, "--replicas=1")
    school.workspace.says(REF, "MetricsAvailable", "Followed", LONG)
    school.workspace.says(REF, "Fallback", "NotNeeded", LONG)
    school.declare(calendar=three)
    school.has(3)


def test_a_second_policy_for_the_same_component_does_nothing_but_say_so(school: School) -> None:
    target = {"lmsRef": {"name": builders.LMS}, "component": "backend"}
    spec = {"target": target, "minReplicas": 1, "maxReplicas": 1}
    school.workspace.apply(builders.custom_resource("ScalingPolicy", "younger", spec))
    assert "delete one of them" in school.workspace.says(YOUNGER, "Stalled", "AnotherPolicy")
    assert school.workspace.get("hpa/younger") is None
    school.has(3)
    school.workspace.delete(YOUNGER)


def test_a_time_zone_that_does_not_exist_is_named_and_the_size_stays(school: School) -> None:
    school.declare(calendar={"timeZone": "Europe/Atlantis", "classHours": [ALL_DAY]})
    message = school.workspace.says(REF, "Stalled", "InvalidSpec")
    assert message.startswith("spec.calendar.timeZone: ")
    assert "Europe/Atlantis" in message
    school.has(3)


def test_while_sessions_wait_for_each_other_no_pods_are_added(school: School) -> None:
    """Not even for a class: more pods would only make more sessions wait. Those that are there stay."""
    school.declare(calendar={"classHours": [ALL_DAY]})
    school.workspace.says(REF, "DatabaseBound", "HasRoom", LONG)
    school.has(2)
    with school.database.sessions_that_wait():
        said = school.workspace.says(REF, "DatabaseBound", "SessionsWait", LONG)
        assert "for locks" in said
        school.declare(calendar={"classHours": [ALL_DAY | {"minReplicas": 3}]})
        body = school.workspace.wait_for(REF, lambda b: b["status"].get("limitedBy") == "DatabaseBound", LONG)
        assert (body["status"]["max"], body["status"]["current"]) == (2, 2)
        school.has(2)
    school.workspace.says(REF, "DatabaseBound", "Recovering", LONG)
    school.declare(calendar={"classHours": [ALL_DAY | {"minReplicas": 3}]}, databaseBound={"action": "Warn"})
    school.has(3)


def test_a_server_with_fewer_connections_is_noticed_and_pods_leave_one_by_one(school: School) -> None:
    """Where somebody lowers max_connections and restarts the server, nobody is refused and nobody jumps."""
    school.declare(calendar={"classHours": [ALL_DAY | {"minReplicas": 3}]})
    school.workspace.wait_condition(REF, "Ready")
    school.has(3)
    with sizes(school) as seen:
        args = ["-c", f"max_connections={ENOUGH_FOR_ONE}"]
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "postgres", "args": args}]}}}}
        school.workspace.kubectl("patch", "statefulset/postgres", "--patch", json.dumps(patch))
        school.workspace.kubectl("rollout", "status", "statefulset/postgres", f"--timeout={LONG}s")
        school.has(1)
    assert [size for size, _ in seen] == [3, 2, 1]
    (_, second), (_, third) = seen[1:]
    assert third - second > pace(PODS) - 2, "to the second, and the first one was seen late"
    body = school.workspace.wait_for(
        REF, lambda b: bool((b["status"].get("budget") or {}).get("connectionLimit")), LONG
    )
    assert (body["status"]["limitedBy"], body["status"]["max"]) == ("ConnectionBudget", 1)
    assert school.limit() == ENOUGH_FOR_ONE - 3 - 9 + 3
    assert school.database.refused() == 0
