"""One visit: read, validate, act, write the status once if it differs, tell; for whatever capability."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from aada_operator.api.common import API_VERSION
from aada_operator.api.restore import RestoreSpec
from aada_operator.core import metrics
from aada_operator.core.conditions import Transition
from aada_operator.core.controller import RESYNC, Capability, Controller, Visit
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.metrics import ObjectGauges, Sample
from aada_operator.core.resources import RESTORES, ApiResource, Object
from aada_operator.core.workqueue import Key

KEY = Key("restores", "school", "rehearsal")
SPEC = {"source": {"backupName": "monday"}}
Reconcile = Callable[[Visit[RestoreSpec]], float | None]


@dataclass
class Server:
    """An API server with one object."""

    body: Object | None
    patches: list[Object] = field(default_factory=list)
    trouble: Exception | None = None

    async def get(self, resource: ApiResource, namespace: str, name: str) -> Object | None:
        assert (resource, namespace, name) == (RESTORES, "school", "rehearsal")
        return copy.deepcopy(self.body)

    async def set_finalizer(self, resource: ApiResource, body: Object, name: str, *, present: bool) -> None:
        assert (resource, body["metadata"]["name"]) == (RESTORES, "rehearsal")
        assert self.body is not None
        others = [other for other in self.body["metadata"].get("finalizers", ()) if other != name]
        self.body["metadata"]["finalizers"] = [*others, name] if present else others

    async def patch_status(self, resource: ApiResource, body: Object, status: Object) -> None:
        assert (resource, body["metadata"]["name"]) == (RESTORES, "rehearsal")
        if self.trouble:
            raise self.trouble
        assert self.body is not None
        self.patches.append(status)
        self.body["status"] = without_nulls(copy.deepcopy(status))


def without_nulls(value: Any) -> Any:
    """What a server keeps of a merge patch."""
    if isinstance(value, dict):
        return {name: without_nulls(child) for name, child in value.items() if child is not None}
    return value


@dataclass
class Told:
    told: list[str] = field(default_factory=list)

    async def tell(self, body: Object, transitions: list[Transition]) -> None:
        assert body["metadata"]["name"] == "rehearsal"
        self.told += [f"{t.type}={t.status} {t.reason}" for t in transitions]


@dataclass
class Clock:
    moment: datetime = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@dataclass
class World:
    server: Server
    events: Told
    clock: Clock
    reconcile: Reconcile
    visits: int = 0

    def visit(self) -> float | None:
        async def reconcile(visit: Visit[RestoreSpec]) -> float | None:
            self.visits += 1
            return self.reconcile(visit)

        kind = Capability(RESTORES, RestoreSpec, ("Ready", "Reconciling", "Completed"), reconcile, gauges)
        return asyncio.run(Controller(kind, self.server, self.events, self.clock).visit(KEY))

    @property
    def status(self) -> Object:
        assert self.server.body is not None
        return dict(self.server.body["status"])

    def condition(self, kind: str) -> Object:
        return next(c for c in self.status["conditions"] if c["type"] == kind)


def gauges(body: Object) -> list[Sample]:
    return [Sample("attempts", "Attempts.", float(body.get("status", {}).get("attempt", 0)))]


def world(reconcile: Reconcile, spec: Any = SPEC, **body: Any) -> World:
    metadata = {"name": "rehearsal", "namespace": "school", "uid": "u", "resourceVersion": "1", "generation": 3}
    restore = {"apiVersion": API_VERSION, "kind": "Restore", "metadata": metadata, "spec": spec} | body
    return World(Server(restore), Told(), Clock(), reconcile)


@pytest.fixture(autouse=True)
def objects(monkeypatch: pytest.MonkeyPatch) -> ObjectGauges:
    """The gauges of this test alone."""
    found = ObjectGauges()
    monkeypatch.setattr(metrics, "OBJECTS", found)
    return found


def values(found: ObjectGauges) -> list[float]:
    return [sample.value for family in found.collect() for sample in family.samples]


def ready(visit: Visit[RestoreSpec]) -> float | None:
    visit.status["attempt"] = 1
    visit.conditions.set("Ready", True, "AllGood", "fine")
    return 30.0


def test_writes_what_the_capability_says_and_comes_back_when_it_says() -> None:
    it = world(ready)
    assert it.visit() == 30.0
    assert it.status["attempt"] == 1
    assert it.status["observedGeneration"] == 3
    assert it.condition("Ready")["status"] == "True"
    assert it.condition("Ready")["observedGeneration"] == 3


def test_gives_the_capability_a_validated_spec_the_moment_and_a_copy_of_the_status() -> None:
    seen: list[Visit[RestoreSpec]] = []

    def look(visit: Visit[RestoreSpec]) -> None:
        seen.append(visit)
        visit.status["plan"]["hash"] = "changed"

    it = world(look, status={"plan": {"hash": "old"}, "conditions": []})
    it.visit()
    assert seen[0].spec.source.backup_name == "monday"
    assert (seen[0].namespace, seen[0].name, seen[0].uid, seen[0].now) == ("school", "rehearsal", "u", it.clock.moment)
    assert seen[0].body["status"]["plan"]["hash"] == "old", "the live object that decisions compare with must not move"


def test_every_known_condition_is_set_on_the_first_visit() -> None:
    it = world(lambda _: None)
    it.visit()
    found = {c["type"]: c["status"] for c in it.status["conditions"]}
    assert found == {"Ready": "Unknown", "Reconciling": "Unknown", "Completed": "Unknown", "Stalled": "False"}


def test_an_unchanged_object_costs_no_write_however_late() -> None:
    it = world(ready)
    it.visit()
    it.clock.moment = it.clock.moment.replace(hour=23)
    it.visit()
    assert len(it.server.patches) == 1
    assert it.visits == 2


def test_a_null_in_a_status_is_not_written_again_and_again() -> None:
    def nulls(visit: Visit[RestoreSpec]) -> None:
        visit.status |= {"nextAttempt": None, "plan": {"hash": "h", "recoveryPoint": None}, "steps": [{"a": None}]}

    it = world(nulls)
    for _ in range(3):
        it.visit()
    assert len(it.server.patches) == 1
    assert it.server.patches[0]["steps"] == [{}], "inside a list the server would refuse it"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "spec.source: Field required"),
        ({"source": {}}, "spec.source: give one of backupName, policyRef with latest: true, and storage"),
        ({"source": {"backupName": "UPPER"}}, "spec.source.backupName: String should match"),
        (SPEC | {"timeout": "soon"}, "spec.timeout: String should match"),
        (SPEC | {"mode": "Later"}, "spec.mode: Input should be"),
        (SPEC | {"tiemout": "1h"}, "spec.tiemout: Extra inputs are not permitted"),
        (SPEC | {"target": {"database": "x" * 1_000_000}}, "spec.target.database: String should have at most 63"),
    ],
)
def test_an_invalid_spec_stalls_and_names_the_field(spec: Any, words: str) -> None:
    it = world(ready, spec)
    assert it.visit() == RESYNC
    assert it.visits == 0, "the capability must not see it"
    for kind, status in (("Stalled", "True"), ("Ready", "False"), ("Reconciling", "False")):
        assert (it.condition(kind)["status"], it.condition(kind)["reason"]) == (status, "InvalidSpec")
    assert it.condition("Ready")["message"].startswith(words)
    assert len(it.condition("Ready")["message"]) <= 1024


@pytest.mark.parametrize("trouble", [Stalled("MigrationFailed", ""), Waiting("NotYet", "", 30.0), None])
def test_what_must_be_looked_at_often_is_whatever_else_is_wrong(trouble: Exception | None) -> None:
    def reconcile(visit: Visit[RestoreSpec]) -> float:
        visit.again_within = 10.0
        if trouble:
            raise trouble
        return 60.0

    assert world(reconcile).visit() == 10


def test_a_spec_that_is_wrong_in_two_places_is_told_of_both() -> None:
    it = world(ready, {"source": {"backupName": "monday"}, "timeout": "soon", "mode": "Later"})
    it.visit()
    assert "spec.timeout" in it.condition("Ready")["message"]
    assert "spec.mode" in it.condition("Ready")["message"]


def test_a_value_that_a_user_wrote_is_not_repeated_in_a_message() -> None:
    it = world(ready, {"source": {"backupName": "S3CR3T!"}})
    it.visit()
    assert "S3CR3T!" not in str(it.status)


def test_a_corrected_spec_is_no_longer_stalled() -> None:
    it = world(ready, {})
    it.visit()
    assert it.server.body is not None
    it.server.body["spec"] = SPEC
    it.visit()
    assert it.condition("Stalled")["status"] == "False"
    assert it.condition("Ready")["status"] == "True"


def raising(error: Exception) -> Reconcile:
    def reconcile(visit: Visit[RestoreSpec]) -> float | None:
        visit.status["attempt"] = 7
        raise error

    return reconcile


def test_what_waits_says_for_what_and_is_asked_again_in_time() -> None:
    it = world(raising(Waiting("SecretMissing", "Secret db does not exist: create it", 42.0)))
    assert it.visit() == 42.0
    for kind, status in (("Ready", "False"), ("Reconciling", "True")):
        assert (it.condition(kind)["status"], it.condition(kind)["reason"]) == (status, "SecretMissing")
    assert it.condition("Stalled")["status"] == "False"
    assert it.status["attempt"] == 7, "what was found out before is kept"


def test_what_is_stalled_says_so_and_is_looked_at_rarely() -> None:
    it = world(raising(Stalled("NameTaken", "Deployment a exists and is not ours")))
    assert it.visit() == RESYNC
    for kind, status in (("Ready", "False"), ("Reconciling", "False"), ("Stalled", "True")):
        assert (it.condition(kind)["status"], it.condition(kind)["reason"]) == (status, "NameTaken")


def test_a_bug_is_not_hidden_and_writes_nothing() -> None:
    it = world(raising(KeyError("bug")))
    with pytest.raises(KeyError):
        it.visit()
    assert it.server.patches == []
    assert it.events.told == []


def test_events_come_after_the_status_and_only_for_what_changed() -> None:
    it = world(ready)
    it.visit()
    assert "Ready=True AllGood" in it.events.told
    it.events.told.clear()
    it.visit()
    assert it.events.told == []


def test_a_status_that_could_not_be_written_is_not_told_and_tried_again_without_a_traceback() -> None:
    it = world(ready)
    it.server.trouble = Waiting("Conflict", "changed meanwhile", 1.0)
    assert it.visit() == 1.0
    assert it.events.told == []
    it.server.trouble = None
    it.visit()
    assert it.events.told.count("Ready=True AllGood") == 1


def test_gauges_follow_the_object_and_go_with_it(objects: ObjectGauges) -> None:
    it = world(ready)
    it.visit()
    assert values(objects) == [1]
    it.server.body = None
    assert it.visit() is None
    assert values(objects) == []


def test_an_object_that_is_being_deleted_is_left_alone(objects: ObjectGauges) -> None:
    it = world(ready)
    assert it.server.body is not None
    it.server.body["metadata"]["deletionTimestamp"] = "2026-03-10T12:00:00Z"
    assert it.visit() is None
    assert (it.visits, it.server.patches, values(objects)) == (0, [], [])
