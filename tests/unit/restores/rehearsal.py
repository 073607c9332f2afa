"""One school with a completed backup, for unit tests of restores: the real controller around servers in memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from aada_operator.adapters import interlock, postgres, storage
from aada_operator.api.common import ANNOTATION_APPROVE
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.conditions import Transition
from aada_operator.core.controller import Controller
from aada_operator.core.database import CutoverNames, CutoverServer, DatabaseProperties, RestoreTarget, replaced_mark
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.events import worth_telling
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, RESTORES, SECRET_ROTATIONS, Object
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.core.workqueue import Key
from aada_operator.restores import abandoned, cutover, preflight, retired
from aada_operator.restores.reconcile import capability
from tests.unit.backups.api_server import NAMESPACE, ApiServer, Crash, SetClock, custom_resource
from tests.unit.backups.school import LMS_SPEC, POLICY_SPEC, Bucket, manifest

RESTORE = "rehearsal"
JOB = f"{RESTORE}-restore-1"
RESULT: Object = {
    "ok": True,
    "result": {
        "database": "filled in when it ends",
        "tables": 4,
        "rows": 99,
        "digest": "cd" * 32,
        "durationSeconds": 12.2,
        "restoreSeconds": 7.5,
        "bytes": 300,
        "checks": [],
    },
}
# Of users' files.
CHECKPOINT: Object = {
    "checkpoint": "2026-03-01T01:00:00Z",
    "bucket": "files",
    "prefix": "_uploads/school/aada",
    "files": 7,
    "bytes": 700,
    "listKey": "_uploads-lists/school/aada/abc.jsonl.zst",
    "listSha256": "abc",
    "versioned": True,
}
FILES_RESULT: Object = {"ok": True, "result": {"files": 7, "bytes": 700, "copied": 5, "kept": 1}}


@dataclass
class PostgresServer:
    """The server that is restored to: databases with their comments, and what a look at it meets."""

    databases: dict[str, str] = field(default_factory=lambda: {"aada_lms": "", "postgres": ""})
    major: int = 15
    may_create: bool = True
    may_terminate: bool = True
    holds: tuple[str, ...] = ()
    revision: str | None = ""
    properties: dict[str, DatabaseProperties] = field(default_factory=dict)
    trouble: OperatorError | None = None
    in_use: bool = False
    looks: int = 0
    swaps: int = 0

    @asynccontextmanager
    async def session(self, *_: Any) -> AsyncIterator[PostgresServer]:
        self.looks += 1
        if self.trouble:
            raise self.trouble
        yield self

    async def look(self, _: Any, database: str) -> RestoreTarget:
        return RestoreTarget("admin", self.major, self.may_create, self.databases.get(database))

    async def look_for_cutover(self, _: Any, names: CutoverNames) -> CutoverServer:
        wanted = vars(names).values()
        there = {name: comment for name, comment in self.databases.items() if name in wanted}
        return CutoverServer("admin", self.may_create, self.may_terminate, there, self.holds)

    async def properties_of(self, _: Any, database: str) -> DatabaseProperties:
        return self.properties.get(database, DatabaseProperties("owner", -1, frozenset(), frozenset()))

    @asynccontextmanager
    async def alone(self, _: Any, database: str) -> AsyncIterator[None]:
        assert database == "aada_lms"
        yield

    async def give_properties(self, _: Any, database: str, wanted: DatabaseProperties) -> None:
        self.properties[database] = wanted

    async def read_revision(self, *_: Any) -> str | None:
        return self.revision

    def swap(self, _: Any, __: Any, names: CutoverNames, uid: str) -> Swapping:
        return Swapping(self, names, uid)

    async def drop_marked(self, _: Any, name: str, marks: Collection[str]) -> bool:
        if self.databases.get(name) not in marks:
            return False
        del self.databases[name]
        return True


@dataclass
class Swapping:
    """Names that are swapped in one go, unless somebody is in the way or the operator dies just before or after."""

    server: PostgresServer
    names: CutoverNames
    uid: str

    async def run(self, *, has_live: bool) -> None:
        server, names = self.server, self.names
        if server.in_use:
            raise Waiting("DatabaseInUse", "somebody does not leave")
        assert (names.live in server.databases) == has_live
        if has_live:
            del server.databases[names.live]
            server.databases[names.old] = replaced_mark(self.uid)
            server.properties[names.old] = server.properties.pop(names.live, await server.properties_of(None, ""))
        server.databases[names.live] = server.databases.pop(names.restored)
        server.properties[names.live] = server.properties.pop(names.restored, await server.properties_of(None, ""))
        server.swaps += 1


@dataclass
class Rehearsal:
    """The world of one test; ``events`` are what an administrator is told."""

    clock: SetClock
    api: ApiServer
    bucket: Bucket
    server: PostgresServer
    events: list[str] = field(default_factory=list)

    def at_work(self, operation: Operation) -> Object:
        """Somebody else works with the live database; returns the object whose operation it is."""
        kind, name = {
            "Backup": (BACKUPS, "tuesday"),
            "Migration": (AADA_LMS, "aada"),
            "Cutover": (RESTORES, "tuesday"),
            "Rotation": (SECRET_ROTATIONS, "tuesday"),
        }[operation]
        if name == "tuesday":
            self.api.add(kind, custom_resource(kind.kind, name, {}))
        other = self.api.read(kind, name)
        wanted = Claim.of(other, operation, self.clock.now())
        asyncio.run(interlock.claim(self.kube, NAMESPACE, "aada", wanted))
        return other

    def ends_work(self, other: Object) -> None:
        asyncio.run(interlock.release(self.kube, NAMESPACE, "aada", other["metadata"]["uid"]))

    @property
    def kube(self) -> Any:
        return self.api

    async def tell(self, _: Object, transitions: list[Transition]) -> None:
        self.events += [f"{t.type}={t.status} {t.reason}" for t in worth_telling(transitions)]

    def backup(self, name: str, *, completed: str | None = "2026-03-01T01:00:00Z", **status: Any) -> Object:
        """A Backup, completed unless ``completed`` is None, with its manifest in the bucket."""
        prefix = f"{NAMESPACE}/aada/{name}"
        data = manifest(name, uid=f"uid-of-{name}").model_dump_json(by_alias=True).encode()
        self.bucket.objects[f"{prefix}/manifest.json"] = data
        known = {
            "lms": "aada",
            "policy": "nightly",
            "phase": "Completed" if completed else "Running",
            "location": {"bucket": "backups", "prefix": prefix, "credentialsSecret": "s3"},
            "manifestSha256": hashlib.sha256(data).hexdigest(),
            "encryption": "Age",
            "recoverableFrom": "2026-03-01T00:59:00Z",
            "size": "300B",
            "tables": {"count": 4, "rows": 99, "digest": "cd" * 32},
        }
        known |= {"completionTime": completed} if completed else {}
        body = custom_resource("Backup", name, {"policyRef": {"name": "nightly"}, "type": "Full"})
        return self.api.add(BACKUPS, body | {"status": known | status})

    def verified(self, name: str, status: str) -> None:
        """The condition Verified of a Backup."""
        entry = {"type": "Verified", "status": status, "reason": "R", "lastTransitionTime": "2026-03-01T01:00:00Z"}
        self.api.read(BACKUPS, name)["status"]["conditions"] = [entry]

    def restore(self, backup: str = "", **spec: Any) -> Object:
        """A Restore of a backup, else of the policy's latest."""
        source = {"backupName": backup} if backup else {"policyRef": {"name": "nightly"}, "latest": True}
        body = custom_resource("Restore", RESTORE, {"source": source} | spec)
        body["metadata"]["uid"] = "12345678-9abc-4def-8000-000000000000"
        return self.api.add(RESTORES, body)

    def approve(self, value: str) -> None:
        self.api.read(RESTORES, RESTORE)["metadata"]["annotations"] = {ANNOTATION_APPROVE: value}

    def visit(self) -> float | None:
        """One visit by an operator that knows nothing of earlier ones; returns the delay that it asks for."""
        kube: Any = self.api
        kind = capability(kube, WorkerImage("operator:1"), False)
        controller = Controller(kind, kube, self, self.clock)
        return asyncio.run(controller.visit(Key(RESTORES.plural, NAMESPACE, RESTORE)))

    def settle(self, most: int = 12) -> float | None:
        """Visit until the operator no longer wants to come back at once; a killed one is started again."""
        for _ in range(most):
            try:
                delay = self.visit()
            except Crash:
                continue
            if delay is None or delay > 0:
                return delay
        raise AssertionError("does not settle")

    def end_job(self, name: str = JOB, said: Object | None = RESULT) -> None:
        """The worker ends; when all went well, the database is there and says whose it is."""
        if said and said["ok"]:
            made = self.task(name)["database"]["name"]
            self.server.databases[made] = f"lms.aada.edu/restore={self.task(name)['uid']};complete"
            said = said | {"result": said["result"] | {"database": made}}
        self.api.end_job(name, said)

    def task(self, job: str = JOB) -> Object:
        """What a Job was told."""
        return self.api.task(job)

    @property
    def jobs(self) -> list[str]:
        return self.api.names(JOBS)

    @property
    def status(self) -> Object:
        return dict(self.api.read(RESTORES, RESTORE).get("status") or {})

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        return next((c["status"], c["reason"]) for c in self.status["conditions"] if c["type"] == kind)

    def message(self, kind: str) -> str:
        return str(next(c["message"] for c in self.status["conditions"] if c["type"] == kind))


def failure(reason: str, *, retryable: bool = True) -> Object:
    """What a worker leaves that could not do it."""
    return {"ok": False, "reason": reason, "message": f"{reason} happened", "retryable": retryable}


@pytest.fixture
def rehearsal(monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    """An LMS, a policy, the Secrets and the completed backup ``monday``."""
    clock, bucket, server = SetClock(), Bucket(), PostgresServer()
    world = Rehearsal(clock, ApiServer(clock), bucket, server)
    monkeypatch.setattr(storage, "ObjectStore", bucket.opened)
    monkeypatch.setattr(preflight, "admin_session", server.session)
    monkeypatch.setattr(preflight, "restore_target", server.look)
    for module in (abandoned, cutover, retired):
        monkeypatch.setattr(module, "admin_session", server.session)
    monkeypatch.setattr(cutover, "application_session", server.session)
    monkeypatch.setattr(cutover, "look", server.look_for_cutover)
    monkeypatch.setattr(cutover, "properties", server.properties_of)
    monkeypatch.setattr(cutover, "give_properties", server.give_properties)
    monkeypatch.setattr(cutover, "Swap", server.swap)
    monkeypatch.setattr(cutover, "alone", server.alone)
    monkeypatch.setattr(postgres, "revision", server.read_revision)
    for module in (retired, abandoned):
        monkeypatch.setattr(module, "drop_marked", server.drop_marked)
    world.api.add(AADA_LMS, custom_resource("AadaLms", "aada", LMS_SPEC))
    world.api.add(BACKUP_POLICIES, custom_resource("BackupPolicy", "nightly", POLICY_SPEC))
    world.api.secret("s3", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    world.api.secret("db-admin", username="admin", password="password")
    world.api.secret("identity", key="AGE-SECRET-KEY-1")
    world.backup("monday")
    return world


def in_hours(world: Rehearsal, hours: float) -> str:
    """A moment of the API that many hours from the test's now."""
    moved = SetClock(world.clock.moment)
    moved.advance(hours=hours)
    return to_rfc3339(moved.now())
