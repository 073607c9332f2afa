"""A backup that is much smaller than the one before is told of, until a person accepts it."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.resources import BACKUPS, Object
from tests.unit.backups.school import BACKUP_RESULT, School, failure

NAME, KIND = "tuesday", "SuspiciousSize"


@pytest.fixture(autouse=True)
def _policy(school: School) -> None:
    school.policy(immediate=False)
    school.policy("other", immediate=False)


def before(school: School, name: str, day: int, stored: int, policy: str = "nightly", **conditions: str) -> None:
    """A completed Backup of an earlier day."""
    told = [{"type": kind, "status": status, "reason": "R", "lastTransitionTime": "2026-02-20T00:00:00Z"}
            for kind, status in conditions.items()]  # fmt: skip
    school.backup(name, policy=policy)["status"] = {
        "phase": "Completed",
        "lms": "aada",
        "policy": policy,
        "storedBytes": stored,
        "recoverableFrom": f"2026-02-{day:02}T02:00:00Z",
        "conditions": told,
    }


def taken(school: School, name: str = NAME, **result: Any) -> tuple[str, str]:
    """What is said of the size of a backup that is taken now."""
    school.backup(name)
    school.settle(BACKUPS, name)
    school.api.end_job(f"{name}-1", {"ok": True, "result": BACKUP_RESULT["result"] | result})
    school.settle(BACKUPS, name)
    return school.condition(BACKUPS, name, KIND)


@pytest.mark.parametrize(
    ("stored", "said"),
    [(49, ("True", "LessThanHalf")), (50, ("False", "SimilarSize")), (900, ("False", "SimilarSize"))],
)
def test_less_than_half_of_the_one_before_is_suspicious(school: School, stored: int, said: tuple[str, str]) -> None:
    before(school, "sunday", 1, 9000)
    before(school, "monday", 2, 100)
    assert taken(school, storedBytes=stored) == said
    assert "monday" in school.message(BACKUPS, NAME, KIND)


def test_what_travelled_is_not_what_counts(school: School) -> None:
    before(school, "monday", 2, 100)
    assert taken(school, storedBytes=100, newBytes=1, base="monday") == ("False", "SimilarSize")


def test_there_may_be_nothing_to_compare_with(school: School) -> None:
    before(school, "elsewhere", 2, 100, policy="other")
    before(school, "later", 28, 9000)
    school.api.read(BACKUPS, "later")["status"]["recoverableFrom"] = "2026-03-09T00:00:00Z"
    assert taken(school, storedBytes=1) == ("Unknown", "NothingToCompare")


def test_the_second_small_one_is_suspicious_too(school: School) -> None:
    before(school, "sunday", 1, 100)
    before(school, "monday", 2, 10, SuspiciousSize="True")
    assert taken(school, storedBytes=10) == ("True", "LessThanHalf")


def test_a_bad_one_is_no_measure(school: School) -> None:
    before(school, "sunday", 1, 100)
    before(school, "monday", 2, 900, Verified="False")
    assert taken(school, storedBytes=100) == ("False", "SimilarSize")


def test_a_person_accepts_it_with_the_command_that_it_says_and_it_is_the_measure_then(school: School) -> None:
    before(school, "monday", 2, 100)
    assert taken(school, storedBytes=10) == ("True", "LessThanHalf")
    command = "kubectl --namespace school annotate lmsb tuesday lms.aada.edu/accept-size=true"
    assert command in school.message(BACKUPS, NAME, KIND)
    school.api.read(BACKUPS, NAME)["metadata"]["annotations"] = {"lms.aada.edu/accept-size": "false"}
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, KIND) == ("True", "LessThanHalf")
    school.api.read(BACKUPS, NAME)["metadata"]["annotations"] = {"lms.aada.edu/accept-size": "true"}
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, KIND) == ("False", "SizeAccepted")
    later = {"snapshotAt": "2026-03-01T01:30:07Z", "storedBytes": 9}
    assert taken(school, "wednesday", **later) == ("False", "SimilarSize")


def test_one_that_was_found_in_the_bucket_is_not_compared(school: School) -> None:
    before(school, "monday", 2, 9000)
    school.manifest(NAME)
    school.backup(NAME)
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, KIND) == ("Unknown", "NotCompared")


def condition(school: School) -> tuple[str, str]:
    return school.condition(BACKUPS, NAME, "Retrying")


class TestRetrying:
    """An attempt that failed is told of at once, although another one follows."""

    def test_until_an_attempt_succeeds(self, school: School) -> None:
        self.attempt(school, 1, failure("DumpFailed"))
        assert condition(school) == ("True", "DumpFailed")
        assert "DumpFailed happened" in school.message(BACKUPS, NAME, "Retrying")
        school.clock.advance(seconds=13)
        school.settle(BACKUPS, NAME)
        assert condition(school) == ("True", "DumpFailed"), "the second attempt runs and may fail as well"
        self.attempt(school, 2, failure("StorageUnreachable"))
        assert condition(school) == ("True", "StorageUnreachable"), "another cause is told, too"
        school.clock.advance(seconds=25)
        school.settle(BACKUPS, NAME)
        self.attempt(school, 3, BACKUP_RESULT)
        assert condition(school) == ("False", "BackupCompleted")

    def test_until_there_is_no_further_attempt(self, school: School) -> None:
        self.attempt(school, 1, failure("DumpFailed"))
        school.clock.advance(seconds=13)
        school.settle(BACKUPS, NAME)
        self.attempt(school, 2, failure("InsufficientPrivilege", retryable=False))
        assert condition(school) == ("False", "InsufficientPrivilege")

    def test_a_first_attempt_that_runs_is_no_trouble(self, school: School) -> None:
        school.backup(NAME)
        school.settle(BACKUPS, NAME)
        assert condition(school) == ("False", "UnderWay")

    def attempt(self, school: School, number: int, outcome: Object) -> None:
        if number == 1:
            school.backup(NAME)
            school.settle(BACKUPS, NAME)
        school.api.end_job(f"{NAME}-{number}", outcome)
        school.settle(BACKUPS, NAME)
