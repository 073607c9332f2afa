"""An API server in memory, as far as the operator uses one: objects, statuses with defaults, Jobs that a test ends.

It counts writes, refuses a status patch of an object that changed meanwhile, and can be told to fail the n-th write:
what a test proves with it is what holds with the real one, where a test cannot stop the world between two requests.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aada_operator.adapters.interlock import ANNOTATION_CLAIMS
from aada_operator.api.common import API_VERSION
from aada_operator.api.registry import KINDS, crd
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import Claim
from aada_operator.core.resources import JOBS, LEASES, PODS, SECRETS, ApiResource, Object
from aada_operator.core.worker_jobs import CONTAINER

NAMESPACE = "school"
START = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
_STATUS_SCHEMAS = {
    kind.resource.plural: crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    for kind in KINDS
}


class SetClock:
    """A clock that a test moves."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


class Numbers(Iterator[int]):
    """Counts from 1, and goes on in a copy of it."""

    def __init__(self) -> None:
        self._last = 0

    def __next__(self) -> int:
        self._last += 1
        return self._last


class Crash(Exception):
    """The operator was killed at this request."""


@dataclass
class ApiServer:
    """Has the methods of `adapters.kube.Kube`."""

    clock: SetClock
    writes: list[str] = field(default_factory=list)
    crash_before: int | None = None
    crash_after: int | None = None
    unreachable: bool = False
    unreachable_for: ApiResource | None = None
    log_lines: dict[str, str] = field(default_factory=dict)
    _objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    _numbers: Numbers = field(default_factory=Numbers)

    def add(self, resource: ApiResource, body: Mapping[str, Any], age: timedelta = timedelta(0)) -> Object:
        """An object that somebody else made, ``age`` ago."""
        made = copy.deepcopy(dict(body))
        number = next(self._numbers)
        made["metadata"] = {
            "namespace": NAMESPACE,
            "uid": f"uid-{number}",
            "generation": 1,
            "resourceVersion": str(number),
            "creationTimestamp": to_rfc3339(self.clock.now() - age),
        } | made["metadata"]
        made = {"apiVersion": resource.api_version, "kind": resource.kind} | made
        self._objects[resource.plural, made["metadata"]["name"]] = made
        return made

    def secret(self, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.add(SECRETS, {"metadata": {"name": name}, "data": data})

    def read(self, resource: ApiResource, name: str) -> Object:
        """The live object itself, for a test to look at or to change."""
        return self._objects[resource.plural, name]

    def names(self, resource: ApiResource) -> list[str]:
        return sorted(name for plural, name in self._objects if plural == resource.plural)

    def remove(self, resource: ApiResource, name: str) -> None:
        """Delete an object with what it owns; one with a finalizer is marked and stays until that is taken away."""
        metadata = self._objects[resource.plural, name]["metadata"]
        if metadata.get("finalizers"):
            metadata.setdefault("deletionTimestamp", to_rfc3339(self.clock.now()))
            return
        gone = self._objects.pop((resource.plural, name))
        for key, body in list(self._objects.items()):
            if gone["metadata"]["uid"] in {o["uid"] for o in body["metadata"].get("ownerReferences", ())}:
                del self._objects[key]

    def claims(self, lms: str = "aada") -> list[str]:
        """Who works with an LMS or waits to, in words."""
        lease = self._objects.get((LEASES.plural, f"{lms}-operations"), {"metadata": {}})
        said = json.loads((lease["metadata"].get("annotations") or {}).get(ANNOTATION_CLAIMS, "[]"))
        return [f"{'' if one.get('held') else 'waiting: '}{Claim.model_validate(one)}" for one in said]

    def task(self, job: str) -> Object:
        """What the worker of a Job was told."""
        (container,) = self.read(JOBS, job)["spec"]["template"]["spec"]["containers"]
        (told,) = (entry["value"] for entry in container["env"] if entry["name"] == "AADA_TASK")
        return dict(json.loads(told))

    def end_job(self, name: str, said: Object | None) -> None:
        """The Job's worker ends and leaves ``said`` as its termination message; None: it is lost without a word."""
        ok = bool(said and said.get("ok"))
        job = self.read(JOBS, name)
        job["status"] = {"conditions": [{"type": "Complete" if ok else "Failed", "status": "True"}]}
        terminated = {"message": json.dumps(said)} if said is not None else {}
        statuses = [{"name": CONTAINER, "state": {"terminated": terminated}}]
        labels = {"batch.kubernetes.io/job-name": name}
        self.add(
            PODS, {"metadata": {"name": f"{name}-pod", "labels": labels}, "status": {"containerStatuses": statuses}}
        )

    def run_pod(self, job: str, line: Object) -> None:
        """The Job has a running pod whose newest log line is ``line``."""
        labels = {"batch.kubernetes.io/job-name": job}
        self.add(PODS, {"metadata": {"name": f"{job}-pod", "labels": labels}, "status": {"phase": "Running"}})
        self.log_lines[f"{job}-pod"] = json.dumps(line)

    async def get(self, resource: ApiResource, namespace: str, name: str) -> Object | None:
        self._answer(namespace, resource)
        return copy.deepcopy(self._objects.get((resource.plural, name)))

    async def list(
        self, resource: ApiResource, namespace: str, selector: Mapping[str, str] | None = None
    ) -> list[Object]:
        self._answer(namespace)
        wanted = (selector or {}).items()
        return [
            copy.deepcopy(body)
            for (plural, _), body in sorted(self._objects.items())
            if plural == resource.plural and wanted <= (body["metadata"].get("labels") or {}).items()
        ]

    async def create(self, resource: ApiResource, body: Object) -> Object | None:
        def act() -> Object | None:
            taken = (resource.plural, body["metadata"]["name"]) in self._objects
            return None if taken else self.add(resource, body)

        made: Object | None = self._write(f"create {resource.plural}/{body['metadata']['name']}", act)
        return made

    async def delete(self, resource: ApiResource, body: Object) -> None:
        name = body["metadata"]["name"]
        self._write(f"delete {resource.plural}/{name}", lambda: self.remove(resource, name))

    async def patch(self, resource: ApiResource, body: Object, patch: Object) -> Object | None:
        name = body["metadata"]["name"]

        def act() -> Object | None:
            live = self._objects.get((resource.plural, name))
            if live is None:
                return None
            if live["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
                raise Waiting("Conflict", "changed meanwhile", 1.0)
            _merge(live, patch)
            live["metadata"]["resourceVersion"] = str(next(self._numbers))
            return copy.deepcopy(live)

        changed: Object | None = self._write(f"patch {resource.plural}/{name}", act)
        return changed

    async def set_finalizer(self, resource: ApiResource, body: Object, name: str, *, present: bool) -> None:
        def act() -> None:
            live = self.read(resource, body["metadata"]["name"])
            others = [other for other in live["metadata"].get("finalizers", ()) if other != name]
            live["metadata"]["finalizers"] = [*others, name] if present else others
            live["metadata"]["resourceVersion"] = str(next(self._numbers))
            body["metadata"] = copy.deepcopy(live["metadata"])
            if not live["metadata"]["finalizers"] and live["metadata"].get("deletionTimestamp"):
                self.remove(resource, body["metadata"]["name"])

        self._write(f"finalizer {resource.plural}/{body['metadata']['name']}", act)

    async def patch_status(self, resource: ApiResource, body: Object, status: Object) -> None:
        name = body["metadata"]["name"]

        def act() -> None:
            live = self.read(resource, name)
            if live["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
                raise Waiting("Conflict", "changed meanwhile", 1.0)
            live["status"] = defaulted(copy.deepcopy(status), _STATUS_SCHEMAS[resource.plural])
            live["metadata"]["resourceVersion"] = str(next(self._numbers))

        self._write(f"status {resource.plural}/{name}", act)

    async def last_log_line(self, namespace: str, pod: str) -> str:
        self._answer(namespace)
        return self.log_lines.get(pod, "")

    def _write(self, what: str, act: Callable[[], Any]) -> Any:
        self._answer(NAMESPACE)
        if self.crash_before == len(self.writes):
            self.crash_before = None
            raise Crash(what)
        result = act()
        self.writes.append(what)
        if self.crash_after is not None and self.crash_after < len(self.writes):
            self.crash_after = None
            raise Crash(what)
        return result

    def _answer(self, namespace: str, resource: ApiResource | None = None) -> None:
        assert namespace == NAMESPACE, "a request to somebody else's namespace"
        if self.unreachable or (resource is not None and resource == self.unreachable_for):
            raise Waiting("ApiServerUnreachable", "the Kubernetes API server does not answer", 5.0)


def _merge(live: Object, patch: Object) -> None:
    """RFC 7396, as far as it is used here: null removes a field."""
    for name, value in patch.items():
        if isinstance(value, dict):
            _merge(live.setdefault(name, {}), value)
        elif value is None:
            live.pop(name, None)
        else:
            live[name] = value


def defaulted(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value with the defaults of its schema, as the server stores it; fields that it does not know fail the test."""
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        filled = {name: child["default"] for name, child in known.items() if "default" in child} | value
        assert set(value) <= set(known), f"fields that the CRD does not have: {set(value) - set(known)}"
        return {name: defaulted(child, known[name]) for name, child in filled.items()}
    if isinstance(value, list):
        return [defaulted(item, schema["items"]) for item in value]
    assert not isinstance(value, str) or len(value) <= schema.get("maxLength", len(value)), f"too long: {value}"
    return value


def custom_resource(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


class NoEvents:
    """Events go nowhere."""

    async def tell(self, *_: Any) -> None:
        return None
