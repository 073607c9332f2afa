"""What a policy and its backups say of object locks."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.overlay import merged
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS
from aada_operator.policies import locks
from tests.unit.backups.school import BACKUP_RESULT, POLICY_SPEC, School, completed

NAME = "by-hand"
UNTIL = "2026-03-31T01:30:00Z"


def place(days: int = 30, mode: str = "Compliance") -> list[dict[str, Any]]:
    """The policy's place with a lock, to be merged by its name."""
    return [{"name": "primary", "s3": {"objectLock": {"mode": mode, "days": days}}}]


@pytest.mark.parametrize(
    ("patch", "reason", "words"),
    [
        ({}, "NotLocked", "objectLock"),
        ({"storage": place()}, "Locked", "primary for 30 days (Compliance)"),
        ({"storage": place(), "retention": {"maxAge": "30d"}}, "Locked", "30 days"),
        ({"storage": place(), "retention": {"maxAge": "14d"}}, "LockOutlastsRetention", "longer than retention.maxAge"),
        ({"storage": place(), "retention": {"daily": 3}}, "Locked", "30 days"),
    ],
)
def test_a_policy_says_what_is_locked_and_whether_that_fits(patch: dict[str, Any], reason: str, words: str) -> None:
    spec = BackupPolicySpec.model_validate(merged(POLICY_SPEC, patch))
    _, found, message = locks.verdict(spec)
    assert (found, words in message) == (reason, True)


def test_a_bucket_that_cannot_lock_holds_backups_up(school: School) -> None:
    school.bucket.locks = False
    school.policy(storage=place())
    school.settle(BACKUP_POLICIES, "nightly")
    assert school.condition(BACKUP_POLICIES, "nightly", "StorageReachable") == ("False", "ObjectLockDisabled")
    assert school.api.names(BACKUPS) == []


def test_the_worker_is_told_and_the_backup_says_until_when(school: School) -> None:
    school.policy(immediate=False, storage=place())
    school.backup()
    school.settle(BACKUPS, NAME)
    env = school.api.read(JOBS, f"{NAME}-1")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert '"objectLock": {"days": 30, "mode": "Compliance"}' in env[0]["value"]
    result = BACKUP_RESULT["result"] | {"immutableUntil": UNTIL}
    school.api.end_job(f"{NAME}-1", {"ok": True, "result": result})
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Immutable") == ("True", "Locked")
    assert UNTIL in school.message(BACKUPS, NAME, "Immutable")
    school.clock.advance(days=31)
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Immutable") == ("False", "LockEnded")


def test_retention_keeps_what_is_locked_and_lets_it_go_afterwards(school: School) -> None:
    school.policy(full=None, immediate=False, storage=place(), retention={"daily": 1, "minCount": 1})
    for day in (1, 2):
        name, moment = f"day-{day}", f"2026-02-0{day}T02:00:00Z"
        body = school.backup(name)
        body["metadata"]["annotations"] = {"lms.aada.edu/scheduled-for": moment}
        until = to_rfc3339(school.clock.now().replace(day=3))
        body["status"] = completed(school, name) | {"recoverableFrom": moment, "immutableUntil": until}
    school.settle(BACKUP_POLICIES, "nightly")
    said = school.status(BACKUP_POLICIES, "nightly")["retention"]
    assert (said["locked"], said["expired"]) == (["day-1"], [])
    school.clock.advance(days=3)
    school.settle(BACKUP_POLICIES, "nightly")
    said = school.status(BACKUP_POLICIES, "nightly")["retention"]
    assert (said["locked"], said["expired"]) == ([], ["day-1"])
