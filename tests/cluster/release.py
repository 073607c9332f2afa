"""The operator in a cluster: its image built from this checkout, installed with the project's own chart."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aada_operator.core.overlay import merged
from tests.cluster.workspace import Object, Workspace
from tests.testbed.catalogue import OPERATOR, project_images
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.programs import build_programs
from tests.testbed.shell import say, step
from tests.testbed.versions import HELM

CHART = CHECKOUT / "chart"
RELEASE = "aada-operator"
NAMESPACE = "aada-system"
DEPLOYMENT = f"deployment/{RELEASE}"
SOURCES = ("Dockerfile", "pyproject.toml", "requirements.lock", "operator/aada_operator")


@dataclass(frozen=True)
class Operator(Workspace):
    """The installed operator; a workspace in its namespace."""

    def pods(self) -> list[dict[str, Any]]:
        """Its pods that are not on their way out."""
        pods = self.items("pods", "app.kubernetes.io/name=aada-operator")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def leader(self, but_not: str = "", timeout: float = 60.0) -> str:
        """Name of the pod that leads, waited for; with ``but_not``, of the one that leads instead of it.

        Raises AssertionError after ``timeout`` seconds.
        """
        names = {pod["metadata"]["name"] for pod in self.pods()}

        def holds(lease: Object) -> bool:
            holder = lease["spec"].get("holderIdentity") or ""
            return holder not in ("", but_not) if but_not else holder in names

        return str(self.wait_for("lease/aada-operator", holds, timeout)["spec"]["holderIdentity"])

    def rolled_out(self, timeout: float = 120.0) -> None:
        """Wait for the rollout. Raises subprocess.CalledProcessError with what kubectl says."""
        self.kubectl("rollout", "status", DEPLOYMENT, f"--timeout={timeout}s")

    def signal(self, pod: str, number: signal.Signals) -> None:
        """Send a signal to the operator's process in a pod; deleting a pod, even by force, is an orderly end.

        Raises LookupError when this machine does not see the process, as with a node that is another machine.
        """
        mark = f"AADA_POD_NAME={pod}".encode()
        found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if mark in _environment(folder)]
        if not found:
            raise LookupError(f"no process of {pod} here; are you root?")
        for process in found:
            os.kill(process, number)

    def kill(self) -> None:
        """SIGKILL the operator in every pod; the kubelet starts it again in the same pod."""
        for pod in self.pods():
            self.signal(pod["metadata"]["name"], signal.SIGKILL)

    def metrics(self, pod: str) -> str:
        """What one of its pods serves at /metrics."""
        with self.cluster.port_forward(f"pod/{pod}", 8080, f"--namespace={self.namespace}") as port:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, trust_env=False).text


def _environment(process: Path) -> list[bytes]:
    """The environment of a process, empty when it has gone or may not be read."""
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def helm_program() -> Path:
    """Helm, built when this machine has none in its cache."""
    layout = Layout.current()
    build_programs(layout, [HELM])
    return layout.program(HELM)


def helm(cluster: Cluster, *args: str) -> str:
    """Run Helm. Raises subprocess.CalledProcessError, whose stderr says why."""
    done = subprocess.run(
        [str(helm_program()), *args], env=cluster.environment(), capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout


def source_fingerprint() -> str:
    """A hash of everything that is in the operator's image."""
    digest = hashlib.sha256()
    for source in SOURCES:
        path = CHECKOUT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(CHECKOUT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def build_image(cluster: Cluster, tag: str) -> None:
    """Build one of the project's images and make it known to the node; an unchanged one costs about a second.

    Raises ValueError when the checkout has no image of that name.
    """
    (image,) = (image for image in project_images() if image.tag == tag)
    cluster.ensure_image(image)


def ensure_namespace(cluster: Cluster, name: str) -> None:
    """A namespace in which only pods that pass Pod Security ``restricted`` may run."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))


# What was there before, from kubectl or an interrupted run, becomes this release's (docs/install.md says the same).
TAKE_OVER = ("--take-ownership", "--force-conflicts")


def install(cluster: Cluster, values: dict[str, Any] | None = None, *, chart: Path = CHART) -> Operator:
    """Install or upgrade to what the checkout holds; a release that is the same already is left running.

    ``values`` are merged into those that tests need. Raises subprocess.CalledProcessError when Helm or the rollout
    fails; what the operator printed last is shown.
    """
    build_image(cluster, OPERATOR)
    ensure_namespace(cluster, NAMESPACE)
    operator = Operator(cluster, NAMESPACE)
    repository, _, tag = OPERATOR.rpartition(":")
    # The tag stays the same, so the annotation is what makes a changed image roll out.
    wanted = {"image": {"repository": repository, "tag": tag}, "podAnnotations": {"source": source_fingerprint()}}
    where = (RELEASE, str(chart), f"--namespace={NAMESPACE}", "--values=-", "--reset-values", "--history-max=2")
    argv = [str(helm_program()), "upgrade", "--install", *where, "--wait", "--timeout=120s", *TAKE_OVER]
    with step(f"helm upgrade --install {RELEASE}"):
        done = subprocess.run(
            argv, env=cluster.environment(), input=json.dumps(merged(wanted, values or {})), encoding="utf-8",
            stdout=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if done.returncode:
        say(operator.kubectl("logs", DEPLOYMENT, "--tail=20", "--ignore-errors"))
        done.check_returncode()
    return operator
