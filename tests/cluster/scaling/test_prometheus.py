"""Queries on the real cluster, which has no metrics-server: the size follows; Prometheus killed ends no pod."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.cluster.release import Operator
from tests.cluster.scaling.school import School
from tests.cluster.sizes import AUTOSCALER, POLICY, REF
from tests.cluster.workspace import Object, Workspace
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.versions import SAMPLE_LMS_RELEASES

NAME, PORT, FILE = "prometheus", 9090, "/srv/api/v1/query"
REQUESTS: Object = {"name": "requests", "query": "sum(rate(http_requests_total[2m]))", "target": 50}


@dataclass(frozen=True)
class Prometheus:
    """A server that answers every query with the number that it was given last."""

    workspace: Workspace

    def install(self) -> None:
        serve = f"mkdir -p $(dirname {FILE}) && exec python -m http.server {PORT} --directory /srv"
        container = {
            "name": NAME, "image": f"{SAMPLE_LMS}:{SAMPLE_LMS_RELEASES[0]}", "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", serve], "ports": [{"containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            "volumeMounts": [{"name": "answers", "mountPath": "/srv"}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }  # fmt: skip
        pod = {
            "containers": [container], "volumes": [{"name": "answers", "emptyDir": {}}],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
        }  # fmt: skip
        labels = {"app": NAME}
        template = {"metadata": {"labels": labels}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        service = {"selector": labels, "ports": [{"port": PORT}]}
        metadata = {"name": NAME}
        self.workspace.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        )

    def start(self, value: float) -> None:
        """Bring it up, and have it answer with this number."""
        self.workspace.kubectl("scale", f"deployment/{NAME}", "--replicas=1")
        self.workspace.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=60s")
        self.says(value)

    def kill(self) -> None:
        self.workspace.kubectl("scale", f"deployment/{NAME}", "--replicas=0")
        self.workspace.kubectl("wait", "--for=delete", "pods", f"--selector=app={NAME}", "--timeout=60s")

    def says(self, value: float) -> None:
        result = [{"metric": {}, "value": [0, str(value)]}]
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self.workspace.kubectl("exec", "--stdin", f"deployment/{NAME}", "--", "tee", FILE, input=json.dumps(answer))


@pytest.fixture(scope="module")
def prometheus(school: School) -> Prometheus:
    made = Prometheus(school.workspace)
    made.install()
    made.start(100)
    school.declare(
        prometheus={"url": f"http://{NAME}:{PORT}", "timeout": "2s"},
        metrics=[{"prometheus": REQUESTS}],
        behavior={"scaleDownStabilization": "1s"},
        fallback={"replicas": 3, "after": "1s"},
    )
    return made


def test_the_size_follows_the_query(school: School, prometheus: Prometheus) -> None:
    school.has(2)
    school.workspace.says(REF, "MetricsAvailable", "Followed")
    status = (school.workspace.get(REF) or {})["status"]
    assert status["metrics"] == [{"name": "requests", "pods": 2, "reason": "Followed"}]
    assert (status["min"], status["max"]) == (2, 3)


def test_the_bound_is_never_exceeded(school: School, prometheus: Prometheus) -> None:
    prometheus.says(10_000)
    school.has(3)
    school.workspace.says(REF, "ScalingLimited", "AtMaximum")


def test_fewer_requests_let_pods_leave(school: School, prometheus: Prometheus) -> None:
    prometheus.says(10)
    school.has(1)


def test_prometheus_killed_means_the_fallback_and_says_so(school: School, prometheus: Prometheus) -> None:
    prometheus.kill()
    message = school.workspace.says(REF, "MetricsAvailable", "PrometheusUnreachable")
    assert message.startswith("requests: ")
    school.has(3)
    school.workspace.says(REF, "Fallback", "MetricsLost")
    reasons = {event["reason"] for event in school.workspace.events(f"ScalingPolicy/{POLICY}")}
    assert {"PrometheusUnreachable", "MetricsLost"} <= reasons


def test_an_operator_killed_meanwhile_ends_no_pod(school: School, prometheus: Prometheus, operator: Operator) -> None:
    before = school.pods()
    operator.kill()
    operator.rolled_out()
    school.look_again()
    school.workspace.says(REF, "Fallback", "MetricsLost")
    assert school.pods() == before
    memory = (school.workspace.get(AUTOSCALER) or {})["metadata"]["annotations"]["lms.aada.edu/scaling-memory"]
    assert json.loads(memory)["asked"]["value"] == 3


def test_prometheus_back_leads_back(school: School, prometheus: Prometheus) -> None:
    prometheus.start(10)
    school.workspace.says(REF, "MetricsAvailable", "Followed")
    school.workspace.says(REF, "Fallback", "NotNeeded")
    school.has(1)
