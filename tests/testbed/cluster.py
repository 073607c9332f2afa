"""The interface of a test cluster, whichever provider is behind it: a superset of `pytest_kind.KindCluster`."""

from __future__ import annotations

import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.testbed.catalogue import Image
from tests.testbed.shell import GO_ENVIRONMENT, TestbedError, step

FIELD_MANAGER = "testbed"
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


class Cluster(ABC):
    """One Kubernetes cluster. `kubeconfig_path` and `audit_log` are files of this machine."""

    base_image: str
    """What `BASE_IMAGE` is in this cluster's builds."""
    name: str
    kubeconfig_path: Path
    kubectl_path: Path
    audit_log: Path

    @abstractmethod
    def create(self) -> None:
        """Bring the cluster up, or find it up. Returns when the node is Ready and names resolve."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the cluster and everything of it except the machine's cache."""

    @abstractmethod
    def is_up(self) -> bool:
        """Whether the API server answers."""

    @abstractmethod
    def load_image(self, ref: str) -> None:
        """Make an image that was built on this machine known to the node; quick when it is known already."""

    @abstractmethod
    def build_image(
        self, dockerfile: Path, context: Path, tag: str, build_args: Mapping[str, str] | None = None
    ) -> None:
        """Build an image with `BASE_IMAGE` and `build_args`; unchanged inputs cost nothing, dependency layers stay."""

    def ensure_image(self, image: Image) -> None:
        """Build an image and load it, as far as needed, with a progress line."""
        with step(f"image {image.tag}"):
            self.build_image(image.dockerfile, image.context, image.tag, image.build_args)
            self.load_image(image.tag)

    @abstractmethod
    def restart_apiserver(self) -> None:
        """Kill the API server and return when its successor answers."""

    def load_docker_image(self, docker_image: str) -> None:
        """pytest-kind's name for `load_image`."""
        self.load_image(docker_image)

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and return its stdout; `kwargs` go to `subprocess.check_output`.

        Raises subprocess.CalledProcessError when kubectl fails.
        """
        return str(subprocess.check_output(
            [str(self.kubectl_path), *args], env=self.environment(), encoding="utf-8", **kwargs
        ))  # fmt: skip

    def apply(self, manifest: str, namespace: str | None = None) -> str:
        """Server-side apply of YAML or JSON text as `FIELD_MANAGER`, in `namespace` when one is given."""
        where = [f"--namespace={namespace}"] if namespace else []
        # The server refuses an unknown field of its own accord; kubectl would read the schemas of all kinds each time.
        how = ("--server-side", f"--field-manager={FIELD_MANAGER}", "--validate=false", "--filename=-")
        return self.kubectl("apply", *how, *where, input=manifest)

    def environment(self) -> dict[str, str]:
        """The environment in which kubectl and helm talk to this cluster."""
        return {**os.environ, **GO_ENVIRONMENT, "KUBECONFIG": str(self.kubeconfig_path)}

    @contextmanager
    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, local_port: int | None = None
    ) -> Iterator[int]:
        """Forward a port of 127.0.0.1 to a pod or service (`args`: such as `-n`, `test`) and yield the local port.

        Raises TestbedError when kubectl ends before it forwards.
        """
        ports = f"{local_port or ''}:{remote_port}"
        argv = [str(self.kubectl_path), "port-forward", "--address=127.0.0.1", service_or_pod_name, ports, *args]
        with subprocess.Popen(
            argv, env=self.environment(), encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield _forwarded_port(process, argv)
            finally:
                process.kill()


def _forwarded_port(process: subprocess.Popen[str], argv: Sequence[str]) -> int:
    """Read kubectl's output up to the line that names the port: it is printed once the port accepts connections."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        if found := FORWARDING.search(line):
            return int(found.group(1))
        seen.append(line)
    raise TestbedError(f"`{' '.join(argv[1:])}` ended: {''.join(seen).strip()}")
