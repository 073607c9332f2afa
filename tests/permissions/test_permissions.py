"""The operator's permissions against what it asked for in the cluster tests, of which the audit logs are left."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.cluster.audit import RECORDS, collected
from tests.cluster.release import CHART, RELEASE
from tests.testbed.layout import CHECKOUT

Entry = dict[str, Any]


class Right(NamedTuple):
    """One verb on one resource, as RBAC writes it."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}.{self.group}".rstrip(".")


# A server-side apply is a patch in the log, but the server also asks for `create` when the object is not there yet.
APPLIED = {"deployments", "services", "endpointslices", "ingresses", "poddisruptionbudgets", "horizontalpodautoscalers"}


def granted() -> set[Right]:
    """What the chart gives the operator."""
    permissions = yaml.safe_load((CHART / "files" / "permissions.yaml").read_text())
    return {
        Right(rule["group"], resource, verb)
        for rule in (*permissions["served"], *permissions["own"])
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@dataclass(frozen=True)
class Asked:
    """The operators' requests about objects in one cluster, and when somebody took a role of theirs away."""

    entries: list[Entry]
    removals: list[str]

    @classmethod
    def recorded(cls, record: Path) -> Asked:
        """What an audit log holds of operators wherever they were installed."""
        with record.open("rb") as log:
            entries = [entry for entry in map(json.loads, log) if "objectRef" in entry]
        roles = [e for e in entries if e["verb"] == "delete" and e["objectRef"].get("name", "").startswith(RELEASE)
                 and e["objectRef"].get("apiGroup") == "rbac.authorization.k8s.io"]  # fmt: skip
        # A request that nobody could be recognised in has no name: its token had died with its pod.
        mine = [e for e in entries if e["user"].get("username", "").endswith(f":{RELEASE}")]
        return cls(mine, [e["requestReceivedTimestamp"] for e in roles])

    def forbidden(self) -> Counter[str]:
        """Refused requests by what they asked for.

        Uninstalling, or naming other namespaces, takes roles from pods that are about to end: theirs do not count. Nor
        does what the same pod may do at other times: an API server that starts refuses all until it has read the roles.
        """
        born: dict[str, str] = {}
        for entry in self.entries:
            born.setdefault(pod(entry), entry["requestReceivedTimestamp"])
        allowed = {ask(entry) for entry in self.entries if not is_refused(entry)}
        return Counter(
            str(right(e))
            for e in self.entries
            if is_refused(e)
            and ask(e) not in allowed
            and not any(born[pod(e)] <= removal <= e["stageTimestamp"] for removal in self.removals)
        )

    def used(self) -> set[Right]:
        return {right(entry) for entry in self.entries}


def pod(entry: Entry) -> str:
    return str(entry["user"]["extra"]["authentication.kubernetes.io/pod-name"])


def ask(entry: Entry) -> tuple[str, Right, str]:
    """Who wants to do what, and where."""
    return pod(entry), right(entry), entry["objectRef"].get("namespace", "")


def is_refused(entry: Entry) -> bool:
    """A request that ended before anybody decided about it, as its connection was lost, has no decision."""
    return bool(entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid")


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    """One for each cluster that the tests ran in."""
    records = sorted(RECORDS.glob("*.log"))
    assert records, f"nothing in {RECORDS.relative_to(CHECKOUT)}: run the cluster tests first (make test-cluster)"
    return [Asked.recorded(record) for record in records]


def used(asked: list[Asked]) -> set[Right]:
    return set().union(*(one.used() for one in asked))


def right(entry: Entry) -> Right:
    reference = entry["objectRef"]
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    return Right(reference.get("apiGroup", ""), resource, entry["verb"])


def test_nothing_that_the_operator_asked_for_was_forbidden(asked: list[Asked]) -> None:
    assert all(one.entries for one in asked)
    assert not sum((one.forbidden() for one in asked), Counter())


def test_everything_asked_for_is_in_the_list_of_permissions(asked: list[Asked]) -> None:
    """A right that came from elsewhere, such as a role of the test cluster, would be missing in a real one."""
    assert used(asked) - granted() == set()


def test_permissions_that_no_test_needed_are_told(asked: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    implied = {Right(r.group, r.resource, "create") for r in used(asked) if r.verb == "patch" and r.resource in APPLIED}
    needed = used(asked) | implied
    unused = sorted(str(one) for one in granted() - needed)
    with capsys.disabled():
        print(f"\npermissions: {len(needed)} used, {len(unused)} not: {', '.join(unused) or 'none'}")
    if {path.name for path in (CHECKOUT / "tests" / "cluster").rglob("test_*.py")} <= collected():
        assert not unused, "drop these from chart/files/permissions.yaml, or test what needs them"
