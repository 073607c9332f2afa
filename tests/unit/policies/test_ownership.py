"""Whose the folder in the bucket is: a copy of the namespace backs up and deletes nothing, until it takes over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS
from tests.unit.backups.api_server import NAMESPACE
from tests.unit.backups.history import POLICY, key, rule, taken, visit_all
from tests.unit.backups.school import Bucket, School

FOLDER = f"{NAMESPACE}/aada"
ANOTHER = "uid-of-the-original"


def mark(bucket: Bucket, uid: str, number: int = 1) -> None:
    """A marker, as the first backup of an LMS writes it."""
    marker = {"namespace": NAMESPACE, "lms": "aada", "uid": uid, "claimedAt": "2026-01-01T00:00:00Z"}
    bucket.objects[f"{FOLDER}/_owner/{number:06d}.json"] = json.dumps(marker).encode()


def policy(school: School, **patch: Any) -> tuple[str, str]:
    school.policy(POLICY, **patch)
    school.settle(BACKUP_POLICIES, POLICY)
    return school.condition(BACKUP_POLICIES, POLICY, "PrefixOwned")


def uid(school: School) -> str:
    return str(school.api.read(AADA_LMS, "aada")["metadata"]["uid"])


def take_over(school: School, whom: str) -> None:
    school.api.read(BACKUP_POLICIES, POLICY)["metadata"].setdefault("annotations", {})["lms.aada.edu/take-over"] = whom
    school.settle(BACKUP_POLICIES, POLICY)


class TestCondition:
    def test_before_the_first_backup_nobody_has_marked_it(self, school: School) -> None:
        assert policy(school) == ("Unknown", "NotMarkedYet")

    def test_our_own(self, school: School) -> None:
        mark(school.bucket, uid(school))
        assert policy(school) == ("True", "Ours")

    def test_anothers_with_the_command_that_takes_it_over(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        assert policy(school) == ("False", "PrefixOwnedByAnother")
        message = school.message(BACKUP_POLICIES, POLICY, "PrefixOwned")
        assert f"kubectl annotate bp {POLICY} --overwrite lms.aada.edu/take-over={ANOTHER}" in message
        assert school.condition(BACKUP_POLICIES, POLICY, "Ready") == ("False", "PrefixOwnedByAnother")

    def test_an_annotation_that_names_it_takes_over(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        policy(school)
        take_over(school, ANOTHER)
        assert school.condition(BACKUP_POLICIES, POLICY, "PrefixOwned") == ("True", "TakingOver")

    def test_one_that_names_somebody_else_does_not(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        policy(school)
        take_over(school, "somebody")
        assert school.condition(BACKUP_POLICIES, POLICY, "PrefixOwned") == ("False", "PrefixOwnedByAnother")

    def test_the_highest_marker_counts(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        mark(school.bucket, uid(school), 2)
        assert policy(school) == ("True", "Ours")

    def test_one_that_nobody_can_read_is_told(self, school: School) -> None:
        school.bucket.objects[f"{FOLDER}/_owner/000001.json"] = b"{}"
        school.policy(POLICY)
        school.settle(BACKUP_POLICIES, POLICY)
        assert school.condition(BACKUP_POLICIES, POLICY, "StorageReachable") == ("False", "Corrupt")


class TestAnother:
    def test_starts_no_backup(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        policy(school, immediate=True)
        assert school.api.names(BACKUPS) == []
        take_over(school, ANOTHER)
        assert len(school.api.names(BACKUPS)) == 1

    def test_tells_the_worker_of_a_backup_by_hand_for_whom_it_is(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        policy(school, immediate=False)
        take_over(school, ANOTHER)
        school.backup("by-hand")
        school.settle(BACKUPS, "by-hand")
        assert school.api.task("by-hand-1")["claim"] == {
            "namespace": NAMESPACE,
            "lms": "aada",
            "uid": uid(school),
            "takeOver": ANOTHER,
            "policy": POLICY,
        }

    @pytest.mark.parametrize("whose", ["original", "ours"])
    def test_deletes_nothing_that_its_rule_lets_go(self, school: School, whose: str) -> None:
        names = [taken(school, day) for day in (25, 26, 27)]
        mark(school.bucket, ANOTHER if whose == "original" else uid(school))
        rule(school)
        visit_all(school)
        stays = whose == "original"
        assert (key(names[0]) in school.bucket.objects, names[0] in school.api.names(BACKUPS)) == (stays, stays)

    def test_that_took_over_after_the_rule_let_a_backup_go_loses_nothing(self, school: School) -> None:
        names = [taken(school, day) for day in (25, 26, 27)]
        mark(school.bucket, uid(school))
        rule(school)
        school.settle(BACKUP_POLICIES, POLICY)
        mark(school.bucket, ANOTHER, 2)
        school.visit(BACKUPS, names[0])
        school.visit(BACKUPS, names[0])
        assert key(names[0]) in school.bucket.objects
        assert "not deleted" in school.message(BACKUPS, names[0], "Ready")

    def test_collects_nothing(self, school: School) -> None:
        mark(school.bucket, ANOTHER)
        rule(school)
        school.clock.advance(days=3)
        visit_all(school)
        assert school.api.names(JOBS) == []

    def test_the_copies_in_a_second_place_of_another_stay(self, school: School) -> None:
        location = {"bucket": "offsite", "prefix": f"{FOLDER}/nightly-full-20260225t0200z", "credentialsSecret": "s3"}
        copies = [{"name": "offsite", "location": location, "state": "Completed"}]
        name = taken(school, 25, copies=copies)
        _ = [taken(school, day) for day in (26, 27)]
        school.offsite.objects[key(name)] = school.bucket.objects[key(name)]
        mark(school.offsite, ANOTHER)
        rule(school)
        visit_all(school)
        assert key(name) not in school.bucket.objects
        assert key(name) in school.offsite.objects
