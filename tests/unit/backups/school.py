"""One school for unit tests: an LMS, a policy, a bucket in memory, and the real controllers around them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from aada_operator.adapters import storage
from aada_operator.adapters.s3_bucket import BucketSettings, Capabilities, ObjectInfo
from aada_operator.api.bundle import BundleSummary
from aada_operator.api.manifest import ChunkStore, Database, Digest, Encryption, Manifest, Part, Table, Tools
from aada_operator.api.task import S3Location
from aada_operator.backups import reconcile as backups
from aada_operator.core import metrics
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Capability, Controller
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.core.overlay import merged
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, ApiResource, Object
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.core.workqueue import Key
from aada_operator.policies import reconcile as policies
from tests.unit.backups.api_server import NAMESPACE, ApiServer, NoEvents, SetClock, custom_resource

RECIPIENT = "age1" + "q" * 58
POLICY_SPEC: Object = {
    "lmsRef": {"name": "aada"},
    "full": {"schedule": "0 2 * * *"},
    "storage": [{"name": "primary", "s3": {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}}}],
    "encryption": {
        "mode": "Age",
        "recipients": [RECIPIENT],
        "verificationIdentitySecretRef": {"name": "identity", "key": "key"},
    },
}
TWO_PLACES: list[Object] = [
    {"name": name, "s3": {"bucket": bucket, "credentialsSecretRef": {"name": "s3"}}}
    for name, bucket in (("primary", "backups"), ("offsite", "offsite"))
]
LMS_SPEC: Object = {
    "components": [{"name": "backend", "role": "api", "image": "lms:1"}],
    "database": {"host": "db", "adminSecretRef": {"name": "db-admin"}},
}
LMS_STATUS: Object = {
    "conditions": [
        {"type": kind, "status": "True", "reason": "Ok", "lastTransitionTime": "2026-03-01T00:00:00Z"}
        for kind in ("DatabaseReachable", "SchemaCurrent")
    ]
}
BACKUP_RESULT: Object = {
    "ok": True,
    "result": {
        "manifestSha256": "ab" * 32,
        "startedAt": "2026-03-01T01:30:05Z",
        "snapshotAt": "2026-03-01T01:30:06Z",
        "completedAt": "2026-03-01T01:30:20Z",
        "durationSeconds": 15.0,
        "sizeBytes": 1000,
        "storedBytes": 300,
        "newBytes": 300,
        "epoch": "monday-1",
        "tables": 4,
        "rows": 99,
        "digest": "cd" * 32,
        "schemaRevision": "0002",
        "serverVersion": "150018",
        "systemIdentifier": "7",
        "lsn": "0/1",
        "encrypted": True,
    },
}
VERIFY_RESULT: Object = {
    "ok": True,
    "result": {
        "tables": 4,
        "rows": 99,
        "digest": "cd" * 32,
        "durationSeconds": 12.2,
        "restoreSeconds": 7.5,
        "bytes": 300,
        "checks": [{"name": "digests", "ok": True, "message": "4 tables are equal"}],
    },
}


def failure(reason: str, *, retryable: bool = True) -> Object:
    """What a worker leaves that could not do it."""
    return {"ok": False, "reason": reason, "message": f"{reason} happened", "retryable": retryable}


@dataclass
class Bucket:
    """A bucket in memory; ``trouble`` is what every request raises instead of an answer."""

    objects: dict[str, bytes] = field(default_factory=dict)
    trouble: OperatorError | None = None
    deletes: bool = True
    locks: bool = True
    probes: int = 0
    lifecycle: list[Object] | None = field(default_factory=list)

    def opened(self, *_: Any) -> Bucket:
        """Whatever location is asked for."""
        return self

    def probe(self, prefix: str) -> Capabilities:
        assert prefix == f"{NAMESPACE}/aada"
        self.probes += 1
        if self.trouble:
            raise self.trouble
        return Capabilities(conditional_writes=True, deletes=self.deletes)

    def demand_locks(self) -> None:
        if not self.locks:
            raise Stalled("ObjectLockDisabled", "bucket backups cannot lock objects")

    def settings(self) -> BucketSettings:
        return BucketSettings(self.lifecycle, versioned=False)

    def folders(self, prefix: str) -> list[str]:
        if self.trouble:
            raise self.trouble
        return sorted({key.removeprefix(prefix).split("/")[0] for key in self.objects if key.startswith(prefix)})

    def list(self, prefix: str) -> list[ObjectInfo]:
        if self.trouble:
            raise self.trouble
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        return [ObjectInfo(key, len(data), moment) for key, data in self.objects.items() if key.startswith(prefix)]

    def delete(self, key: str) -> bool:
        if self.deletes:
            self.objects.pop(key, None)
        return self.deletes

    def get(self, key: str, first: int | None = None) -> bytes | None:
        if self.trouble:
            raise self.trouble
        data = self.objects.get(key)
        return data if data is None else data[:first]


@dataclass
class School:
    """The world of one test."""

    clock: SetClock
    api: ApiServer
    bucket: Bucket
    offsite: Bucket = field(default_factory=Bucket)
    probe_clock: float = 0.0
    _capabilities: dict[str, Capability[Any]] = field(default_factory=dict)

    def opened(self, location: S3Location, *_: Any) -> Bucket:
        """The bucket of a location: there is a second one, ``offsite``."""
        return self.offsite if location.bucket == "offsite" else self.bucket

    def restart_operator(self) -> None:
        """A new process: whatever was in memory is lost."""
        kube: Any = self.api
        image = WorkerImage("operator:1")
        self._capabilities = {
            BACKUPS.plural: backups.capability(kube, image, False),
            BACKUP_POLICIES.plural: policies.capability(kube, image, False, self.clock),
        }
        metrics.OBJECTS = metrics.ObjectGauges()

    def visit(self, resource: ApiResource, name: str) -> float | None:
        """One visit of the operator; returns the delay that it asks for."""
        kube: Any = self.api
        controller = Controller(self._capabilities[resource.plural], kube, NoEvents(), self.clock)
        return asyncio.run(controller.visit(Key(resource.plural, NAMESPACE, name)))

    def settle(self, resource: ApiResource, name: str, most: int = 10) -> float | None:
        """Visit until the operator no longer wants to come back at once, as the queue does."""
        for _ in range(most):
            delay = self.visit(resource, name)
            if delay is None or delay > 0:
                return delay
        raise AssertionError(f"{name} does not settle")

    def lms(self, **status: Any) -> Object:
        return self.api.add(AADA_LMS, custom_resource("AadaLms", "aada", LMS_SPEC) | {"status": status or LMS_STATUS})

    def policy(self, name: str = "nightly", **patch: Any) -> Object:
        return self.api.add(BACKUP_POLICIES, custom_resource("BackupPolicy", name, merged(POLICY_SPEC, patch)))

    def backup(self, name: str = "by-hand", policy: str = "nightly", kind: str = "Full") -> Object:
        return self.api.add(BACKUPS, custom_resource("Backup", name, {"policyRef": {"name": policy}, "type": kind}))

    def manifest(self, name: str = "by-hand", *, uid: str = "uid-before", **fields: Any) -> None:
        """A completed backup of that name is in the bucket."""
        folder = f"{NAMESPACE}/aada/{name}"
        self.bucket.objects[f"{folder}/manifest.json"] = (
            manifest(name, uid=uid, **fields).model_dump_json(by_alias=True).encode()
        )

    def status(self, resource: ApiResource, name: str) -> Object:
        return dict(self.api.read(resource, name).get("status") or {})

    def condition(self, resource: ApiResource, name: str, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = {c["type"]: (c["status"], c["reason"]) for c in self.status(resource, name)["conditions"]}
        return found[kind]

    def message(self, resource: ApiResource, name: str, kind: str) -> str:
        found = {c["type"]: c["message"] for c in self.status(resource, name)["conditions"]}
        return str(found[kind])


def manifest(
    name: str, *, uid: str, lms: str = "aada", policy: str = "nightly", bundle: BundleSummary | None = None
) -> Manifest:
    """A manifest as a worker writes it."""
    return Manifest(
        backup=name,
        uid=uid,
        namespace=NAMESPACE,
        lms=lms,
        policy=policy,
        attempt=1,
        tools=Tools(operator="1", pg_dump="15.18"),
        database=Database(
            name="aada_lms",
            owner="o",
            encoding="UTF8",
            collate="C",
            ctype="C",
            server_version=150018,
            system_identifier="7",
            size_bytes=1000,
            lsn="0/1",
        ),
        extensions=[],
        roles=[],
        sequences=[],
        tables=[Table(schema_="public", name="users", rows=99, digest="1", columns=["id"])],
        digest=Digest(value="cd" * 32),
        chunks=ChunkStore(epoch="monday-1", names="n"),
        new_bytes=300,
        parts=[Part(key="dump", kind="rest", encryption="age", size=300, sha256="ef" * 32, plain_size=900)],
        bundle=bundle,
        encryption=Encryption(mode="Age"),
        started_at="2026-02-01T02:00:00Z",
        snapshot_at="2026-02-01T02:00:01Z",
        completed_at="2026-02-01T02:00:31Z",
        duration_seconds=31.0,
    )


def completed(school: School, name: str, **condition: Any) -> Object:
    """Status of a completed Backup of now, for a policy's eyes."""
    now = to_rfc3339(school.clock.now())
    verified = {
        "type": "Verified",
        "status": "Unknown",
        "reason": "NotRequested",
        "lastTransitionTime": now,
    } | condition
    return {"phase": "Completed", "completionTime": now, "recoverableFrom": now, "conditions": [verified]}


@pytest.fixture
def school(monkeypatch: pytest.MonkeyPatch) -> School:
    """An LMS with a database and all Secrets; policy and backups are made by the test."""
    clock, bucket = SetClock(), Bucket()
    school = School(clock, ApiServer(clock), bucket)
    monkeypatch.setattr(storage, "ObjectStore", school.opened)
    school.restart_operator()
    school.lms()
    school.api.secret("s3", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    school.api.secret("db-admin", username="admin", password="password")
    school.api.secret("identity", key="AGE-SECRET-KEY-1")
    return school
