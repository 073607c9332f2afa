"""`deletionPolicy: Delete`: the data of a Backup that is deleted goes with it, and nothing else does, whoever dies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aada_operator.core.errors import Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, PODS, RESTORES, SECRETS
from tests.unit.backups.api_server import NAMESPACE, Crash, custom_resource
from tests.unit.backups.history import POLICY, key, taken
from tests.unit.backups.school import BACKUP_RESULT, TWO_PLACES, School

FINALIZER = "lms.aada.edu/finalizer"
NAME = "nightly-full-20260225t0200z"


def policy(school: School, **patch: Any) -> None:
    school.policy(POLICY, **({"full": None, "immediate": False, "deletionPolicy": "Delete"} | patch))


def finalizers(school: School) -> list[str]:
    return list(school.api.read(BACKUPS, NAME)["metadata"].get("finalizers", ()))


@pytest.fixture
def held(school: School) -> School:
    """A completed Backup whose data goes with it."""
    policy(school)
    taken(school, 25)
    taken(school, 26)
    school.settle(BACKUPS, NAME)
    assert finalizers(school) == [FINALIZER]
    return school


def delete(school: School) -> None:
    """What `kubectl delete` does, and the operator after it."""
    school.api.remove(BACKUPS, NAME)
    if NAME in school.api.names(BACKUPS):
        school.settle(BACKUPS, NAME)


class TestRetain:
    def test_is_the_default_and_leaves_the_data(self, school: School) -> None:
        school.policy(POLICY, full=None, immediate=False)
        taken(school, 25)
        school.settle(BACKUPS, NAME)
        assert finalizers(school) == []
        delete(school)
        assert NAME not in school.api.names(BACKUPS)
        assert key(NAME) in school.bucket.objects

    def test_said_later_lets_it_go_without_its_data(self, held: School) -> None:
        policy(held, deletionPolicy="Retain")
        held.settle(BACKUPS, NAME)
        assert finalizers(held) == []

    def test_either_said_later_holds_for_what_is_there(self, held: School) -> None:
        """A completed Backup is not visited again by itself: its policy sees to it."""
        for said, wanted in (("Retain", []), ("Delete", [FINALIZER])):
            policy(held, deletionPolicy=said)
            held.settle(BACKUP_POLICIES, POLICY)
            assert finalizers(held) == wanted

    def test_said_while_it_waits_lets_it_go_without_its_data(self, held: School) -> None:
        held.bucket.trouble = Waiting("StorageUnreachable", "nobody answers")
        delete(held)
        assert held.condition(BACKUPS, NAME, "Ready") == ("False", "StorageUnreachable")
        held.bucket.trouble = None
        policy(held, deletionPolicy="Retain")
        held.settle(BACKUPS, NAME)
        assert NAME not in held.api.names(BACKUPS)
        assert key(NAME) in held.bucket.objects


class TestDelete:
    def test_its_data_goes_and_that_of_others_stays(self, held: School) -> None:
        delete(held)
        assert NAME not in held.api.names(BACKUPS)
        assert key(NAME) not in held.bucket.objects
        assert key("nightly-full-20260226t0200z") in held.bucket.objects

    def test_copies_go_too(self, held: School) -> None:
        location = {"bucket": "offsite", "prefix": f"{NAMESPACE}/aada/{NAME}", "credentialsSecret": "s3"}
        copies = [{"name": "offsite", "location": location, "state": "Completed"}]
        held.api.read(BACKUPS, NAME)["status"]["copies"] = copies
        held.offsite.objects[key(NAME)] = held.bucket.objects[key(NAME)]
        delete(held)
        assert held.offsite.objects == {}

    def test_not_while_a_restore_works_with_it(self, held: School) -> None:
        held.api.add(RESTORES, custom_resource("Restore", "drill", {"source": {"backupName": NAME}}))
        delete(held)
        assert held.condition(BACKUPS, NAME, "Ready") == ("False", "InUse")
        assert key(NAME) in held.bucket.objects
        held.api.remove(RESTORES, "drill")
        held.settle(BACKUPS, NAME)
        assert key(NAME) not in held.bucket.objects

    def test_what_refuses_to_be_deleted_is_told_with_the_way_out(self, held: School) -> None:
        held.bucket.deletes = False
        delete(held)
        assert held.condition(BACKUPS, NAME, "Ready") == ("False", "WriteOnce")
        assert "deletionPolicy: Retain" in held.message(BACKUPS, NAME, "Ready")

    def test_somebody_elses_data_stays(self, held: School) -> None:
        marker = {"namespace": NAMESPACE, "lms": "aada", "uid": "another", "claimedAt": "2026-01-01T00:00:00Z"}
        held.bucket.objects[f"{NAMESPACE}/aada/_owner/000001.json"] = json.dumps(marker).encode()
        delete(held)
        assert NAME not in held.api.names(BACKUPS)
        assert key(NAME) in held.bucket.objects

    def test_another_backup_in_its_place_stays(self, held: School) -> None:
        held.bucket.objects[key(NAME)] = held.bucket.objects[key("nightly-full-20260226t0200z")]
        delete(held)
        assert key(NAME) in held.bucket.objects

    def test_without_its_secrets_nobody_waits_for_long(self, held: School) -> None:
        """As in a namespace that is deleted, where they are gone first."""
        held.api.remove(SECRETS, "s3")
        delete(held)
        assert held.condition(BACKUPS, NAME, "Ready") == ("False", "SecretMissing")
        held.clock.advance(seconds=61)
        held.settle(BACKUPS, NAME)
        assert NAME not in held.api.names(BACKUPS)

    def test_without_its_policy_its_data_goes_all_the_same(self, held: School) -> None:
        held.api.remove(BACKUP_POLICIES, POLICY)
        delete(held)
        assert key(NAME) not in held.bucket.objects

    @pytest.mark.parametrize("place", range(4))
    def test_killed_anywhere_the_next_operator_ends_it(self, held: School, place: int) -> None:
        held.api.crash_after = len(held.api.writes) + place
        for _ in range(6):
            try:
                delete(held)
                break
            except (Crash, KeyError):
                held.restart_operator()
        assert NAME not in held.api.names(BACKUPS)
        assert key(NAME) not in held.bucket.objects


class TestUnderWay:
    def test_its_job_ends_before_anything_is_deleted(self, school: School) -> None:
        policy(school)
        school.backup("by-hand")
        school.settle(BACKUPS, "by-hand")
        assert school.api.names(JOBS) == ["by-hand-1"]
        school.api.run_pod("by-hand-1", {})
        school.api.remove(BACKUPS, "by-hand")
        school.settle(BACKUPS, "by-hand")
        assert school.api.names(JOBS) == []
        assert school.condition(BACKUPS, "by-hand", "Ready") == ("False", "StoppingJobs"), "its pod still writes"
        school.manifest("by-hand", uid=school.api.read(BACKUPS, "by-hand")["metadata"]["uid"])
        school.api.remove(PODS, "by-hand-1-pod")
        school.settle(BACKUPS, "by-hand")
        assert school.api.names(BACKUPS) == []
        assert not any(name.endswith("manifest.json") for name in school.bucket.objects)

    def test_one_that_is_queued_goes_at_once_and_keeps_nobody_waiting(self, school: School) -> None:
        policy(school)
        for name in ("first", "second", "third"):
            school.backup(name)
            school.settle(BACKUPS, name)
            school.clock.advance(seconds=1)
        assert school.status(BACKUPS, "second")["phase"] == "Queued"
        school.api.remove(BACKUPS, "second")
        assert school.settle(BACKUPS, "second") is None
        assert school.api.names(BACKUPS) == ["first", "third"]
        school.api.end_job("first-1", BACKUP_RESULT)
        school.settle(BACKUPS, "first")
        school.settle(BACKUPS, "third")
        assert "third-1" in school.api.names(JOBS)
        assert not any("second" in claim for claim in school.api.claims())

    @pytest.mark.parametrize("kind", ["verify", "copy"])
    def test_one_that_is_verified_or_copied_waits_for_the_end_of_that(self, held: School, kind: str) -> None:
        """A copy that went on would bring back in the second place what has gone in the first."""
        policy(held, storage=TWO_PLACES)
        if kind == "verify":
            held.api.read(BACKUPS, NAME)["metadata"]["annotations"] |= {"lms.aada.edu/verify-at": "now"}
        else:
            held.api.read(BACKUP_POLICIES, POLICY)["status"] = {"copies": {"backupName": NAME, "storage": "offsite"}}
        for _ in range(2):
            held.visit(BACKUPS, NAME)
        job = f"{NAME}-{kind}-1"
        assert held.api.names(JOBS) == [job]
        held.api.run_pod(job, {})
        delete(held)
        assert held.condition(BACKUPS, NAME, "Ready") == ("False", "StoppingJobs")
        assert key(NAME) in held.bucket.objects
        assert held.api.names(JOBS) == []
        held.api.remove(PODS, f"{job}-pod")
        held.settle(BACKUPS, NAME)
        assert NAME not in held.api.names(BACKUPS)
        assert key(NAME) not in held.bucket.objects


class TestThePolicy:
    def test_its_history_limit_takes_no_data_away(self, held: School) -> None:
        policy(held, historyLimit={"successful": 1})
        held.settle(BACKUP_POLICIES, POLICY)
        assert len(held.api.names(BACKUPS)) == 2

    def test_collects_what_they_leave_once_a_day(self, held: School) -> None:
        held.clock.advance(days=2)
        held.settle(BACKUP_POLICIES, POLICY)
        assert [name for name in held.api.names(JOBS) if "collect" in name]
