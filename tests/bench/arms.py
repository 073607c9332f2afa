"""The two operators as processes of this machine, and what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIB_PER_MIB = 1024
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Arm:
    """One of the operators: how it is started for a namespace. `{namespace}` stands for it in words and values."""

    name: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


OPERATOR = Arm(
    "operator",
    ("-m", "aada_operator", "run"),
    (
        ("AADA_NAMESPACES", "{namespace}"),
        ("AADA_LEADER_ELECTION", "false"),
        ("AADA_HTTP_PORT", "0"),
        ("PYTHONPATH", str(ROOT / "operator")),
    ),
)
NOOP = Arm("no-op", (str(Path(__file__).with_name("noop_operator.py")), "{namespace}"))
ARMS = (OPERATOR, NOOP)


class Operator:
    """A running operator; `started` is the Unix time at which the process was made."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, started: float) -> None:
        self._process = process
        self._log = log
        self._proc = Path(f"/proc/{process.pid}")
        self.started = started

    def rss(self) -> float:
        """Resident memory in MiB."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / KIB_PER_MIB

    def cpu(self) -> float:
        """Seconds of CPU used so far, in user and kernel mode."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        """The end of its log, and its exit code when it has ended."""
        last = [f"    {line}" for line in self._log.read_text(errors="replace").splitlines()[-12:]]
        return "\n".join([*last, *([] if self.is_alive() else [f"exit code {self._process.returncode}"])])

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(arm: Arm, namespace: str, kubeconfig: Path, log: Path) -> Iterator[Operator]:
    """Run an operator on one namespace; it is stopped at the end."""
    argv = [sys.executable, *(word.format(namespace=namespace) for word in arm.argv)]
    own = {name: value.format(namespace=namespace) for name, value in arm.environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AADA_", "PYTHON"))}
    environment = kept | own | {"KUBECONFIG": str(kubeconfig)}
    with log.open("wb") as output:
        started = time.time()
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
    operator = Operator(process, log, started)
    try:
        yield operator
    finally:
        operator.stop()
