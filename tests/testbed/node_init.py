"""PID 1 of the node's namespaces: prepares mounts and network, starts the components, restarts those that end.

Run by `unshare` only. When it dies the kernel stops everything in the namespaces, containers included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.testbed import cgroups
from tests.testbed.components import NODE_ADDRESS, SERVICE_RANGE, Component, waves
from tests.testbed.layout import CHECKOUT, NODE, Layout
from tests.testbed.shell import GO_ENVIRONMENT

RESTART_SECONDS = 0.5
READY_POLL_SECONDS = 0.05
# The kubelet writes these for the whole machine where they differ. It is given files of its own to find right.
KUBELET_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
OWN_NETWORK_SYSCTLS = ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")


def command(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True)


def private_mounts(layout: Layout) -> None:
    """Give the node its own /run, /var/log and /var/lib/cni, and its state under a fixed path."""
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    (NODE / "containerd").mkdir(parents=True)
    command("mount", "--bind", layout.state, NODE)
    (NODE / "containerd").mkdir(exist_ok=True)
    command("mount", "--bind", layout.image_store, NODE / "containerd")
    command("mount", "-t", "tmpfs", "tmpfs", "/var/log")
    # An overlay leaves what is in /var/lib visible (a home folder may be there) and catches what CNI writes.
    scratch = Path("/run/var-lib")
    for part in ("upper", "work"):
        (scratch / part).mkdir(parents=True)
    options = f"lowerdir=/var/lib,upperdir={scratch}/upper,workdir={scratch}/work"
    command("mount", "-t", "overlay", "-o", options, "overlay", "/var/lib")


def private_files() -> None:
    """Cover the machine's name servers and the kernel settings that the kubelet would change."""
    folder = Path("/run/covers")
    folder.mkdir()
    for setting, value in KUBELET_TUNABLES.items():
        cover(Path("/proc/sys") / setting, f"{value}\n", folder)
    if Path("/etc/resolv.conf").exists():
        cover(Path("/etc/resolv.conf"), "", folder)


def cover(target: Path, content: str, folder: Path) -> None:
    source = folder / str(target).strip("/").replace("/", ".")
    source.write_text(content)
    command("mount", "--bind", source, target)


def private_network() -> None:
    """A bridge that carries the node's address; there is no link to any other network."""
    command("ip", "link", "set", "lo", "up")
    command("ip", "link", "add", "node0", "type", "bridge")
    command("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "node0")
    command("ip", "link", "set", "node0", "up")
    # The node's own packets for a service need a route, though each is rewritten to a pod's address. There is no
    # default route: whatever is addressed outside fails at once.
    command("ip", "route", "add", SERVICE_RANGE, "dev", "node0")
    command("sysctl", "-qw", *OWN_NETWORK_SYSCTLS)


class Supervisor:
    """Starts components, each with a log of its own, and starts again those that end."""

    def __init__(self, api_socket: int) -> None:
        self._api_socket = api_socket
        self._running: dict[int, Component] = {}

    def start(self, component: Component) -> None:
        with (NODE / "log" / f"{component.name}.log").open("ab") as log:
            process = subprocess.Popen(
                component.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=CHECKOUT,
                env=os.environ | GO_ENVIRONMENT, pass_fds=(self._api_socket,) if component.name == "relay" else (),
            )  # fmt: skip
        self._running[process.pid] = component
        print(f"{component.name} started", flush=True)

    def start_wave(self, wave: list[Component]) -> None:
        for component in wave:
            self.start(component)
        while not all(component.ready() for component in wave):
            self.reap(os.WNOHANG)
            time.sleep(READY_POLL_SECONDS)

    def reap(self, options: int = 0) -> None:
        """Collect one ended process: orphans of containers silently, components with a restart."""
        pid, status = os.waitpid(-1, options)
        if component := self._running.pop(pid, None):
            print(f"{component.name} ended with {os.waitstatus_to_exitcode(status)}; starting it again", flush=True)
            time.sleep(RESTART_SECONDS)
            self.start(component)


def main(layout: Layout, api_socket: int) -> None:
    cgroups.join_system(layout.cgroup)
    private_mounts(layout)
    private_files()
    private_network()
    supervisor = Supervisor(api_socket)
    for wave in waves(layout, api_socket):
        supervisor.start_wave(wave)
    print("all components started", flush=True)
    while True:
        supervisor.reap()


if __name__ == "__main__":
    main(Layout(sys.argv[2], Path(sys.argv[1])), int(sys.argv[3]))
