"""After the loss of a cluster: the policy is applied to an empty one, and its backups are there again."""

from __future__ import annotations

import pytest

from aada_operator.core.errors import Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS
from tests.unit.backups.api_server import Crash
from tests.unit.backups.school import School

NIGHT, DAY = "nightly-full-20260201t0200z", "nightly-incr-20260202t0200z"


def settle(school: School, rounds: int = 4) -> None:
    for _ in range(rounds):
        school.settle(BACKUP_POLICIES, "nightly")
        for name in school.api.names(BACKUPS):
            school.settle(BACKUPS, name)


@pytest.fixture
def lost(school: School) -> School:
    """Two backups of the schedule, one by hand, one of another policy and a folder without a manifest."""
    for name in (NIGHT, DAY, "before-the-exams"):
        school.manifest(name)
    school.manifest("of-another", policy="another")
    school.bucket.objects["school/aada/torn/attempt-1-ab/schema"] = b"x"
    school.bucket.objects["school/aada/_chunks/e/ab/chunk"] = b"x"
    return school


def test_its_backups_are_there_again_and_completed(lost: School) -> None:
    lost.policy(full=None)
    settle(lost)
    assert lost.api.names(BACKUPS) == ["before-the-exams", NIGHT, DAY]
    for name in lost.api.names(BACKUPS):
        assert lost.condition(BACKUPS, name, "Completed") == ("True", "Adopted")
    assert lost.api.names(JOBS) == [], "nothing is backed up for it"
    assert lost.status(BACKUP_POLICIES, "nightly")["inventory"]["found"] == 3
    made = {name: lost.api.read(BACKUPS, name)["metadata"].get("annotations", {}) for name in lost.api.names(BACKUPS)}
    assert made[NIGHT]["lms.aada.edu/scheduled-for"] == "2026-02-01T02:00:00Z"
    assert made["before-the-exams"].keys() == {"lms.aada.edu/found-at"}


def test_then_the_schedule_goes_on(lost: School) -> None:
    lost.policy()
    settle(lost)
    assert lost.api.names(JOBS) == []
    lost.clock.advance(minutes=31)
    settle(lost)
    assert "nightly-full-20260301t0200z" in lost.api.names(BACKUPS)


def test_what_somebody_deleted_does_not_come_back(lost: School) -> None:
    lost.policy(full=None)
    settle(lost)
    for name in lost.api.names(BACKUPS):
        lost.api.remove(BACKUPS, name)
    settle(lost)
    assert lost.api.names(BACKUPS) == []


def test_a_bucket_that_cannot_be_read_is_looked_through_later(lost: School) -> None:
    lost.bucket.trouble = Waiting("StorageUnreachable", "no answer")
    lost.policy()
    lost.settle(BACKUP_POLICIES, "nightly")
    assert lost.api.names(BACKUPS) == []
    lost.bucket.trouble = None
    lost.clock.advance(minutes=10)
    lost.restart_operator()
    settle(lost)
    assert NIGHT in lost.api.names(BACKUPS)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", range(5))
def test_killed_at_any_write_all_of_them_are_found(lost: School, moment: str, write: int) -> None:
    lost.policy(full=None)
    setattr(lost.api, f"crash_{moment}", write)
    for _ in range(8):
        try:
            settle(lost, 1)
        except Crash:
            lost.restart_operator()
    assert lost.api.names(BACKUPS) == ["before-the-exams", NIGHT, DAY]
