"""Old Backup objects of a schedule go by the history limit; those that a person made stay."""

from __future__ import annotations

from typing import Any

from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR
from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.workspace import Workspace


def of_slot(name: str, slot: str) -> dict[str, Any]:
    """A Backup as a schedule makes it."""
    body = builders.backup(name)
    return body | {"metadata": body["metadata"] | {"annotations": {ANNOTATION_SCHEDULED_FOR: slot}}}


def test_failed_backups_beyond_the_limit_are_removed_oldest_first(operator: Operator, lms_namespace: Workspace) -> None:
    """They fail at once, for want of the bucket's credentials."""
    lms_namespace.apply(
        builders.aada_lms(),
        builders.backup_policy(startingDeadline="1s", historyLimit={"failed": 1}),
        builders.backup("by-hand"),
    )
    lms_namespace.wait_phase("lmsb/by-hand", "Failed")
    lms_namespace.apply(of_slot("monday", "2026-01-05T02:00:00Z"))
    lms_namespace.wait_phase("lmsb/monday", "Failed")
    lms_namespace.apply(of_slot("tuesday", "2026-01-06T02:00:00Z"))
    lms_namespace.wait_gone("lmsb/monday", timeout=120)
    assert {backup["metadata"]["name"] for backup in lms_namespace.items("lmsb")} == {"by-hand", "tuesday"}
