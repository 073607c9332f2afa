"""The command line of the test bed: `python -m tests.testbed --help`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.testbed import catalogue, leftovers, loading, programs
from tests.testbed.layout import Layout, cache_folder
from tests.testbed.local import LocalCluster
from tests.testbed.provider import open_cluster
from tests.testbed.shell import NOT_UP, TestbedError, say
from tests.testbed.versions import HELM, KUBERNETES, PROGRAMS, VERSITYGW

DESCRIPTION = f"""A real Kubernetes {KUBERNETES} cluster for development and tests.

The cluster belongs to this checkout; AADA_CLUSTER names another one, AADA_CACHE moves the cache, and
AADA_PROVIDER (local or kind) chooses how it runs. docs/development-cluster.md says more."""
NEEDS_ROOT = {"up", "down", "build", "images", "load", "shell"}


def up(_: argparse.Namespace) -> int:
    started = time.monotonic()
    cluster = open_cluster()
    cluster.create()
    say(f"cluster {cluster.name} is up after {time.monotonic() - started:.1f} s; use it with one of")
    say("  python -m tests.testbed kubectl get pods -A")
    say(f"  export KUBECONFIG={cluster.kubeconfig_path}")
    return 0


def down(_: argparse.Namespace) -> int:
    cluster = open_cluster()
    cluster.delete()
    for left in leftovers.of_test_workers(Layout.current()):
        LocalCluster(left).delete()
    say(f"cluster {cluster.name} is gone; the cache stays ({Layout.current().cache})")
    return 0


def status(_: argparse.Namespace) -> int:
    cluster = open_cluster()
    if not cluster.is_up():
        say(f"cluster {cluster.name} is down: `python -m tests.testbed up` starts it")
        return 1
    print(cluster.kubectl("get", "nodes", "--output=wide"))
    print(f"kubeconfig {cluster.kubeconfig_path}\naudit log  {cluster.audit_log}")
    return 0


def build(_: argparse.Namespace) -> int:
    layout = Layout.current()
    programs.install_packages(layout)
    programs.build_programs(layout)
    for program in PROGRAMS:
        print(layout.cache / program.folder)
    return 0


def images(_: argparse.Namespace) -> int:
    cluster = open_cluster()
    programs.build_programs(Layout.current(), [VERSITYGW])
    for image in [catalogue.postgres_server(), catalogue.s3_server(Layout.current()), *catalogue.project_images()]:
        cluster.ensure_image(image)
    return 0


def load(arguments: argparse.Namespace) -> int:
    archive: Path = arguments.archive
    if not archive.is_file():
        raise TestbedError(f"{archive} is not a file; `buildah push IMAGE oci-archive:FILE:IMAGE` makes one")
    say(loading.import_archive(LocalCluster().namespace, archive).strip())
    return 0


def kubectl(arguments: argparse.Namespace) -> int:
    cluster = open_cluster()
    if not cluster.kubeconfig_path.exists():
        raise TestbedError(NOT_UP)
    return subprocess.run([cluster.kubectl_path, *arguments.words], env=cluster.environment(), check=False).returncode


def shell(_: argparse.Namespace) -> int:
    """A shell inside the node's namespaces, with kubectl and helm on PATH."""
    cluster = LocalCluster()
    layout = cluster.layout
    if not cluster.is_up():
        raise TestbedError(NOT_UP)
    folders = [str(cluster.kubectl_path.parent), str(layout.program(HELM).parent), os.environ["PATH"]]
    inside = layout.state / "config" / "admin.kubeconfig"
    env = {**os.environ, "KUBECONFIG": str(inside), "PATH": ":".join(folders)}
    argv = [str(word) for word in cluster.namespace.enter(os.environ.get("SHELL", "/bin/bash"))]
    return subprocess.run(argv, env=env, check=False).returncode


def logs(arguments: argparse.Namespace) -> int:
    folder = Layout.current().logs
    known = sorted(path.stem for path in folder.glob("*.log"))
    if arguments.component not in known:
        raise TestbedError(f"there is a log of: {', '.join(known) or 'nothing, the cluster is down'}")
    argv = ["tail", f"--lines={arguments.lines}", *(["--follow"] if arguments.follow else [])]
    return subprocess.run([*argv, folder / f"{arguments.component}.log"], check=False).returncode


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m tests.testbed", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(action=action)
        return added

    command("up", up, "bring the cluster up, or find it up; builds what the cache lacks")
    command("down", down, "remove the cluster; the cache of programs and images stays")
    command("status", status, "show the node and the paths; exit code 1 when the cluster is down")
    command("build", build, "install packages and build all programs, without starting anything")
    command("images", images, "build and load the operator, the sample LMS and the servers that tests use")
    command("load", load, "import an OCI or Docker image archive").add_argument("archive", type=Path)
    command("kubectl", kubectl, "run kubectl against the cluster")
    command("shell", shell, "open a shell inside the node's namespaces")
    log = command("logs", logs, "show the log of a component: kube-apiserver, kubelet, etcd, containerd, coredns, …")
    log.add_argument("component")
    log.add_argument("--lines", default="50")
    log.add_argument("--follow", action="store_true")
    return root


def become_root() -> NoReturn:
    """Run the same command through sudo, on the caller's cache. Raises TestbedError where sudo is missing."""
    if not shutil.which("sudo"):
        raise TestbedError("a local cluster needs root, and sudo is not here: run this as root")
    os.environ["AADA_CACHE"] = str(cache_folder())
    os.execvp("sudo", ["sudo", "--preserve-env", sys.executable, "-m", "tests.testbed", *sys.argv[1:]])


def main() -> int:
    # argparse takes options of a program it does not know for its own, so kubectl's words pass it by.
    own, words = (sys.argv[1:2], sys.argv[2:]) if sys.argv[1:2] == ["kubectl"] else (sys.argv[1:], [])
    arguments = parser().parse_args(own)
    arguments.words = words
    try:
        if arguments.command in NEEDS_ROOT and os.geteuid() != 0 and isinstance(open_cluster(), LocalCluster):
            become_root()
        return int(arguments.action(arguments))
    except (TestbedError, ValueError) as error:
        say(f"error: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"error: {Path(error.cmd[0]).name} ended with exit code {error.returncode}; its message is above")
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again, it goes on where it stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
