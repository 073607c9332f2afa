"""Whose chunks an incremental Backup may share, and what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aada_operator.core.resources import BACKUPS, JOBS
from tests.unit.backups.school import BACKUP_RESULT, School

NAME = "tuesday"


def sibling(school: School, name: str, day: int, epoch: str = "sunday-1", verified: str = "Unknown", **at: str) -> None:
    """A completed Backup that is there already."""
    place = {"bucket": "backups", "prefix": f"school/aada/{name}"} | at
    school.backup(name)["status"] = {
        "phase": "Completed",
        "lms": "aada",
        "epoch": epoch,
        "location": place,
        "recoverableFrom": f"2026-02-{day:02}T02:00:00Z",
        "conditions": [
            {"type": "Verified", "status": verified, "reason": "R", "lastTransitionTime": "2026-03-01T00:00:00Z"}
        ],
    }


def base(school: School, kind: str = "Incremental") -> Any:
    """The base that the Job of a new Backup is told."""
    school.policy(immediate=False)
    school.backup(NAME, kind=kind)
    school.settle(BACKUPS, NAME)
    (container,) = school.api.read(JOBS, f"{NAME}-1")["spec"]["template"]["spec"]["containers"]
    (task,) = [json.loads(entry["value"]) for entry in container["env"] if entry["name"].endswith("TASK")]
    return task.get("base")


def completed(school: School, **result: object) -> dict[str, Any]:
    base(school)
    school.api.end_job(f"{NAME}-1", {"ok": True, "result": BACKUP_RESULT["result"] | result})
    school.settle(BACKUPS, NAME)
    return school.status(BACKUPS, NAME)


class TestBase:
    def test_is_the_newest(self, school: School) -> None:
        sibling(school, "sunday", 1)
        sibling(school, "monday", 2)
        assert base(school) == "monday"

    def test_is_none_where_there_is_no_backup(self, school: School) -> None:
        assert base(school) is None

    def test_is_none_for_a_full_one(self, school: School) -> None:
        sibling(school, "monday", 2)
        assert base(school, "Full") is None

    def test_is_of_no_epoch_that_holds_a_bad_one(self, school: School) -> None:
        sibling(school, "saturday", 1, epoch="saturday-1", verified="True")
        sibling(school, "sunday", 2)
        sibling(school, "monday", 3, verified="False")
        assert base(school) == "saturday"

    @pytest.mark.parametrize(
        "at", [{"bucket": "another"}, {"endpoint": "https://elsewhere"}, {"prefix": "school/other/monday"}]
    )
    def test_lies_in_the_same_folder(self, school: School, at: dict[str, str]) -> None:
        sibling(school, "monday", 2, **at)
        assert base(school) is None


class TestStatus:
    def test_says_what_travelled_and_whose_chunks_it_shares(self, school: School) -> None:
        sibling(school, "monday", 2)
        status = completed(school, base="monday", newBytes=7)
        assert (status["type"], status["parent"], status["newBytes"]) == ("Incremental", "monday", 7)
        assert "the rest is shared with monday" in school.message(BACKUPS, NAME, "Completed")

    def test_says_that_it_became_a_full_one_and_why(self, school: School) -> None:
        status = completed(school)
        assert (status["type"], status.get("parent", "")) == ("Full", "")
        assert "no backup to build upon" in school.message(BACKUPS, NAME, "Completed")

    def test_on_full_does_not_verify_it(self, school: School) -> None:
        sibling(school, "monday", 2)
        school.policy(immediate=False, verification={"onFull": True})
        school.backup(NAME, kind="Incremental")
        school.settle(BACKUPS, NAME)
        school.api.end_job(f"{NAME}-1", {"ok": True, "result": BACKUP_RESULT["result"] | {"base": "monday"}})
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1"]
