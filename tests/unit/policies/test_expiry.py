"""Retention from rule to empty bucket: who is let go, how a Backup ends, what is collected, and kills in between."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.common import API_VERSION
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, RESTORES
from tests.unit.backups.api_server import Crash
from tests.unit.backups.history import POLICY, key, rule, taken, visit_all
from tests.unit.backups.school import School, failure

COLLECTED = {"deletedObjects": 3, "deletedBytes": 300, "orphanObjects": 1, "orphanBytes": 50}


def said(school: School) -> dict[str, Any]:
    return dict(school.status(BACKUP_POLICIES, POLICY)["retention"])


@pytest.fixture
def three(school: School) -> list[str]:
    """Three nights of backups under a rule that keeps two; no new slot is due."""
    return [taken(school, day) for day in (25, 26, 27)]


class TestExpiry:
    def test_the_oldest_goes_with_its_manifest(self, school: School, three: list[str]) -> None:
        rule(school)
        visit_all(school)
        assert school.api.names(BACKUPS) == three[1:]
        assert sorted(school.bucket.objects) == [key(name) for name in three[1:]]
        assert (said(school)["kept"], said(school)["expired"], said(school)["deleted"]) == (2, [], 1)

    def test_in_mode_observe_it_is_only_said(self, school: School, three: list[str]) -> None:
        rule(school, mode="Observe")
        visit_all(school)
        assert school.api.names(BACKUPS) == three
        assert (said(school)["kept"], said(school)["expired"], said(school)["deleted"]) == (2, three[:1], 0)
        assert school.api.names(JOBS) == []

    def test_without_a_rule_nothing_goes(self, school: School, three: list[str]) -> None:
        school.policy(POLICY, full=None, immediate=False)
        visit_all(school)
        assert school.api.names(BACKUPS) == three
        assert "retention" not in school.status(BACKUP_POLICIES, POLICY)

    def test_a_rule_that_was_loosened_meanwhile_lets_nobody_go(self, school: School, three: list[str]) -> None:
        rule(school)
        school.settle(BACKUP_POLICIES, POLICY)
        assert said(school)["expired"] == three[:1]
        policy = school.api.read(BACKUP_POLICIES, POLICY)
        policy["spec"]["retention"] = {"mode": "Auto", "daily": 30, "minCount": 1}
        policy["metadata"]["generation"] += 1
        school.visit(BACKUPS, three[0])
        assert school.status(BACKUPS, three[0])["phase"] == "Completed"
        visit_all(school)
        assert school.api.names(BACKUPS) == three

    def test_a_suspended_policy_lets_nobody_go(self, school: School, three: list[str]) -> None:
        rule(school)
        school.settle(BACKUP_POLICIES, POLICY)
        policy = school.api.read(BACKUP_POLICIES, POLICY)
        policy["spec"]["suspend"] = True
        visit_all(school)
        assert school.api.names(BACKUPS) == three

    def test_one_that_a_restore_wants_stays_until_it_has_ended(self, school: School, three: list[str]) -> None:
        rule(school)
        school.settle(BACKUP_POLICIES, POLICY)
        spec = {"source": {"backupName": three[0]}}
        restore = school.api.add(
            RESTORES, {"apiVersion": API_VERSION, "kind": "Restore", "metadata": {"name": "r"}, "spec": spec}
        )
        visit_all(school)
        assert school.api.names(BACKUPS) == three
        restore["status"] = {"phase": "Completed"}
        visit_all(school)
        assert school.api.names(BACKUPS) == three[1:]

    def test_a_bucket_that_does_not_delete_keeps_all(self, school: School, three: list[str]) -> None:
        school.bucket.deletes = False
        rule(school)
        visit_all(school)
        assert school.api.names(BACKUPS) == three
        assert (said(school)["expired"], said(school)["locked"]) == ([], three[:1])

    def test_a_manifest_of_another_backup_is_never_deleted(self, school: School, three: list[str]) -> None:
        school.bucket.objects[key(three[0])] = school.bucket.objects[key(three[1])]
        rule(school)
        visit_all(school)
        assert key(three[0]) in school.bucket.objects
        assert "cannot be deleted" in school.message(BACKUPS, three[0], "Ready")

    def test_one_that_ends_neither_holds_up_a_backup_nor_counts_as_one(self, school: School, three: list[str]) -> None:
        rule(school)
        school.api.read(BACKUPS, three[2])["status"]["phase"] = "Deleting"
        school.bucket.deletes = False
        school.backup("by-hand")
        visit_all(school)
        assert school.status(BACKUPS, "by-hand")["phase"] == "Running"
        assert school.status(BACKUP_POLICIES, POLICY)["recoveryPoint"] == "2026-02-26T02:00:00Z"

    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("write", range(8))
    def test_killed_at_any_write_none_claims_to_be_a_backup_that_is_none(
        self, school: School, three: list[str], moment: str, write: int
    ) -> None:
        rule(school)
        setattr(school.api, f"crash_{moment}", write)
        for _ in range(6):
            try:
                visit_all(school, 1)
            except Crash:
                school.restart_operator()
            for name in school.api.names(BACKUPS):
                if school.status(BACKUPS, name).get("phase") == "Completed":
                    assert key(name) in school.bucket.objects
        assert school.api.names(BACKUPS) == three[1:]


class TestCollection:
    @pytest.fixture
    def collecting(self, school: School, three: list[str]) -> School:
        assert three
        rule(school)
        visit_all(school)
        assert school.api.names(JOBS) == ["nightly-collect-1"]
        return school

    def collection(self, school: School) -> dict[str, Any]:
        school.settle(BACKUP_POLICIES, POLICY)
        return dict(school.status(BACKUP_POLICIES, POLICY)["collection"])

    def test_follows_a_deletion_and_tells_what_it_did(self, collecting: School) -> None:
        assert self.collection(collecting)["result"] == "Running"
        collecting.api.end_job("nightly-collect-1", {"ok": True, "result": COLLECTED})
        found = self.collection(collecting)
        assert (found["result"], found["deletedBytes"], found["orphanBytes"]) == ("Done", 300, 50)
        visit_all(collecting)
        assert collecting.api.names(JOBS) == ["nightly-collect-1"], "nothing is left to do today"

    def test_comes_back_the_next_day(self, collecting: School) -> None:
        collecting.api.end_job("nightly-collect-1", {"ok": True, "result": COLLECTED})
        self.collection(collecting)
        collecting.clock.advance(days=1)
        visit_all(collecting)
        assert collecting.api.names(JOBS) == ["nightly-collect-2"]

    @pytest.mark.parametrize(
        ("end", "result"),
        [
            ({"ok": True, "result": COLLECTED | {"postponed": "a backup is being built"}}, "Postponed"),
            (failure("StorageUnreachable"), "Failed"),
            (None, "Failed"),
            ({"ok": True, "result": {"deletedBytes": "many"}}, "Failed"),
        ],
    )
    def test_that_did_not_end_well_says_why(self, collecting: School, end: dict[str, Any] | None, result: str) -> None:
        collecting.api.end_job("nightly-collect-1", end)
        found = self.collection(collecting)
        assert found["result"] == result
        assert found["message"] != ""

    def test_waits_for_backups_and_restores_that_are_at_work(self, school: School, three: list[str]) -> None:
        assert three
        school.backup("by-hand")
        school.api.read(BACKUPS, "by-hand")["status"] = {"phase": "Running"}
        rule(school)
        school.settle(BACKUP_POLICIES, POLICY)
        school.clock.advance(days=2)
        school.settle(BACKUP_POLICIES, POLICY)
        assert school.api.names(JOBS) == []

    def test_settled_it_costs_no_write(self, collecting: School) -> None:
        collecting.api.end_job("nightly-collect-1", {"ok": True, "result": COLLECTED})
        visit_all(collecting)
        collecting.api.writes.clear()
        visit_all(collecting)
        assert collecting.api.writes == []
