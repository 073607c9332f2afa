"""The node's namespaces from outside: start, find, enter and stop them.

Nothing is recorded: a node is found by what its first process was started with, so nothing can be out of date.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.layout import CHECKOUT, Layout
from tests.testbed.shell import wait_until

INIT = "tests.testbed.node_init"
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Namespace:
    """The network, mount and PID namespaces of one cluster's node."""

    layout: Layout

    def start(self, log: Path) -> int:
        """Start the node and return the port of 127.0.0.1 that leads to its API server.

        The listening socket is made here, in the machine's network, and handed over: a socket stays in the network
        it was made in, so the node needs no link to it and no helper process stays outside.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener, log.open("ab") as output:
            handle = listener.fileno()
            argv = ["setsid", "--fork", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                    "--mount-proc", "--propagation", "private",
                    sys.executable, *self._arguments(), str(handle)]  # fmt: skip
            subprocess.run(
                argv, check=True, cwd=CHECKOUT, pass_fds=(handle,), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output,
            )  # fmt: skip
            port: int = listener.getsockname()[1]
        return port

    def init_pid(self) -> int | None:
        """The process that is PID 1 inside, or None when the node does not run."""
        return next((pid for pid in self._processes() if _namespace_pid(pid) == 1), None)

    def stop(self) -> None:
        """Kill the node; the kernel ends every process inside, containers included."""
        killed: set[int] = set()

        def is_dead() -> bool:
            # PID 1 alone: `unshare` then reaps it and ends. Only where there is no PID 1 yet, `unshare` itself.
            first = self.init_pid()
            targets = {first} if first else set() if killed else set(self._processes())
            for pid in targets:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed.update(targets)
            return not any(map(_alive, killed.union(self._processes())))

        wait_until(is_dead, f"the processes of cluster {self.layout.name} to end", STOP_SECONDS)

    def enter(self, *argv: str | Path) -> list[str | Path]:
        """The command line that runs `argv` inside. Raises ProcessLookupError when the node does not run."""
        pid = self.init_pid()
        if pid is None:
            raise ProcessLookupError(f"cluster {self.layout.name} does not run")
        return ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--", *argv]

    def _processes(self) -> list[int]:
        """`unshare` and the process it started, which is PID 1 inside."""
        wanted = "\0".join((*self._arguments(), "")).encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if wanted in _command_line(path)]

    def _arguments(self) -> tuple[str, ...]:
        return ("-m", INIT, str(self.layout.cache), self.layout.name)


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    """PID 1 of a namespace becomes a zombie only once the kernel has ended every other process inside."""
    return _status(pid).get("State", "Z")[0] not in "ZX"


def _namespace_pid(pid: int) -> int:
    return int(_status(pid).get("NSpid", "0").split()[-1])


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
