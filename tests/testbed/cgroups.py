"""The control groups of one cluster, on machines with cgroups v1 (one tree per controller) or v2 (one tree)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.testbed.shell import wait_until

ROOT = Path("/sys/fs/cgroup")
REMOVAL_SECONDS = 20.0
# As on a systemd node, where kubepods.slice stands beside system.slice: were the components outside, each of their
# threads would have as much of a busy processor as all pods together.
SYSTEM = "system"
# The cluster's share, twice the usual: outside its group each thread of the machine counts like a group. With more,
# what asks the cluster starves.
WEIGHTS = {"cpu.shares": "2048", "cpu.weight": "200"}


def create(name: str) -> None:
    """Make the group under every controller: the kubelet refuses a cgroup root that does not exist."""
    if (ROOT / "cgroup.controllers").exists():
        controllers = (ROOT / "cgroup.controllers").read_text().split()
        (ROOT / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
        (ROOT / name).mkdir(exist_ok=True)
    else:
        for tree in _version_1_trees():
            (tree / name).mkdir(exist_ok=True)
    for group in existing(name):
        for weight in WEIGHTS.keys() & {file.name for file in group.iterdir()}:
            (group / weight).write_text(WEIGHTS[weight])
            (group / SYSTEM).mkdir(exist_ok=True)


def join_system(name: str) -> None:
    """Put this process, and those that it will start, beside the cluster's pods where processor time is shared."""
    for group in existing(name):
        if (group / SYSTEM).is_dir():
            (group / SYSTEM / "cgroup.procs").write_text("0")


def remove(name: str) -> None:
    """Remove the group everywhere, killing what a dead run left in it. Raises TestbedError when something stays."""
    wait_until(lambda: _try_remove(name), f"the kernel to release the cgroups {name}", REMOVAL_SECONDS)


def existing(name: str) -> list[Path]:
    return [tree for tree in (ROOT / name, *(tree / name for tree in _version_1_trees())) if tree.is_dir()]


def _version_1_trees() -> list[Path]:
    """The hierarchies by their real folders: `cpu,cpuacct` has two more names that are symbolic links."""
    return [path for path in ROOT.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _try_remove(name: str) -> bool:
    for tree in existing(name):
        for folder, _, _ in os.walk(tree, topdown=False):
            _kill_members(Path(folder))
            with suppress(OSError):  # still busy, or gone by itself: the next round sees
                Path(folder).rmdir()
    return not existing(name)


def _kill_members(folder: Path) -> None:
    with suppress(OSError):
        for pid in (folder / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
