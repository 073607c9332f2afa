"""Real servers for tests, on loopback and unix sockets only: PostgreSQL and an S3 server, to be stopped at will.

A server dies with the thread that started it, so that a killed test run leaves nothing: start it from the main one.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import psycopg
from botocore.config import Config
from psycopg import sql

from aada_operator.api.task import DatabaseAddress, S3Location
from tests.service.processes import stands_still
from tests.testbed.layout import Layout
from tests.testbed.programs import build_programs
from tests.testbed.versions import POSTGRES, VERSITYGW

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POSTGRES_BIN = Path(f"/usr/lib/postgresql/{POSTGRES}/bin")
POSTGRES_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1h",
    "max_locks_per_transaction": "256",
    "log_statement": "all",
    "log_line_prefix": "%m [%p] %u@%d ",
}
# What the servers of all test processes need together at the most.
_ROOM = 8 << 30


def free_port() -> int:
    """A loopback port that is free now, and that no connection takes while a server is stopped and started again.

    Below the ports that Linux gives to clients; by chance, as other test processes choose, too.
    """
    while True:
        port = 12000 + secrets.randbelow(20000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20.0, pause: float = 0.05) -> None:
    """Wait until a condition holds. Raises TimeoutError that names ``what``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


def in_memory() -> str:
    """A folder in memory for servers whose speed nobody measures; empty, as any, where the machine has none with room.

    A database is three hundred files. An ext4 that has removed thousands of them lately looks at each before it makes
    another one: 15 databases made and dropped took 7 seconds there, and 2 in memory.
    """
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else ""


def unprivileged() -> dict[str, Any]:
    """Arguments for subprocess: PostgreSQL refuses to run as root, so root hands it to the user ``postgres``."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


class PostgresServer:
    """One PostgreSQL server: passwords over TCP, none for its superuser over the unix socket."""

    user = "postgres"

    def __init__(self, parent: str = "", **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aada-pg-", dir=parent or None))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.host, self.port = "127.0.0.1", free_port()
        self.password = f"canary-{secrets.token_urlsafe(16)}"
        self._options = {**POSTGRES_OPTIONS, **options}
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._initdb()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _initdb(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        argv = [str(POSTGRES_BIN / "initdb"), "-D", str(self.data), "-U", self.user, "--no-sync"]
        argv += ["--locale=C.UTF-8", "-E", "UTF8"]
        argv += ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}"]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder, **unprivileged())
        password_file.unlink()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        argv = ["setpriv", "--pdeathsig", "QUIT", str(POSTGRES_BIN / "postgres"), "-D", str(self.data)]
        argv += ["-p", str(self.port), "-k", str(self.folder), "-h", self.host]
        argv += [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder, **unprivileged())
        wait_for(self._answers, "PostgreSQL to answer")

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended: {self.log.read_text()[-2000:]}")
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` ends sessions properly, ``immediate`` is a crash."""
        if self._process is None or self._process.poll() is not None:
            return
        argv = [str(POSTGRES_BIN / "pg_ctl"), "stop", "-D", str(self.data), "-m", mode, "-w"]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder, **unprivileged())
        self._process.wait(10)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start, on the same port."""
        self.stop(mode)
        self.start()

    def admin(self, database: str = "postgres", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """An autocommit connection of the superuser, whatever time-outs a test has set for its role or database."""
        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user=self.user,
            dbname=database,
            autocommit=True,
            options="-c idle_session_timeout=0 -c statement_timeout=0 -c lock_timeout=0",
            **options,
        )

    def execute(self, statements: str, database: str = "postgres") -> None:
        """Run SQL as the superuser."""
        with self.admin(database) as connection:
            connection.execute(statements.encode())

    def value(self, query: str, database: str = "postgres") -> Any:
        """The first column of the first row of a query, as the superuser."""
        with self.admin(database) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def createdb(self, name: str | None = None, template: str = "template0", owner: str | None = None) -> str:
        """Make a database; a copy of ``template`` takes milliseconds. Returns its name."""
        name = name or f"test_{next(self._names)}_{secrets.token_hex(3)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(template), sql.Identifier(owner or self.user)
        )
        with self.admin() as connection:
            connection.execute(statement)
        return name

    def dropdb(self, name: str) -> None:
        """Remove a database and whoever uses it."""
        with self.admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def address(self, database: str) -> DatabaseAddress:
        """Where a database is, for a worker's task."""
        return DatabaseAddress(host=self.host, port=self.port, name=database, ssl_mode="disable")


class Standby(PostgresServer):
    """A streaming replica of another server; it has its roles and passwords."""

    def __init__(self, primary: PostgresServer, parent: str = "", **options: str) -> None:
        super().__init__(parent, **options)
        self.primary, self.password = primary, primary.password

    def _initdb(self) -> None:
        argv = [str(POSTGRES_BIN / "pg_basebackup"), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        argv += ["-D", str(self.data), "-h", str(self.primary.folder), "-p", str(self.primary.port), "-U", self.user]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder, **unprivileged())

    def catch_up(self) -> None:
        """Wait until it has all that the primary has."""
        # Commits are flushed a little later here: synchronous_commit is off.
        lsn = self.primary.value("SELECT pg_current_wal_insert_lsn()")
        wait_for(lambda: bool(self.value(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")), "the standby")


@contextmanager
def stopped(process: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """A server's process stands still for as long as the block runs."""
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: stands_still(process.pid), "the process to stand still", pause=0.001)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class S3Server:
    """One versitygw over a folder: object ``key`` of ``bucket`` is the file ``root/bucket/key``.

    Older versions, in a bucket that keeps them, are below ``folder/versions``.

    ``certificate`` without suffix (``.crt``, ``.key``) makes it speak TLS.
    """

    def __init__(self, certificate: Path | None = None, parent: Path | None = None) -> None:
        self._certificate = certificate
        self.folder = Path(tempfile.mkdtemp(prefix="aada-s3-", dir=parent))
        self.root = self.folder / "data"
        self.port = free_port()
        self.access_key = f"canary{secrets.token_hex(8)}"
        self.secret_key = f"canary{secrets.token_hex(16)}"
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.root.mkdir()
        (self.folder / "versions").mkdir()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, on the same port and folder as before."""
        layout = Layout.current()
        build_programs(layout, (VERSITYGW,))
        argv = ["setpriv", "--pdeathsig", "KILL", str(layout.program(VERSITYGW)), "--port", f"127.0.0.1:{self.port}"]
        if self._certificate:
            argv += ["--cert", f"{self._certificate}.crt", "--key", f"{self._certificate}.key"]
        argv += ["--quiet", "posix", "--versioning-dir", str(self.folder / "versions"), str(self.root)]
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **keys})
        wait_for(self._answers, "the S3 server to answer")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Kill the server: open requests break, as in a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def frozen(self) -> AbstractContextManager[None]:
        """Connections stay open, answers stay out: as a server that is far too slow."""
        return stopped(self._process)

    def client(self) -> S3Client:
        """A plain client of the root account."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(self._certificate.with_name("ca.crt")) if self._certificate else None,
            config=Config(s3={"addressing_style": "path"}),
        )

    def make_bucket(self, *, locks: bool = False) -> str:
        """A new, empty bucket; ``locks``: objects can be locked in it."""
        name = f"bucket-{next(self._names)}-{secrets.token_hex(3)}"
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=locks)
        return name

    def keep_versions(self, bucket: str) -> None:
        """Let a bucket keep what is overwritten or deleted."""
        self.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def location(self, bucket: str) -> S3Location:
        """Where a bucket is, for a worker's task."""
        return S3Location(bucket=bucket, endpoint=self.endpoint, allow_local_endpoint=True)

    def file(self, bucket: str, key: str) -> Path:
        """The file behind an object, for damaging it."""
        return self.root / bucket / key

    def keys(self, bucket: str) -> list[str]:
        """All keys in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
