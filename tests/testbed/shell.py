"""Running other programs: quiet when they work, with their last words when they do not; progress and locks."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HEARTBEAT_SECONDS = 20.0
# For Go programs: their memory is worth less on a test machine than the processors that collecting it takes.
GO_ENVIRONMENT = {"GOGC": "400"}
NOT_UP = "no cluster is up: run `python -m tests.testbed up` first"


class TestbedError(Exception):
    """Something a person has to see; the message says what failed and the way out."""

    __test__ = False  # pytest takes every class named Test… for tests


def say(message: str) -> None:
    """Print one progress line at once, on stderr: stdout belongs to the commands' results."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce a step, say every 20 s that it still runs, and end with the seconds it took."""
    started = time.monotonic()
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"  … {what}: {time.monotonic() - started:.0f} s so far")

    say(f"• {what}")
    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
    say(f"  {what}: {time.monotonic() - started:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: Path | None = None,
    log: Path | None = None,
) -> str:
    """Run a program and return its stdout; `env` is added to the environment, `log` receives stderr (and is kept).

    Raises TestbedError with the last lines of stderr when the program is missing or its exit code is not 0.
    """
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    try:
        done = subprocess.run(
            [str(word) for word in argv], env={**os.environ, **(env or {})}, cwd=cwd, stdin=source,
            capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as missing:
        raise TestbedError(f"{argv[0]} is not installed: run `python -m tests.testbed build`") from missing
    finally:
        if not isinstance(source, int):
            source.close()
    if log:
        log.write_bytes(done.stderr)
    if done.returncode:
        raise TestbedError(_failure(argv, done.returncode, done.stdout + done.stderr, log))
    return done.stdout.decode()


def _failure(argv: Sequence[str | Path], code: int, output: bytes, log: Path | None) -> str:
    words = " ".join(str(word) for word in argv[:6])
    last = "\n".join(f"    {line}" for line in output.decode(errors="replace").splitlines()[-15:])
    return f"`{words}…` ended with exit code {code}{f' (all of it in {log})' if log else ''}:\n{last}"


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when the holder dies, so it is never stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"• waiting for another run that is busy with {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wait_until(condition: Callable[[], bool], what: str, timeout: float, interval: float = 0.1) -> None:
    """Poll a condition. Raises TestbedError that names `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TestbedError(f"waited {timeout:.0f} s for {what}")
        time.sleep(interval)
