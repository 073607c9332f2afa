"""Runs the sample LMS outside a cluster: a release as its image has it, gunicorn on loopback."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.testbed.layout import cache_folder

REPOSITORY = Path(__file__).parents[3]
SOURCE = REPOSITORY / "tests" / "sample_lms"

ENCRYPTION_KEY = "canary-encryption-key-5e1f"
JWT_KEY = "canary-jwt-key-" + "0123456789abcdef" * 2
DATABASE_PASSWORD = "canary-database-password"
LOGIN = {"email": "ada@example.edu", "password": "notes-on-the-engine-1843"}


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill what is left of a process that was started as the head of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def application_python() -> Path:
    """The interpreter of a virtual environment with the application's locked packages, made once for a machine."""
    lock = SOURCE / "requirements.lock"
    inputs = lock.read_bytes() + sys.version.encode()
    environment = cache_folder() / f"sample-lms-{hashlib.sha256(inputs).hexdigest()[:12]}"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            python = environment / "bin" / "python"
            subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
            argv = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)]
            # The operator's own packages are on PYTHONPATH: pip would miss what they need.
            subprocess.run(argv, env=os.environ | {"PYTHONPATH": ""}, check=True)
            (environment / "complete").touch()
    return environment / "bin" / "python"


@dataclass(frozen=True)
class Release:
    """One release's files, laid out as in its image."""

    folder: Path
    python: Path

    @classmethod
    def make(cls, version: str, folder: Path, python: Path) -> "Release":
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        subprocess.run([python, "-m", "sample_lms.release", version], cwd=folder, check=True)
        return cls(folder, python)

    def environment(self, url: str, **settings: str) -> dict[str, str]:
        """What a container of this release is given, and nothing of this process's own."""
        return {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "PYTHONPATH": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": JWT_KEY,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "SAMPLE_LMS_PROFILE": "small",
            **settings,
        }

    def run(self, *command: str, url: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end; TimeoutExpired when it does not end by itself."""
        with self.spawn(*command, url=url, **settings) as process:
            try:
                output, errors = process.communicate(timeout=60)
            finally:
                end_group(process)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def spawn(self, *command: str, url: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command of the image, as the head of a process group; its output and errors can be read."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(url, **settings),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def migrate(self, url: str, revision: str = "head") -> None:
        done = self.run("alembic", "upgrade", revision, url=url)
        assert done.returncode == 0, done.stderr


class RunningLms:
    """The API under gunicorn: an HTTP client of it, its log, and its end."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)
        # No keep-alive: after a 500 uvicorn closes the connection unannounced, and the next request may be lost.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits)
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def login(self, **credentials: str) -> dict[str, str]:
        """Sign in, as the known account unless told otherwise, and return the tokens."""
        answer = self.http.post("/auth/login", json=LOGIN | credentials)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, str] = answer.json()
        return tokens

    def signed_in(self, **credentials: str) -> dict[str, str]:
        """The header of a signed-in request."""
        return {"Authorization": f"Bearer {self.login(**credentials)['access_token']}"}


@contextmanager
def serve(release: Release, url: str, log: Path, **settings: str) -> Iterator[RunningLms]:
    """Run `gunicorn` as a pod would, on a socket that is open before it starts: a client just waits for the answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        handle = listener.fileno()
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["gunicorn", "--bind", f"fd://{handle}"],
                cwd=release.folder,
                env=release.environment(url, **settings),
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[handle],
                start_new_session=True,
            )
    lms = RunningLms(process, port, log)
    try:
        yield lms
    finally:
        lms.http.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            end_group(process)
