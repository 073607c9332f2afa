"""The life of a local cluster: beside another one, after accidents, and what stays when it goes down: nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.testbed_pods import run_pod
from tests.testbed import cgroups, imaging, leftovers, loading, programs
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.local import LocalCluster
from tests.testbed.shell import wait_until


@pytest.fixture(scope="module")
def second(cluster: Cluster) -> Iterator[LocalCluster]:
    """Another cluster on the same machine, removed with its images at the end."""
    if not isinstance(cluster, LocalCluster):
        pytest.skip("this is about the local provider")
    other = LocalCluster(Layout(f"{cluster.name[:30]}-second", cluster.layout.cache))
    yield other
    leftovers.forget(other.layout)
    assert not other.layout.image_store.exists()


def test_two_clusters_on_one_machine_do_not_see_each_other(cluster: Cluster, second: LocalCluster) -> None:
    second.create()
    cluster.kubectl("create", "configmap", "of-the-first")
    try:
        assert second.kubeconfig_path != cluster.kubeconfig_path
        assert "of-the-first" not in second.kubectl("get", "configmaps")
        second.delete()
        assert not second.is_up()
        assert cluster.is_up()
    finally:
        cluster.kubectl("delete", "configmap", "of-the-first")


def command_line(second: LocalCluster, *words: str) -> subprocess.Popen[str]:
    """The test bed's command line as a person calls it, for the second cluster."""
    environment = {**os.environ, "AADA_CLUSTER": second.name, "AADA_CACHE": str(second.layout.cache)}
    argv = [sys.executable, "-m", "tests.testbed", *words]
    return subprocess.Popen(
        argv, cwd=CHECKOUT, env=environment, encoding="utf-8", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command and return what it said; it must succeed."""
    with process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    return said


def kill_node(second: LocalCluster) -> None:
    pid = second.namespace.init_pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: second.namespace.init_pid() is None, "the node to die", 20)


def kill_half_started(second: LocalCluster) -> None:
    starting = command_line(second, "up")
    wait_until(lambda: second.namespace.init_pid() is not None, "the node to begin", 60, interval=0.01)
    starting.kill()
    starting.communicate()


@pytest.mark.parametrize("accident", [kill_node, kill_half_started])
def test_up_copes_with_what_a_killed_run_left(second: LocalCluster, accident: Callable[[LocalCluster], None]) -> None:
    second.delete()
    if accident is kill_node:
        second.create()
        assert "up after" in finish(command_line(second, "up")), "a running cluster was not found running"
    accident(second)
    assert cgroups.existing(second.layout.cgroup)
    finish(command_line(second, "up"))
    assert run_pod(second, "default", "after", "echo", "works") == "works\n"


def machine_state(layout: Layout) -> dict[str, object]:
    """What a cluster could leave on the machine outside the cache."""
    folders = ("/var/lib/cni", "/var/log/containers", "/var/log/pods")
    sysctls = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
    found = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if layout.name in line]
    return {
        "state": layout.state.exists(),
        "cgroups": cgroups.existing(layout.cgroup),
        "mounts": found,
        "named networks": subprocess.check_output(["ip", "netns", "list"], text=True),
        "links": sorted(re.findall(r"^\d+: ([^:@]+)", subprocess.check_output(["ip", "link"], text=True), re.M)),
        "kernel settings": [Path("/proc/sys", name).read_text() for name in sysctls],
        "sockets": sorted(str(path) for path in Path("/run").rglob("*.sock")),
        "logs and leases": sorted(str(path) for folder in folders for path in Path(folder).rglob("*")),
    }


def members(namespace: Path) -> list[str]:
    """The processes of a PID namespace, by their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if (process / "ns" / "pid").readlink() == namespace:
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_down_leaves_nothing_on_the_machine(second: LocalCluster) -> None:
    second.delete()
    before = machine_state(second.layout)
    finish(command_line(second, "up"))
    run_pod(second, "default", "leaves-traces", "echo", "works")
    namespace = Path(f"/proc/{second.namespace.init_pid()}/ns/pid").readlink()
    assert any("kubelet" in line for line in members(namespace))
    assert machine_state(second.layout)["state"]
    finish(command_line(second, "down"))
    assert members(namespace) == []
    assert machine_state(second.layout) == before
    finish(command_line(second, "down"))


def test_a_warm_start_builds_and_imports_nothing(second: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    second.create()
    second.delete()
    monkeypatch.setattr(imaging, "buildah", lambda _: pytest.fail("an image was built"))
    monkeypatch.setattr(loading, "import_archive", lambda *_: pytest.fail("an image was imported"))
    monkeypatch.setattr(programs, "run", lambda *_, **__: pytest.fail("a program was built or installed"))
    second.create()
    assert run_pod(second, "default", "warm", "echo", "works") == "works\n"
