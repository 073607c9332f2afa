"""A PostgreSQL server of our own for the time of one verification: unix socket only, as fast as it can be."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from aada_operator.adapters.postgres_errors import Place
from aada_operator.api.task import INTERNAL, NO_SPACE
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.worker.server import Login, Server
from aada_operator.worker.tools import Tool

_USER = "aada_scratch"
_PORT = 5432
_START_SECONDS = 60.0
_FULL = b"No space left on device"
_LOG_READ = 64 * 2**10
# Its data may be lost at any moment, and nobody else uses it.
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "1h",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "20",
    "max_locks_per_transaction": "1024",
    # A container's /dev/shm is too small for parallel index builds.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
}


class ScratchServer:
    """Runs from entering to leaving; nothing of it stays, whatever happened. ``programs`` holds initdb and postgres."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._data = folder / "verification"
        self._programs = programs

    def __enter__(self) -> Self:
        # What a killed container left in the volume goes first.
        shutil.rmtree(self._data, ignore_errors=True)
        # The path of a unix socket has at most 107 bytes, so it is not below the scratch folder.
        self._sockets = tempfile.TemporaryDirectory(prefix="aada-pg-")
        self.server = Server(self._sockets.name, _PORT, "disable", lambda: Login(_USER, ""))
        try:
            self._initdb()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = getattr(self, "_process", None)
        if process and process.poll() is None:
            # SIGQUIT: at once and without a checkpoint.
            process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
        shutil.rmtree(self._data, ignore_errors=True)
        self._sockets.cleanup()

    def explain(self, failure: OperatorError) -> OperatorError:
        """The failure of a client, or what the server's log says is behind it."""
        if _FULL in (self._data / "server.log").read_bytes()[-_LOG_READ:]:
            return Waiting(NO_SPACE, "the scratch space is too small for the database: raise job.scratchSize")
        return failure

    def _initdb(self) -> None:
        argv = [str(self._programs / "initdb"), f"--pgdata={self._data}", f"--username={_USER}"]
        argv += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        with Tool(argv, _environment(), Place("scratch", _PORT, "", ""), INTERNAL) as initdb:
            initdb.finish()

    def _start(self) -> None:
        # The server dies with this process, even when it is killed.
        argv = ["setpriv", "--pdeathsig", "QUIT", str(self._programs / "postgres"), f"-D{self._data}"]
        argv += [f"-k{self._sockets.name}", f"-p{_PORT}"]
        argv += [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        with (self._data / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Waiting(INTERNAL, "the scratch server did not start: the log of the Job says more")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.server.connect("postgres").close()
        except OperatorError:
            return False
        return True


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
