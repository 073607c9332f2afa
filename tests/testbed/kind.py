"""The provider for machines with a container engine and a registry: kind through pytest-kind.

Unproved: no machine with a container engine has run it yet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.cluster import Cluster
from tests.testbed.layout import TESTBED, Layout
from tests.testbed.shell import run, step, wait_until
from tests.testbed.versions import KIND, KIND_NODE_IMAGE, KUBERNETES

START_SECONDS = 60.0
AUDIT_FOLDER = "/var/log/kubernetes"


class KindProvider(Cluster):
    """A kind cluster named as this checkout's cluster, with the audit log of the local provider."""

    base_image = "debian:12-slim"

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout.current()
        self.name = self.layout.name
        self.kubeconfig_path = self.layout.kubeconfig
        self.audit_log = self.layout.audit_log
        self._kind = _kind_cluster(self.layout)
        self.kubectl_path = Path(self._kind.kubectl_path)

    def create(self) -> None:
        """Create the cluster or find it; returns when the node is Ready."""
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        config = self.layout.state / "kind.json"
        config.write_text(json.dumps(kind_config(self.layout)))
        with step(f"kind cluster {self.name}"):
            self._kind.ensure_kubectl()
            self._kind.create(config)
            self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=300s")

    def delete(self) -> None:
        """Delete the cluster and its state."""
        self._kind.ensure_kind()
        self._kind.delete()
        shutil.rmtree(self.layout.state)

    def is_up(self) -> bool:
        """Whether the API server answers."""
        if not self.kubeconfig_path.exists() or not self.kubectl_path.exists():
            return False
        argv = [str(self.kubectl_path), "get", "--raw=/readyz", "--request-timeout=2s"]
        return subprocess.run(argv, env=self.environment(), capture_output=True, check=False).returncode == 0

    def build_image(
        self, dockerfile: Path, context: Path, tag: str, build_args: Mapping[str, str] | None = None
    ) -> None:
        """Build with the container engine, which keeps its own layer cache."""
        arguments = {"BASE_IMAGE": self.base_image, **(build_args or {})}
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        run([engine(), "build", f"--file={dockerfile}", f"--tag={tag}", *options, context])

    def load_image(self, ref: str) -> None:
        """Load an image of the container engine into the node."""
        self._kind.load_docker_image(ref)

    def restart_apiserver(self) -> None:
        """Kill the API server's container and return when its successor answers."""
        node = f"{self.name}-control-plane"
        find = ["crictl", "ps", "--quiet", "--name=kube-apiserver"]
        before = run([engine(), "exec", node, *find]).strip()
        run([engine(), "exec", node, "crictl", "stop", "--timeout=0", before])
        wait_until(lambda: run([engine(), "exec", node, *find]).strip() not in ("", before), "a new API server",
                   START_SECONDS)  # fmt: skip
        wait_until(self.is_up, "the new API server to answer", START_SECONDS)


def engine() -> str:
    """The container engine on PATH, as kind would choose it."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), "docker")


def is_usable() -> bool:
    """Whether a container engine answers and has kind's node image, or a registry that has it."""
    if not shutil.which(engine()):
        return False
    image = (engine(), "image", "inspect", KIND_NODE_IMAGE)
    registry = (engine(), "manifest", "inspect", KIND_NODE_IMAGE)
    return _works(engine(), "info") and (_works(*image) or _works(*registry))


def kind_config(layout: Layout) -> dict[str, Any]:
    """kind's configuration: one node whose API server writes the audit log into `layout.logs`.

    Its kubelet waits with a container that ends again and again as the local provider's does.
    """
    policy = "/etc/kubernetes/audit-policy.yaml"
    files = [
        {"name": "audit-policy", "hostPath": policy, "mountPath": policy, "readOnly": True, "pathType": "File"},
        {"name": "audit-log", "hostPath": AUDIT_FOLDER, "mountPath": AUDIT_FOLDER, "pathType": "DirectoryOrCreate"},
    ]
    server = {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {"audit-policy-file": policy, "audit-log-path": f"{AUDIT_FOLDER}/{layout.audit_log.name}"},
            "extraVolumes": files,
        },
    }
    local = yaml.safe_load((TESTBED / "node" / "kubelet.yaml").read_text())
    kubelet = {key: local[key] for key in ("kind", "featureGates", "crashLoopBackOff")}
    mounts = [
        {"hostPath": str(TESTBED / "node" / "audit-policy.yaml"), "containerPath": policy, "readOnly": True},
        {"hostPath": str(layout.logs), "containerPath": AUDIT_FOLDER},
    ]
    node = {
        "role": "control-plane",
        "image": KIND_NODE_IMAGE,
        "extraMounts": mounts,
        "kubeadmConfigPatches": [json.dumps(server), json.dumps(kubelet)],
    }
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node]}


def _kind_cluster(layout: Layout) -> Any:
    """pytest-kind reads the versions it downloads from the environment at import, and makes a folder where it is."""
    downloads = layout.cache / f"kind-{KIND}"
    downloads.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("KIND_VERSION", f"v{KIND}")
    os.environ.setdefault("KUBECTL_VERSION", f"v{KUBERNETES}")
    from pytest_kind import KindCluster

    with chdir(downloads):
        return KindCluster(
            layout.name,
            kubeconfig=layout.kubeconfig,
            kind_path=downloads / "kind",
            kubectl_path=downloads / f"kubectl-{KUBERNETES}",
        )


def _works(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
