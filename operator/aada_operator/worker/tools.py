"""Programs that run as children: argument lists only, their exit code always asked, their words read."""

import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self, cast

from aada_operator.adapters.postgres_errors import Place
from aada_operator.core.errors import Waiting
from aada_operator.worker.failures import program_failure

_STDERR_READ = 64 * 2**10
_running: set["Program"] = set()


class Program:
    """One running program; leaving its context ends it, whatever state it is in.

    ``stdin``, ``stdout`` and ``stderr`` are as for subprocess, and files without a buffer of their own unless
    ``buffered``.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        buffered: bool = True,
    ) -> None:
        self._argv = list(argv)
        self._environment = environment
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._buffered = buffered

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv,
            env=self._environment,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=self._stderr,
            bufsize=-1 if self._buffered else 0,
        )
        # Each is there if PIPE was asked for.
        self.stdin = cast("IO[bytes]", self._process.stdin)
        self.stdout = cast("IO[bytes]", self._process.stdout)
        self.stderr = cast("IO[bytes]", self._process.stderr)
        _running.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        _running.discard(self)

    def kill(self) -> None:
        """End the program now; nothing happens when it has ended."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        return self._process.wait()


class Tool(Program):
    """A program of PostgreSQL; what it says on stderr is kept in a file, and read when it fails.

    ``otherwise`` is the reason of a failure that has no reason of its own.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        place: Place,
        otherwise: str,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        buffered: bool = True,
    ) -> None:
        super().__init__(argv, environment, stdin=stdin, stdout=stdout, buffered=buffered)
        self._place = place
        self._otherwise = otherwise

    def __enter__(self) -> Self:
        self._said = self._stderr = tempfile.TemporaryFile()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._said.close()

    def finish(self) -> None:
        """Wait for the end.

        Raises:
            OperatorError: the exit code is not 0.
        """
        code = self.wait()
        if code < 0:
            raise Waiting(self._otherwise, f"{self._name} was killed by signal {-code}: out of memory, or by a person")
        if code:
            raise program_failure(self._name, self._words(), self._place, self._otherwise)

    @property
    def _name(self) -> str:
        return Path(self._argv[0]).name

    def _words(self) -> str:
        self._said.seek(0)
        return self._said.read(_STDERR_READ).decode(errors="replace")


def kill_all() -> None:
    """End every program that runs, so that nobody waits for its output any more."""
    for tool in list(_running):
        tool.kill()


def version_of(program: Path) -> str:
    """What a program says with ``--version``, as ``pg_dump (PostgreSQL) 15.18``."""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
