"""The operator in a cluster: its image built from this checkout, installed with the project's own chart."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.workspace import Workspace
from tests.testbed.catalogue import OPERATOR, project_images
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.programs import build_programs
from tests.testbed.shell import step
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

    def leader(self) -> str:
        """Name of the pod that leads, empty when none does."""
        lease = self.get("lease/aada-operator") or {}
        return str(lease.get("spec", {}).get("holderIdentity", ""))

    def rolled_out(self, timeout: float = 120.0) -> None:
        """Wait for the rollout. Raises subprocess.CalledProcessError with what kubectl says."""
        self.kubectl("rollout", "status", DEPLOYMENT, f"--timeout={timeout}s")


def helm_program() -> Path:
    """Helm, built when this machine has none in its cache."""
    layout = Layout.current()
    build_programs(layout, [HELM])
    return layout.program(HELM)


def helm(cluster: Cluster, *args: str) -> str:
    """Run Helm. Raises subprocess.CalledProcessError, whose stderr says why."""
    done = subprocess.run(
        [helm_program(), *args], env=cluster.environment(), capture_output=True, encoding="utf-8", check=True
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


def install(cluster: Cluster, values: dict[str, Any] | None = None) -> Operator:
    """Install or upgrade to what the checkout holds; a release that is the same already is left running."""
    build_image(cluster, OPERATOR)
    ensure_namespace(cluster, NAMESPACE)
    repository, _, tag = OPERATOR.rpartition(":")
    # The tag stays the same, so the annotation is what makes a changed image roll out.
    wanted = {"image": {"repository": repository, "tag": tag}, "podAnnotations": {"source": source_fingerprint()}}
    chosen = json.dumps(wanted | (values or {}))
    with step(f"helm upgrade --install {RELEASE}"):
        subprocess.run(
            [helm_program(), "upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--values=-",
             "--reset-values", "--history-max=2", "--wait", "--timeout=120s"],
            env=cluster.environment(), input=chosen, stdout=subprocess.DEVNULL, encoding="utf-8", check=True,
        )  # fmt: skip
    operator = Operator(cluster, NAMESPACE)
    operator.rolled_out()
    return operator
