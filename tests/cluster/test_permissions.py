"""The operator's permissions against what it asked for: read from the API server's audit log after all other tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.cluster.release import CHART, RELEASE, Operator
from tests.testbed.cluster import Cluster


class Right(NamedTuple):
    """One verb on one resource, as RBAC writes it."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}.{self.group}".rstrip(".")


# A server-side apply is a patch in the log, but the server also asks for `create` when the object is not there yet.
APPLIED = {"deployments", "services", "ingresses", "poddisruptionbudgets"}


def granted() -> set[Right]:
    """What the chart gives the operator."""
    permissions = yaml.safe_load((CHART / "files" / "permissions.yaml").read_text())
    return {
        Right(rule["group"], resource, verb)
        for rule in (*permissions["served"], *permissions["own"])
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module")
def asked(cluster: Cluster, operator: Operator, audit_begin: int) -> list[dict[str, Any]]:
    """All requests of these tests' operators, wherever they were installed, about objects."""
    return list(requests(cluster, audit_begin))


def requests(cluster: Cluster, begin: int) -> Iterator[dict[str, Any]]:
    with cluster.audit_log.open("rb") as log:
        log.seek(begin)
        for entry in map(json.loads, log):
            mine = entry["user"]["username"].endswith(f":{RELEASE}") and "objectRef" in entry
            # A watch has two entries; the one at its beginning is there in any case.
            if mine and entry["stage"] in ("ResponseStarted", "ResponseComplete"):
                yield entry


def right(entry: dict[str, Any]) -> Right:
    reference = entry["objectRef"]
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    return Right(reference.get("apiGroup", ""), resource, entry["verb"])


def test_nothing_that_the_operator_asked_for_was_forbidden(asked: list[dict[str, Any]]) -> None:
    assert asked
    forbidden = Counter(str(right(e)) for e in asked if e["annotations"]["authorization.k8s.io/decision"] == "forbid")
    assert not forbidden


def test_everything_asked_for_is_in_the_list_of_permissions(asked: list[dict[str, Any]]) -> None:
    """A right that came from elsewhere, such as a role of the test cluster, would be missing in a real one."""
    assert {right(entry) for entry in asked} - granted() == set()


def test_permissions_that_no_test_needed_are_told(
    asked: list[dict[str, Any]], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    used = {right(entry) for entry in asked}
    implied = {Right(r.group, r.resource, "create") for r in used if r.verb == "patch" and r.resource in APPLIED}
    unused = sorted(str(one) for one in granted() - used - implied)
    with capsys.disabled():
        print(f"\npermissions: {len(used | implied)} used, {len(unused)} not: {', '.join(unused) or 'none'}")
    if set(Path(__file__).parent.rglob("test_*.py")) <= {item.path for item in request.session.items}:
        assert not unused, "drop these from chart/files/permissions.yaml, or test what needs them"
