"""The servers of one test: SQL in its PostgreSQL, a look into its bucket, and both stopped and started."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from tests.cluster.workspace import Workspace
from tests.testbed.services import PostgresServer, S3Server
from tests.testbed.shell import wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POD = "postgres-0"
# What PostgreSQL logs with SQLSTATE 53300: it is full, all but reserved slots are taken, a limit is reached.
_REFUSED = re.compile(r"too many clients|remaining connection slots|too many connections")
_SESSIONS = 6
_WAITS = "SELECT pg_advisory_lock(1), pg_sleep(600)"
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@dataclass(frozen=True)
class Database:
    """The PostgreSQL server of a namespace."""

    workspace: Workspace
    server: PostgresServer

    @property
    def host(self) -> str:
        return self.server.host

    def sql(self, statement: str, database: str = "postgres", **kwargs: Any) -> str:
        """Run SQL as the admin and return what psql prints: rows as lines, columns between bars, no header.

        ``kwargs`` go to `subprocess.check_output`.

        Raises subprocess.CalledProcessError when a statement fails.
        """
        command = _psql(self.server.credentials["username"], database)
        return self.workspace.kubectl("exec", "--stdin", POD, "--", *command, input=statement, **kwargs).strip()

    @contextmanager
    def session(self, statement: str, database: str, login: str = "") -> Iterator[subprocess.Popen[str]]:
        """A session, the admin's unless a login is given, that stays in the state of its statement; only inside the
        block, unless somebody ends it earlier: its process ends then."""
        command = _psql(login or self.server.credentials["username"], database)
        argv = [str(self.workspace.cluster.kubectl_path), "--namespace", self.workspace.namespace]
        with subprocess.Popen(
            [*argv, "exec", "--stdin", POD, "--", *command],
            env=self.workspace.cluster.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            print(f"{statement}; SELECT 'ready';", file=process.stdin, flush=True)
            assert process.stdout.readline() == "ready\n"
            try:
                yield process
            finally:
                process.stdin.close()

    def refused(self) -> int:
        """How many connections the server has refused for want of a slot, since its container started."""
        return len(_REFUSED.findall(self.workspace.logs(f"pod/{POD}")))

    @contextmanager
    def sessions_that_wait(self) -> Iterator[None]:
        """Six sessions that want one lock, as at the start of a class when all write to the same row: five wait."""
        with ThreadPoolExecutor(_SESSIONS) as pool:
            for _ in range(_SESSIONS):
                pool.submit(self.sql, _WAITS, stderr=subprocess.DEVNULL)  # they are ended
            try:
                wait_until(lambda: int(self.sql(_WAITING)) == _SESSIONS - 1, "sessions that wait for a lock", 60)
                yield
            finally:
                self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_advisory%' "
                         "AND pid <> pg_backend_pid()")  # fmt: skip

    def stop(self) -> None:
        """End the server, as a fault would; ``start`` brings it back with its data."""
        self.workspace.kubectl("scale", "statefulset/postgres", "--replicas=0")
        self.workspace.wait_gone(f"pod/{POD}")

    def start(self) -> None:
        """Bring the server back and wait until it answers."""
        self.workspace.kubectl("scale", "statefulset/postgres", "--replicas=1")
        self.workspace.kubectl("rollout", "status", "statefulset/postgres", "--timeout=120s")


def _psql(user: str, database: str) -> list[str]:
    """The client in the server's pod; its socket needs no password, which would be an argument that others can see."""
    connection = ["--host=/tmp", f"--username={user}", f"--dbname={database}"]
    return ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", *connection]


@dataclass(frozen=True)
class Bucket:
    """A bucket of the S3 server of a namespace."""

    workspace: Workspace
    server: S3Server
    name: str

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @contextmanager
    def client(self) -> Iterator[S3Client]:
        """A client of the server, as its owner; only inside the block."""
        where = f"--namespace={self.workspace.namespace}"
        with self.workspace.cluster.port_forward("service/s3", self.server.port, where) as port:
            yield boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id=self.server.credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.server.credentials["AWS_SECRET_ACCESS_KEY"],
            )

    def keys(self, prefix: str = "") -> list[str]:
        """Names of all objects below a prefix, in order."""
        with self.client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def read(self, key: str) -> bytes:
        """The content of an object. Raises botocore's ClientError when there is none."""
        with self.client() as client:
            return client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def read_json(self, key: str) -> Any:
        """A JSON object, such as a manifest."""
        return json.loads(self.read(key))

    def stop(self) -> None:
        """End the server, as a fault would; ``start`` brings it back with its data."""
        self.workspace.kubectl("scale", "deployment/s3", "--replicas=0")
        self.workspace.kubectl("wait", "--for=delete", "pods", "--selector=app.kubernetes.io/name=s3", "--timeout=60s")

    def start(self) -> None:
        """Bring the server back and wait until it answers."""
        self.workspace.kubectl("scale", "deployment/s3", "--replicas=1")
        self.workspace.kubectl("rollout", "status", "deployment/s3", "--timeout=120s")
