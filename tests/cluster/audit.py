"""What the operator asked of the API server, from its audit log, also after the cluster has gone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.cluster.workspace import Workspace
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT

# What the tests leave for those that look at the permissions after all of them: a log for each cluster.
RECORDS = CHECKOUT / "build" / "audit"

OPERATOR = "system:serviceaccount:aada-system:aada-operator"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True)
class Mark:
    """A moment: requests that came after it are looked at.

    An earlier one may be logged later, as its answer is seen before the log has it.
    """

    workspace: Workspace
    offset: int
    moment: str

    def requests(self) -> Iterator[dict[str, Any]]:
        """The operator's finished requests in the namespace that came since the mark."""
        with self.workspace.cluster.audit_log.open("rb") as log:
            log.seek(self.offset)
            for line in log:
                entry = json.loads(line)
                here = (entry.get("objectRef") or {}).get("namespace") == self.workspace.namespace
                since = entry["requestReceivedTimestamp"] >= self.moment
                if here and since and entry["user"]["username"] == OPERATOR and entry["stage"] == "ResponseComplete":
                    yield entry

    def writes(self) -> list[str]:
        """The writes among them, as ``patch deployments/aada-backend``."""
        return [f"{e['verb']} {_name(e['objectRef'])}" for e in self.requests() if e["verb"] in WRITES]

    def reads(self, resource: str, name: str) -> int:
        """How often one object was read."""
        wanted = ("get", resource, name)
        return sum(
            (e["verb"], e["objectRef"]["resource"], e["objectRef"].get("name")) == wanted for e in self.requests()
        )


def _name(reference: dict[str, Any]) -> str:
    parts = (reference["resource"], reference.get("name", ""), reference.get("subresource", ""))
    return "/".join(part for part in parts if part)


def mark(workspace: Workspace) -> Mark:
    """Begin to count here."""
    moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Mark(workspace, workspace.cluster.audit_log.stat().st_size, moment)


def keep(cluster: Cluster, begin: int) -> None:
    """Copy what a cluster's audit log holds from an offset on to where it outlives the cluster."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    with cluster.audit_log.open("rb") as log, (RECORDS / f"{cluster.name}.log").open("wb") as record:
        log.seek(begin)
        shutil.copyfileobj(log, record)


def note_collected(modules: set[str]) -> None:
    """Leave the names of the test modules that were to run."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / "collected.json").write_text(json.dumps(sorted(modules)))


def collected() -> set[str]:
    """The names of the test modules that left the records."""
    return set(json.loads((RECORDS / "collected.json").read_text()))
