"""The reader of the API server's audit log: the right user's requests, each once, across a rotation of the file."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.audit import AuditLog

USER = "system:serviceaccount:bench:operator"


def entry(name: str, verb: str = "get", user: str = USER, stage: str = "ResponseComplete") -> str:
    return json.dumps(
        {
            "stage": stage,
            "verb": verb,
            "user": {"username": user},
            "objectRef": {"resource": "backuppolicies", "name": name},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.250000Z",
        }
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = tmp_path / "audit.log"
    log.write_text(entry("before") + "\n")
    return log


@pytest.fixture
def audit(path: Path) -> Iterator[AuditLog]:
    log = AuditLog(path, USER)
    yield log
    log.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as log:
        log.write(text)


def names(audit: AuditLog) -> list[str]:
    return [request.name for request in audit.new()]


def test_only_what_came_after_the_opening_is_told_and_once(path: Path, audit: AuditLog) -> None:
    append(path, entry("one") + "\n")
    assert names(audit) == ["one"]
    assert names(audit) == []


def test_requests_of_others_are_left_out(path: Path, audit: AuditLog) -> None:
    append(path, entry("theirs", user="system:admin") + "\n" + entry("about-us-" + USER, user="system:admin") + "\n")
    assert names(audit) == []


def test_a_watch_counts_when_it_begins_and_other_requests_when_they_end(path: Path, audit: AuditLog) -> None:
    stages = ("ResponseStarted", "ResponseComplete")
    append(
        path,
        "".join(entry(f"{verb} {stage}", verb, stage=stage) + "\n" for verb in ("watch", "get") for stage in stages),
    )
    assert names(audit) == ["watch ResponseStarted", "get ResponseComplete"]


def test_a_line_that_is_half_written_is_told_when_it_is_whole(path: Path, audit: AuditLog) -> None:
    line = entry("one") + "\n"
    append(path, line[:40])
    assert names(audit) == []
    append(path, line[40:])
    assert names(audit) == ["one"]


def test_nothing_is_lost_when_the_api_server_begins_a_new_file(path: Path, audit: AuditLog) -> None:
    append(path, entry("one") + "\n")
    assert names(audit) == ["one"]
    append(path, entry("two") + "\n")
    path.rename(path.with_name("audit-old.log"))
    path.write_text(entry("three") + "\n")
    assert names(audit) == ["two", "three"]
    append(path, entry("four") + "\n")
    assert names(audit) == ["four"]


@pytest.mark.parametrize(
    ("verb", "is_write"),
    [("get", False), ("list", False), ("watch", False), ("create", True), ("patch", True), ("delete", True)],
)
def test_what_is_a_write(path: Path, audit: AuditLog, verb: str, is_write: bool) -> None:
    stage = "ResponseStarted" if verb == "watch" else "ResponseComplete"
    append(path, entry("one", verb, stage=stage) + "\n")
    (request,) = audit.new()
    assert request.is_write == is_write
    assert request.received == 1767323045.25
