"""The provider for machines without a container engine: a node of plain processes in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.testbed import catalogue, cgroups, imaging, leftovers, loading, programs
from tests.testbed.cluster import Cluster
from tests.testbed.components import CLIENTS, IDENTITIES, NODE_NAME
from tests.testbed.diagnosis import explain
from tests.testbed.layout import TESTBED, Layout
from tests.testbed.namespace import Namespace
from tests.testbed.pki import Authority
from tests.testbed.rootfs import base_folder
from tests.testbed.shell import NOT_UP, TestbedError, locked, say, step, wait_until
from tests.testbed.versions import KUBERNETES_PROGRAMS, NODE_PROGRAMS

START_SECONDS = 180.0
ANSWER_SECONDS = 30.0
TOLERATED_RESTARTS = 30
API_ON_NODE = "https://127.0.0.1:6443"


class LocalCluster(Cluster):
    """A one-node cluster as root on this machine, in the folders of `layout`."""

    base_image = catalogue.BASE

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout.current()
        self.namespace = Namespace(self.layout)
        self.name = self.layout.name
        self.kubeconfig_path = self.layout.kubeconfig
        self.kubectl_path = self.layout.program(KUBERNETES_PROGRAMS, "kubectl")
        self.audit_log = self.layout.audit_log

    def create(self) -> None:
        """Install, build and start what is missing; find a running node running; replace one that does not answer.

        Raises TestbedError with the way out when a part cannot be installed, built or started.
        """
        if os.geteuid() != 0:
            raise TestbedError("a local cluster needs root: run this with sudo")
        programs.install_packages(self.layout)
        programs.build_programs(self.layout, NODE_PROGRAMS)
        leftovers.forget_dead_checkouts(self.layout.cache)
        with locked(self.layout.lock, f"cluster {self.name}"):
            if self.namespace.init_pid() is None:
                self._start()
            elif not self._comes_up(ANSWER_SECONDS):
                say("• the running node does not answer: starting it anew")
                self._start()
            self._finish()

    def delete(self) -> None:
        """Stop the node and remove its state; the machine's cache (programs, images) stays."""
        with locked(self.layout.lock, f"cluster {self.name}"):
            leftovers.remove_node(self.layout)

    def is_up(self) -> bool:
        """Whether the API server answers."""
        return self.kubeconfig_path.exists() and self._asks("--raw", "/readyz") == "ok"

    def load_image(self, ref: str) -> None:
        """Import an image built by `build_image` into the node, unless the node has that very image."""
        loading.load(self.layout, self.namespace, ref)

    def build_image(
        self, dockerfile: Path, context: Path, tag: str, build_args: Mapping[str, str] | None = None
    ) -> None:
        """Build with buildah, see `imaging.build`."""
        arguments = {"BASE_IMAGE": self.base_image, **(build_args or {})}
        imaging.build(self.layout, catalogue.Image(tag, dockerfile, context, arguments))

    def restart_apiserver(self) -> None:
        """Kill the API server and return when its successor answers (about 3 s)."""
        wait_until(lambda: self._apiserver_pid() is not None, "an API server to restart", START_SECONDS)
        if before := self._apiserver_pid():
            os.kill(before, signal.SIGKILL)
        wait_until(lambda: self._apiserver_pid() not in (before, None), "a new API server", START_SECONDS)
        wait_until(self.is_up, "the new API server to answer", START_SECONDS)

    def _start(self) -> None:
        leftovers.remove_node(self.layout)
        with step(f"start the node of cluster {self.name}"):
            self._prepare_state()
            cgroups.create(self.layout.cgroup)
            authority = _write_pki(self.layout)
            port = self.namespace.start(self.layout.logs / "node.log")
            authority.kubeconfig("admin", f"https://127.0.0.1:{port}", self.kubeconfig_path)
            authority.kubeconfig("admin", API_ON_NODE, self.layout.state / "config" / "admin.kubeconfig")
            _give_to_caller(self.layout)
            if not self._comes_up(START_SECONDS):
                raise TestbedError(self._why_not())

    def _prepare_state(self) -> None:
        for folder in ("log", "etcd", "kubelet", "volumes"):
            (self.layout.state / folder).mkdir(parents=True)
        (self.layout.state / "etcd").chmod(0o700)
        shutil.copytree(TESTBED / "node", self.layout.state / "config")
        leftovers.claim(self.layout)

    def _comes_up(self, seconds: float) -> bool:
        """Whether API server, node and DNS become ready within the time; gives up early when parts keep ending."""
        try:
            wait_until(lambda: self._is_ready() or self._is_hopeless(), "the node", seconds)
        except TestbedError:
            return False
        return self._is_ready()

    def _is_ready(self) -> bool:
        if not self.is_up() or not self._asks("--raw", f"/api/v1/nodes/{NODE_NAME}:8181/proxy/ready"):
            return False
        condition = '{.status.conditions[?(@.type=="Ready")].status}'
        return self._asks("node", NODE_NAME, f"--output=jsonpath={condition}") == "True"

    def _is_hopeless(self) -> bool:
        return (self.layout.logs / "node.log").read_text().count(" ended with ") > TOLERATED_RESTARTS

    def _finish(self) -> None:
        """Images that the node itself needs, and the default StorageClass."""
        for image in self._node_images():
            imaging.build(self.layout, image)
            self.load_image(image.tag)
        self.apply((TESTBED / "node" / "storage.yaml").read_text())
        # The last thing that pods need: they are refused in a namespace that has no default service account yet.
        self.kubectl("wait", "--for=create", "serviceaccount/default", f"--timeout={START_SECONDS}s")

    def _node_images(self) -> list[catalogue.Image]:
        """What the node needs to run pods and to make volumes."""
        pause = programs.build_pause(self.layout, catalogue.FOLDER / "pause")
        return [
            catalogue.Image(catalogue.PAUSE, catalogue.FOLDER / "pause" / "Dockerfile", pause),
            catalogue.Image(catalogue.BASE, catalogue.FOLDER / "base" / "Dockerfile", base_folder(self.layout)),
        ]

    def _asks(self, *words: str) -> str:
        """What `kubectl get` answers within 2 s, nothing when it fails."""
        argv = [str(self.kubectl_path), "get", *words, "--request-timeout=2s"]
        return subprocess.run(argv, env=self.environment(), capture_output=True, text=True, check=False).stdout

    def _why_not(self) -> str:
        return (
            f"the node did not become Ready; {explain(self.layout.logs)}\n"
            f"  `python -m tests.testbed logs COMPONENT` shows more; then `down` and `up` again"
        )

    def _apiserver_pid(self) -> int | None:
        """The pid of the API server as this machine sees it, None when there is none."""
        program = str(self.layout.program(KUBERNETES_PROGRAMS, "kube-apiserver"))
        if (init := self.namespace.init_pid()) is None:
            raise TestbedError(NOT_UP)
        children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
        return next((int(pid) for pid in children if _program(pid) == program), None)


def _write_pki(layout: Layout) -> Authority:
    authority = Authority(layout.state / "pki")
    authority.service_account_key()
    for name, identity in IDENTITIES.items():
        authority.issue(name, identity)
    for name in CLIENTS:
        authority.kubeconfig(name, API_ON_NODE, layout.state / "config" / f"{name}.kubeconfig")
    return authority


def _give_to_caller(layout: Layout) -> None:
    """Under sudo the kubeconfig belongs to the person who called."""
    if uid := os.environ.get("SUDO_UID"):
        os.chown(layout.kubeconfig, int(uid), int(os.environ.get("SUDO_GID", uid)))


def _program(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""
