"""A school whose database is backed up: servers, keys, the sample LMS and rows, shared by the tests of a module."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyrage

from tests.cluster import builders, release
from tests.cluster.servers import Bucket, Database
from tests.cluster.workspace import Object, Workspace, condition
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_postgres, install_s3, make_bucket

WAIT = 180.0
# A worker with so little of a core takes a while for the rows below: time enough to disturb it.
SLOW: Object = {"resources": {"limits": {"cpu": "100m"}}}
ENDED = ("Completed", "Failed")
ROWS = 250_000
FILL = f"""
CREATE TABLE public.notes AS
SELECT g AS id, encode(sha512(convert_to('a' || g, 'utf8')) || sha512(convert_to('b' || g, 'utf8')), 'hex') AS body
FROM generate_series(1, {ROWS}) AS g;
ALTER TABLE public.notes ADD PRIMARY KEY (id);
"""


@dataclass(frozen=True)
class School:
    """One namespace with everything; each test makes policies and backups of its own names."""

    workspace: Workspace
    database: Database
    s3: Bucket
    identity: str
    recipient: str

    @classmethod
    def open(cls, cluster: Cluster, name: str) -> School:
        """Servers, Secrets, a ready LMS and rows in its database."""
        release.ensure_namespace(cluster, name)
        workspace = Workspace(cluster, name)
        postgres, s3 = install_postgres(cluster, name), install_s3(cluster, name)
        make_bucket(cluster, s3, builders.BUCKET)
        key = pyrage.x25519.Identity.generate()
        workspace.secret(builders.IDENTITY_SECRET, **{builders.IDENTITY_KEY: str(key)})
        workspace.secret(
            builders.LMS_SECRET,
            **{name: f"canary-{secrets.token_urlsafe(24)}" for name in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")},
        )
        database, bucket = Database(workspace, postgres), Bucket(workspace, s3, builders.BUCKET)
        school = cls(workspace, database, bucket, str(key), str(key.to_public()))
        workspace.apply(builders.aada_lms(host=database.host))
        workspace.wait_condition("lms/aada", "Ready", timeout=WAIT)
        database.sql(FILL, builders.DATABASE_NAME)
        return school

    def policy(self, name: str, **patch: Any) -> str:
        """Apply an encrypted policy without schedule; returns its reference."""
        # The operator looks into the bucket from its own namespace, where short names mean something else.
        wanted = {"endpoint": self.s3.endpoint, "recipients": [self.recipient]} | patch
        self.workspace.apply(builders.backup_policy(name, **wanted))
        return f"bp/{name}"

    def backup(self, name: str, policy: str, **patch: Any) -> str:
        """Make a Backup by hand; returns its reference."""
        self.workspace.apply(builders.backup(name, policy=policy, **patch))
        return f"lmsb/{name}"

    def completed(self, ref: str, timeout: float = WAIT) -> Object:
        """Wait until a Backup is completed; a failure is told at once."""
        found = self.workspace.wait_for(ref, lambda body: _phase(body) in ENDED, timeout)
        assert _phase(found) == "Completed", condition(found, "Failed")
        return found

    def running(self, ref: str, timeout: float = WAIT) -> Object:
        """Wait until bytes of a Backup flow into the bucket; one that ended before that is told at once."""
        found = self.workspace.wait_for(ref, lambda body: _flows(body) or _phase(body) in ENDED, timeout)
        assert _flows(found), f"{ref} was {_phase(found)} before it was seen at work"
        return found

    def jobs_made(self, prefix: str) -> list[str]:
        """Names of all Jobs that were ever created here for a Backup, by the API server's audit log."""
        made = []
        with self.workspace.cluster.audit_log.open() as log:
            for entry in map(json.loads, log):
                reference = entry.get("objectRef") or {}
                wanted = ("create", "jobs", self.workspace.namespace, "ResponseComplete", 201)
                found = (entry["verb"], reference.get("resource"), reference.get("namespace"), entry["stage"],
                         entry.get("responseStatus", {}).get("code"))  # fmt: skip
                if wanted == found and str(reference.get("name", "")).startswith(f"{prefix}-"):
                    made.append(reference["name"])
        return made

    def restart(self) -> None:
        """Whatever a test stopped answers again."""
        self.database.start()
        self.s3.start()


def _phase(body: Object) -> str:
    return str(body.get("status", {}).get("phase", ""))


def _flows(body: Object) -> bool:
    return _phase(body) == "Uploading" and body["status"].get("progress", {}).get("bytes", 0) > 0


def eventually(holds: Callable[[], bool], what: str, seconds: float = WAIT) -> None:
    """Wait for something that no watch can tell. Raises AssertionError that names it."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)


def everything_said(workspace: Workspace, operator: Workspace) -> Iterator[tuple[str, str]]:
    """Every place where a secret must not be, with its text: objects, Events, logs of operator and workers, metrics."""
    for kind in ("lms", "bp", "lmsb", "jobs", "pods", "events"):
        yield kind, workspace.kubectl("get", kind, "--output=json")
    for pod in workspace.items("pods", "lms.aada.edu/owner=backup"):
        name = pod["metadata"]["name"]
        yield f"log of {name}", workspace.logs(f"pod/{name}")
    yield "log of the operator", operator.logs("deployment/aada-operator", "--tail=-1")
    service = "/api/v1/namespaces/aada-system/services/aada-operator-metrics:http/proxy/metrics"
    yield "metrics", operator.kubectl("get", "--raw", service)
