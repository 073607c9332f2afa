"""Completed backups of a schedule, a day each."""

from __future__ import annotations

import hashlib
from typing import Any

from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS
from tests.unit.backups.api_server import NAMESPACE
from tests.unit.backups.school import School, manifest

POLICY = "nightly"
RULE = {"daily": 2, "minCount": 1}


def key(name: str) -> str:
    """Where the manifest of a backup is, in each bucket."""
    return f"{NAMESPACE}/aada/{name}/manifest.json"


def taken(school: School, day: int, **patch: Any) -> str:
    """A completed backup of the schedule, of a day of February, in the first bucket and as an object."""
    name, moment = f"{POLICY}-full-202602{day:02}t0200z", f"2026-02-{day:02}T02:00:00Z"
    body = school.backup(name)
    body["metadata"]["annotations"] = {"lms.aada.edu/scheduled-for": moment}
    data = manifest(name, uid=body["metadata"]["uid"]).model_dump_json(by_alias=True).encode()
    school.bucket.objects[key(name)] = data
    body["status"] = {
        "phase": "Completed",
        "lms": "aada",
        "encryption": "Age",
        "recoverableFrom": moment,
        "startTime": moment,
        "completionTime": moment,
        "location": {"bucket": "backups", "prefix": f"{NAMESPACE}/aada/{name}", "credentialsSecret": "s3"},
        "manifestSha256": hashlib.sha256(data).hexdigest(),
        "conditions": [],
    } | patch
    return name


def visit_all(school: School, rounds: int = 4) -> None:
    """What the operator does in a while: the policy and each of its Backups, several times."""
    for _ in range(rounds):
        school.settle(BACKUP_POLICIES, POLICY)
        for name in school.api.names(BACKUPS):
            school.visit(BACKUPS, name)


def rule(school: School, **patch: Any) -> None:
    """A policy without a schedule that deletes."""
    school.policy(POLICY, full=None, immediate=False, retention=RULE | patch)
