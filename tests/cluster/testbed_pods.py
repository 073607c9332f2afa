"""Small pods for the tests of the test bed."""

from __future__ import annotations

import json
from typing import Any

from tests.testbed.catalogue import BASE
from tests.testbed.cluster import Cluster

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, *command: str, image: str = BASE, **spec: Any) -> str:
    """A pod that passes the restricted Pod Security Standard."""
    container: dict[str, Any] = {"name": "main", "image": image, "securityContext": RESTRICTED}
    if command:
        container["command"] = list(command)
    if "probe" in spec:
        container["readinessProbe"] = spec.pop("probe")
    if "volumes" in spec:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    content = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": content})


def run_pod(cluster: Cluster, namespace: str, name: str, *command: str, **options: Any) -> str:
    """Run a pod to its end and return what it printed."""
    cluster.apply(pod(name, *command, **options), namespace)
    where = f"--namespace={namespace}"
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", where, "--timeout=60s")
    return cluster.kubectl("logs", name, where)


def web_server(cluster: Cluster, namespace: str) -> None:
    """A pod that serves HTTP on port 8000, behind the Service `web`."""
    command = ("python3", "-m", "http.server", "8000", "--directory", "/etc")
    probe = {"httpGet": {"path": "/hostname", "port": 8000}, "periodSeconds": 1}
    cluster.apply(pod("web", *command, probe=probe), namespace)
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    cluster.apply(
        json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service}), namespace
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/web", f"--namespace={namespace}", "--timeout=60s")
