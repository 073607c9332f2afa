"""A Backup from its creation to its end, one visit of the operator after the other."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from aada_operator.adapters import interlock
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, SECRETS
from tests.unit.backups.api_server import NAMESPACE, Crash
from tests.unit.backups.school import BACKUP_RESULT, School, failure

NAME = "by-hand"


@pytest.fixture(autouse=True)
def _policy(school: School) -> None:
    school.policy(immediate=False)


def started(school: School, name: str = NAME) -> None:
    """A hand-made Backup whose first Job runs."""
    school.backup(name)
    assert school.settle(BACKUPS, name)
    assert school.api.names(JOBS) == [f"{name}-1"]


def test_a_backup_made_by_hand_runs_at_once_and_says_what_it_holds(school: School) -> None:
    started(school)
    school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
    school.settle(BACKUPS, NAME)
    status = school.status(BACKUPS, NAME)
    assert (status["phase"], status["lms"], status["policy"], status["type"]) == (
        "Completed",
        "aada",
        "nightly",
        "Full",
    )
    assert status["tables"] == {"count": 4, "rows": 99, "digest": "cd" * 32}
    assert status["postgres"] == {"version": "15.18", "systemIdentifier": "7", "lsn": "0/1"}
    assert (status["size"], status["duration"], status["schemaRevision"]) == ("300B", "20s", "0002")
    assert (status["encryption"], status["recoverableFrom"]) == ("Age", "2026-03-01T01:30:06Z")
    assert status["location"]["prefix"] == "school/aada/by-hand"
    assert "scheduledFor" not in status
    for kind, wanted in (("Completed", "True"), ("Failed", "False"), ("Ready", "True"), ("Encrypted", "True")):
        assert school.condition(BACKUPS, NAME, kind)[0] == wanted


def test_a_settled_backup_costs_no_write_and_asks_for_no_visit(school: School) -> None:
    started(school)
    school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
    school.settle(BACKUPS, NAME)
    school.api.writes.clear()
    assert school.visit(BACKUPS, NAME) is None
    assert school.api.writes == []


def test_progress_is_shown_and_the_same_progress_is_written_once(school: School) -> None:
    started(school)
    school.api.run_pod(f"{NAME}-1", {"progress": {"stage": "dump", "bytes": 5, "tables": 2}})
    school.visit(BACKUPS, NAME)
    status = school.status(BACKUPS, NAME)
    assert (status["phase"], status["progress"]["bytes"], status["progress"]["tables"]) == ("Uploading", 5, 2)
    school.api.writes.clear()
    school.visit(BACKUPS, NAME)
    assert school.api.writes == []


def test_it_waits_for_policy_and_lms_and_goes_on_when_they_come(school: School) -> None:
    school.api.remove(BACKUP_POLICIES, "nightly")
    school.api.remove(AADA_LMS, "aada")
    school.backup()
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Completed") == ("Unknown", "BackupPolicyNotFound")
    school.policy()
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Ready") == ("False", "AadaLmsNotFound")
    school.lms()
    school.settle(BACKUPS, NAME)
    assert school.api.names(JOBS) == [f"{NAME}-1"]


def test_an_invalid_policy_is_named_with_its_field(school: School) -> None:
    school.api.read(BACKUP_POLICIES, "nightly")["spec"]["full"] = {"schedule": "0 99 * * *"}
    school.backup()
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Ready") == ("False", "BackupPolicyInvalid")
    assert "spec.full.schedule" in school.message(BACKUPS, NAME, "Ready")


def test_a_missing_secret_is_named_and_no_pod_hangs_for_it(school: School) -> None:
    school.api.remove(SECRETS, "db-admin")
    school.backup()
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Ready") == ("False", "SecretMissing")
    assert school.api.names(JOBS) == []
    school.api.secret("db-admin", username="admin", password="p")
    school.settle(BACKUPS, NAME)
    assert school.api.names(JOBS) == [f"{NAME}-1"]


class TestFailures:
    def test_a_failed_attempt_is_tried_again_and_only_the_last_job_is_kept(self, school: School) -> None:
        started(school)
        school.api.end_job(f"{NAME}-1", failure("StorageUnreachable"))
        delay = school.visit(BACKUPS, NAME)
        assert delay is not None
        assert 8 <= delay <= 12
        assert school.condition(BACKUPS, NAME, "Completed") == ("Unknown", "StorageUnreachable")
        assert school.api.names(JOBS) == [f"{NAME}-1"], "not before its time"
        school.clock.advance(seconds=13)
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-2"]
        school.api.end_job(f"{NAME}-2", BACKUP_RESULT)
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"
        assert "nextAttempt" not in school.status(BACKUPS, NAME)

    def test_the_pauses_grow(self, school: School) -> None:
        started(school)
        pauses = []
        for attempt in range(1, 5):
            school.api.end_job(f"{NAME}-{attempt}", failure("DatabaseUnreachable"))
            pauses.append(school.visit(BACKUPS, NAME) or 0)
            school.clock.advance(seconds=pauses[-1] + 1)
            school.settle(BACKUPS, NAME)
        assert [round(pause, -1) for pause in pauses[:2]] == [10, 20]
        assert pauses == sorted(pauses)

    def test_after_the_deadline_it_fails_with_the_last_cause_and_stays_failed(self, school: School) -> None:
        started(school)
        school.clock.advance(minutes=59, seconds=55)
        school.api.end_job(f"{NAME}-1", failure("DumpFailed"))
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Failed"
        assert school.condition(BACKUPS, NAME, "Failed") == ("True", "DumpFailed")
        school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
        school.api.writes.clear()
        assert school.visit(BACKUPS, NAME) is None
        assert (school.status(BACKUPS, NAME)["phase"], school.api.writes) == ("Failed", [])

    def test_what_a_retry_cannot_help_fails_at_once(self, school: School) -> None:
        started(school)
        school.api.end_job(f"{NAME}-1", failure("InsufficientPrivilege", retryable=False))
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Failed") == ("True", "InsufficientPrivilege")

    def test_a_missing_bucket_is_waited_for_and_heals(self, school: School) -> None:
        school.bucket.trouble = Waiting("BucketNotFound", "create it")
        school.backup()
        delay = school.settle(BACKUPS, NAME)
        assert delay is not None
        assert delay <= 15
        assert school.condition(BACKUPS, NAME, "Completed") == ("Unknown", "BucketNotFound")
        school.bucket.trouble = None
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_a_storage_that_never_comes_fails_it_with_the_cause(self, school: School) -> None:
        school.bucket.trouble = Waiting("StorageAccessDenied", "correct the Secret")
        school.backup()
        school.settle(BACKUPS, NAME)
        school.clock.advance(hours=1, seconds=1)
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Failed") == ("True", "StorageAccessDenied")

    def test_an_endpoint_that_is_not_allowed_fails_it_at_once(self, school: School) -> None:
        school.bucket.trouble = Stalled("StorageAccessDenied", "a loopback address")
        school.backup()
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Failed"

    def test_a_worker_killed_after_its_manifest_is_no_failure(self, school: School) -> None:
        started(school)
        uid = school.api.read(BACKUPS, NAME)["metadata"]["uid"]
        school.manifest(NAME, uid=uid)
        school.api.end_job(f"{NAME}-1", None)
        school.settle(BACKUPS, NAME)
        school.clock.advance(seconds=13)
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Completed") == ("True", "BackupCompleted")
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_a_lost_job_is_followed_by_a_new_attempt_with_a_new_number(self, school: School) -> None:
        started(school)
        school.api.remove(JOBS, f"{NAME}-1")
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Completed") == ("Unknown", "JobLost")
        school.clock.advance(seconds=13)
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-2"]

    def test_a_policy_deleted_meanwhile_does_not_stop_the_running_backup(self, school: School) -> None:
        started(school)
        school.api.remove(BACKUP_POLICIES, "nightly")
        school.visit(BACKUPS, NAME)
        school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"

    def test_an_api_server_that_is_away_never_fails_a_backup(self, school: School) -> None:
        started(school)
        school.clock.advance(hours=2)
        school.api.unreachable = True
        with pytest.raises(Waiting):
            school.visit(BACKUPS, NAME)
        school.api.unreachable = False
        school.api.unreachable_for = JOBS
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Running"
        school.api.unreachable_for = None
        school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"


class TestAdoption:
    def test_an_object_made_again_takes_its_backup_over_and_never_runs(self, school: School) -> None:
        school.manifest(NAME)
        school.backup()
        school.settle(BACKUPS, NAME)
        status = school.status(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Completed") == ("True", "Adopted")
        assert (status["completionTime"], status["duration"]) == ("2026-02-01T02:00:31Z", "31s")
        assert (status["postgres"]["version"], status["tables"]["rows"]) == ("15.18", 99)
        assert school.api.names(JOBS) == []

    @pytest.mark.parametrize("other", [{"lms": "other"}, {"policy": "other"}])
    def test_a_folder_of_another_backup_is_refused_with_the_fix(self, school: School, other: dict[str, str]) -> None:
        school.manifest(NAME, **other)
        school.backup()
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Failed") == ("True", "NameTaken")
        assert "another name" in school.message(BACKUPS, NAME, "Failed")

    def test_a_manifest_that_nobody_can_read_is_never_overwritten(self, school: School) -> None:
        school.bucket.objects["school/aada/by-hand/manifest.json"] = b"{"
        school.backup()
        school.settle(BACKUPS, NAME)
        assert school.condition(BACKUPS, NAME, "Failed") == ("True", "Corrupt")
        assert school.api.names(JOBS) == []


class TestQueue:
    def test_one_at_a_time_and_the_others_say_for_whom_they_wait(self, school: School) -> None:
        started(school, "first")
        school.clock.advance(seconds=1)
        school.backup("second")
        school.settle(BACKUPS, "second")
        assert school.status(BACKUPS, "second")["phase"] == "Queued"
        assert "first" in school.message(BACKUPS, "second", "Completed")
        school.api.end_job("first-1", BACKUP_RESULT)
        school.settle(BACKUPS, "first")
        school.settle(BACKUPS, "second")
        assert "second-1" in school.api.names(JOBS)

    def test_who_came_first_goes_first(self, school: School) -> None:
        started(school, "running")
        for name in ("b", "a"):
            school.clock.advance(seconds=1)
            school.backup(name)
            school.settle(BACKUPS, name)
        school.api.end_job("running-1", BACKUP_RESULT)
        school.settle(BACKUPS, "running")
        school.settle(BACKUPS, "a")
        assert school.status(BACKUPS, "a")["phase"] == "Queued"
        school.settle(BACKUPS, "b")
        assert "b-1" in school.api.names(JOBS)

    def test_two_seen_at_the_same_moment_do_not_both_run(self, school: School) -> None:
        school.backup("one")
        school.backup("two")
        for _ in range(2):
            school.visit(BACKUPS, "one")
        school.api.read(BACKUPS, "one")["status"].pop("deadline")  # its status is still on its way
        school.settle(BACKUPS, "two")
        assert school.status(BACKUPS, "two")["phase"] == "Queued"

    def test_one_that_cannot_start_does_not_block_the_others(self, school: School) -> None:
        school.backup("orphan", policy="nowhere")
        school.settle(BACKUPS, "orphan")
        started(school)

    def test_a_turn_is_given_back_when_its_policy_goes_before_the_start(self, school: School) -> None:
        school.backup("one")
        for _ in range(2):
            school.visit(BACKUPS, "one")
        assert school.api.claims() == ["Backup one (Backup)"]
        school.api.read(BACKUPS, "one")["status"].pop("deadline")  # the last write of its status was lost
        school.api.read(BACKUPS, "one")["spec"]["policyRef"]["name"] = "gone"
        school.settle(BACKUPS, "one")
        started(school)

    def test_one_that_waits_for_its_bucket_keeps_no_migration_waiting(self, school: School) -> None:
        school.backup()
        for _ in range(2):
            school.visit(BACKUPS, NAME)
        school.bucket.trouble = Waiting("StorageUnreachable", "no answer", 30.0)
        school.settle(BACKUPS, NAME)
        assert school.api.claims() == []
        school.bucket.trouble = None
        school.settle(BACKUPS, NAME)
        assert school.api.claims() == [f"Backup {NAME} (Backup)"]
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_between_two_attempts_others_may_work(self, school: School) -> None:
        started(school)
        school.api.end_job(f"{NAME}-1", failure("DumpFailed"))
        school.settle(BACKUPS, NAME)
        assert school.api.claims() == []

    @pytest.mark.parametrize("operation", [Operation.MIGRATION, Operation.CUTOVER])
    def test_none_begins_during_a_migration_or_a_cutover(self, school: School, operation: Operation) -> None:
        kube: Any = school.api
        lms = school.api.read(AADA_LMS, "aada")
        asyncio.run(interlock.claim(kube, NAMESPACE, "aada", Claim.of(lms, operation, school.clock.now())))
        school.backup()
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["phase"] == "Queued"
        assert f"AadaLms aada ({operation})" in school.message(BACKUPS, NAME, "Completed")
        asyncio.run(interlock.release(kube, NAMESPACE, "aada", lms["metadata"]["uid"]))
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1"]


class TestOperatorKilled:
    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("write", range(18))
    def test_at_any_write_the_end_is_the_same_and_each_job_is_made_once(
        self, school: School, moment: str, write: int
    ) -> None:
        school.backup()
        setattr(school.api, f"crash_{moment}", write)
        for _ in range(30):
            try:
                school.visit(BACKUPS, NAME)
            except Crash:
                school.restart_operator()
            for job in school.api.names(JOBS):
                if not school.api.read(JOBS, job).get("status"):
                    school.api.end_job(job, failure("DumpFailed") if job.endswith("-1") else BACKUP_RESULT)
            school.clock.advance(seconds=14)
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"
        assert school.api.names(JOBS) == [f"{NAME}-2"]
        made = [entry for entry in school.api.writes if entry.startswith("create")]
        once = ["create leases/aada-operations", "create secrets/aada-chunk-key"]
        assert made == [*once, f"create jobs/{NAME}-1", f"create jobs/{NAME}-2"]
        assert set(school.api.claims()) <= {"Backup by-hand (Backup)"}, "a claim that stays is that of one that ended"
        school.backup("next")
        school.settle(BACKUPS, "next")
        assert school.api.claims() == ["Backup next (Backup)"]


def test_the_slot_of_a_scheduled_backup_is_shown_and_a_hand_written_one_that_is_no_time_is_not(school: School) -> None:
    slot = to_rfc3339(school.clock.now() - timedelta(minutes=1))
    school.backup()["metadata"]["annotations"] = {"lms.aada.edu/scheduled-for": slot}
    school.settle(BACKUPS, NAME)
    assert school.status(BACKUPS, NAME)["scheduledFor"] == slot
    school.backup("typo")["metadata"]["annotations"] = {"lms.aada.edu/scheduled-for": "tomorrow"}
    school.settle(BACKUPS, "typo")
    assert "scheduledFor" not in school.status(BACKUPS, "typo")
