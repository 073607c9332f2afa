"""The API server's door: what is sent, and its answers as our own errors without its text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import aiohttp
import pytest
from kubernetes.aio.client import ApiClient

from aada_operator.adapters.kube import AlreadyThere, Kube, same_quantity
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import BACKUPS, JOBS, Object

Result = TypeVar("Result")
CANARY = "text of the server with a s3cr3t"


@dataclass
class Answer:
    status: int
    raw: bytes

    async def read(self) -> bytes:
        return self.raw


@dataclass
class Api:
    """The client library: gives prepared answers and notes the requests."""

    answers: list[Answer | Exception]
    requests: list[tuple[str, str, str, Any]] = field(default_factory=list)

    async def param_serialize(self, verb: str, path: str, **options: Any) -> tuple[Any, ...]:
        assert options["auth_settings"] == ["BearerToken"]
        return verb, path, options["header_params"], None, None

    async def call_api(self, verb: str, path: str, headers: Any, body: Any, **options: Any) -> Answer:
        assert options["_request_timeout"].total, "a request without a timeout"
        self.requests.append((verb, path, headers["Content-Type"], body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def kube(self) -> Kube:
        return Kube(cast("ApiClient", self))


def api(status: int = 200, body: Any = None) -> Api:
    return Api([Answer(status, json.dumps(body or {}).encode())])


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(coroutine)


def backup(**status: Any) -> Object:
    metadata = {"namespace": "school", "name": "monday", "uid": "u-1", "resourceVersion": "5", "labels": {"a": "b"}}
    return {"apiVersion": BACKUPS.api_version, "kind": "Backup", "metadata": metadata, "status": status}


class TestReading:
    def test_an_object_that_is_not_there_is_none(self) -> None:
        assert run(api(404, {"reason": "NotFound"}).kube.get(BACKUPS, "school", "monday")) is None

    def test_a_list_knows_the_kind_of_its_items_and_asks_by_label(self) -> None:
        there = api(200, {"items": [{"metadata": {"name": "monday"}}]})
        (found,) = run(there.kube.list(BACKUPS, "school", {"b": "2", "a": "1"}))
        assert (found["apiVersion"], found["kind"]) == (BACKUPS.api_version, "Backup")
        path = "/apis/lms.aada.edu/v1alpha1/namespaces/school/backups?labelSelector=a%3D1%2Cb%3D2"
        assert there.requests[0][:2] == ("GET", path)

    def test_visits_that_read_the_same_at_one_moment_send_one_request_and_have_an_object_each(self) -> None:
        there = api(200, backup())

        async def read() -> list[Object | None]:
            kube = there.kube
            return await asyncio.gather(*(kube.get(BACKUPS, "school", "monday") for _ in range(3)))

        first, second, third = run(read())
        assert len(there.requests) == 1
        assert first == second == third
        assert first is not second, "what one visit changes is not seen by another"

    def test_writes_at_one_moment_are_all_sent(self) -> None:
        there = Api([Answer(200, b"{}") for _ in range(2)])

        async def write() -> None:
            kube = there.kube
            await asyncio.gather(*(kube.apply(BACKUPS, backup()) for _ in range(2)))

        run(write())
        assert len(there.requests) == 2

    def test_a_list_of_all_namespaces_names_none(self) -> None:
        there = api(200, {"items": []})
        assert run(there.kube.list(JOBS, None)) == []
        assert there.requests[0][1] == "/apis/batch/v1/jobs"

    def test_the_log_of_a_pod_that_has_none_is_empty(self) -> None:
        assert run(api(400, {"message": CANARY}).kube.last_log_line("school", "pod")) == ""


class TestStatus:
    def sent(self, before: Object, after: Object) -> Any:
        there = api()
        run(there.kube.patch_status(BACKUPS, backup(**before), after))
        verb, path, content_type, body = there.requests[0]
        assert (verb, content_type) == ("PATCH", "application/merge-patch+json")
        assert path.startswith("/apis/lms.aada.edu/v1alpha1/namespaces/school/backups/monday/status?")
        assert set(body) == {"metadata", "status"}
        assert body["metadata"] == {"uid": "u-1", "resourceVersion": "5"}, "of this very object, unchanged"
        return body["status"]

    def test_fields_that_went_are_named_with_null(self) -> None:
        assert self.sent({"phase": "Running", "progress": {}}, {"phase": "Completed"}) == {
            "phase": "Completed",
            "progress": None,
        }

    def test_nested_fields_that_went_too(self) -> None:
        before = {"verification": {"result": "Failed", "checks": ["x"], "deep": {"a": 1, "b": 2}}}
        after = {"verification": {"result": "Running", "deep": {"a": 1}}}
        assert self.sent(before, after) == {
            "verification": {"result": "Running", "checks": None, "deep": {"a": 1, "b": None}}
        }

    def test_lists_are_replaced_as_a_whole(self) -> None:
        assert self.sent({"steps": [{"name": "a", "message": "m"}]}, {"steps": [{"name": "a"}]}) == {
            "steps": [{"name": "a"}]
        }

    def test_an_object_where_there_was_a_word_replaces_it(self) -> None:
        assert self.sent({"plan": "text"}, {"plan": {"hash": "h"}}) == {"plan": {"hash": "h"}}


class TestWriting:
    def test_an_apply_is_ours_and_takes_our_fields_back(self) -> None:
        there = api(200, {"metadata": {"uid": "x"}})
        run(there.kube.apply(JOBS, {"metadata": {"namespace": "school", "name": "j"}}))
        verb, path, content_type, _ = there.requests[0]
        assert (verb, content_type) == ("PATCH", "application/apply-patch+yaml")
        assert path.endswith("/jobs/j?fieldManager=aada-operator&force=true")

    def test_a_creation_of_what_is_there_is_none(self) -> None:
        there = api(409, {"reason": "AlreadyExists"})
        assert run(there.kube.create(JOBS, {"metadata": {"namespace": "school", "name": "j"}})) is None

    def test_a_deletion_means_this_very_object(self) -> None:
        there = api(404, {"reason": "NotFound"})
        run(there.kube.delete(JOBS, {"metadata": {"namespace": "school", "name": "j", "uid": "u-9"}}))
        assert there.requests[0][3]["preconditions"] == {"uid": "u-9"}
        assert there.requests[0][3]["propagationPolicy"] == "Background"


def refusal(there: Api) -> Waiting | Stalled:
    with pytest.raises((Waiting, Stalled)) as caught:
        run(there.kube.patch_status(BACKUPS, backup(), {"phase": "x"}))
    assert CANARY not in f"{caught.value}{caught.value.message}"
    return cast("Waiting | Stalled", caught.value)


@pytest.mark.parametrize(
    ("status", "answer", "reason", "kind"),
    [
        (409, {"reason": "Conflict"}, "Conflict", Waiting),
        (429, {"reason": "TooManyRequests"}, "ApiServerBusy", Waiting),
        (500, {"reason": "InternalError"}, "ApiServerBusy", Waiting),
        (503, None, "ApiServerBusy", Waiting),
        (404, {"reason": "NotFound"}, "NotFound", Waiting),
        (403, {"reason": "Forbidden"}, "Forbidden", Waiting),
        (403, {"message": "… because it is being terminated"}, "NamespaceTerminating", Waiting),
        (400, {"reason": "BadRequest"}, "Refused", Stalled),
        (422, {"reason": "Invalid"}, "Refused", Stalled),
    ],
)
def test_a_refusal_becomes_one_of_our_errors(status: int, answer: Any, reason: str, kind: type[Exception]) -> None:
    body = None if answer is None else {"message": CANARY} | answer
    error = refusal(Api([Answer(status, json.dumps(body).encode() if body else CANARY.encode())]))
    assert (type(error), error.reason) == (kind, reason)


def test_a_refused_field_is_named_with_its_cause() -> None:
    causes = [{"field": "spec.replicas", "message": "must be >= 0"}, {"field": "spec.image", "message": "y" * 5000}]
    error = refusal(api(422, {"reason": "Invalid", "message": CANARY, "details": {"causes": causes}}))
    assert "spec.replicas: must be >= 0" in error.message
    assert len(error.message) < 1024


@pytest.mark.parametrize(
    "trouble",
    [aiohttp.ClientConnectionError(CANARY), TimeoutError(CANARY), OSError(CANARY)],
    ids=lambda e: type(e).__name__,
)
def test_a_server_that_does_not_answer_is_waited_for(trouble: Exception) -> None:
    error = refusal(Api([trouble]))
    assert (type(error), error.reason) == (Waiting, "ApiServerUnreachable")


def test_a_conflict_at_creation_is_no_error_and_elsewhere_it_is() -> None:
    with pytest.raises(AlreadyThere):
        run(api(409, {"reason": "AlreadyExists"}).kube.apply(JOBS, {"metadata": {"namespace": "s", "name": "j"}}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1000m", "1", True),
        ("1", 1, True),
        ("1Gi", "1024Mi", True),
        ("1Gi", "1G", False),
        ("1", "2", False),
        ("lms:1", "lms:2", False),
        (None, "1", False),
        ("1", None, False),
        ([1], "1", False),
        ({}, {}, False),
    ],
)
def test_quantities_are_compared_as_amounts(one: Any, other: Any, same: bool) -> None:
    assert same_quantity(one, other) is same
