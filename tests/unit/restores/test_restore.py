"""A Restore as a user sees it: what it does, what it refuses, and that neither kills nor lost statuses confuse it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from aada_operator.api.common import seconds
from aada_operator.core import steps
from aada_operator.core.controller import RESYNC
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, PODS, RESTORES, SECRETS, Object
from tests.unit.restores.rehearsal import JOB, RESTORE, RESULT, Rehearsal, failure, in_hours

DATABASE = "aada_lms_restore_12345678"


class TestCompletes:
    def test_with_one_job_that_is_told_where_the_backup_lies_and_where_it_goes(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]
        task = rehearsal.task()
        assert task["folder"] == "school/aada/monday"
        assert task["database"] == {"host": "db", "port": 5432, "name": DATABASE, "sslMode": "verify-full"}
        assert rehearsal.status["phase"] == "Running"

    def test_with_what_the_worker_said_in_the_status(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.run_pod(JOB, {"progress": {"stage": "compare", "tables": 4}})
        rehearsal.settle()
        rehearsal.clock.advance(seconds=95)
        rehearsal.end_job()
        assert rehearsal.settle() is None
        status = rehearsal.status
        assert (status["phase"], status["database"], status["rows"]) == ("Completed", DATABASE, 99)
        assert (status["duration"], status["progressText"], status["step"]) == ("1m35s", "100%", "")
        assert status["mode"] == "NewDatabase"
        assert "progress" not in status
        assert rehearsal.condition("Completed") == rehearsal.condition("Ready") == ("True", "RestoredAndCompared")
        assert rehearsal.condition("Failed")[0] == rehearsal.condition("Reconciling")[0] == "False"
        assert all(step["finishedAt"] for step in status["steps"])

    def test_and_tells_it_once(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job()
        rehearsal.settle()
        assert rehearsal.events == ["Completed=True RestoredAndCompared"]

    def test_and_is_never_touched_again(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job()
        rehearsal.settle()
        rehearsal.api.remove(BACKUPS, "monday")
        rehearsal.api.remove(JOBS, JOB)
        writes = len(rehearsal.api.writes)
        assert rehearsal.visit() is None
        assert len(rehearsal.api.writes) == writes

    def test_under_the_name_that_the_user_wants(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", target={"database": "exam_review"})
        rehearsal.settle()
        assert rehearsal.task()["database"]["name"] == "exam_review"

    def test_of_a_suspended_lms_too(self, rehearsal: Rehearsal) -> None:
        rehearsal.api.read(AADA_LMS, "aada")["spec"]["suspend"] = True
        rehearsal.restore("monday")
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]

    def test_of_an_unencrypted_backup_whose_policy_is_gone(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("plain", encryption="None")
        rehearsal.api.remove(BACKUP_POLICIES, "nightly")
        rehearsal.restore("plain")
        rehearsal.settle()
        volumes = rehearsal.api.read(JOBS, JOB)["spec"]["template"]["spec"]["volumes"]
        assert {"database", "storage", "tmp"} == {volume["name"] for volume in volumes}

    @pytest.mark.parametrize("encryption", ["Age", "None"])
    def test_with_the_policys_job_template(self, rehearsal: Rehearsal, encryption: str) -> None:
        overlay = {"spec": {"nodeSelector": {"disk": "fast"}}}
        rehearsal.api.read(BACKUP_POLICIES, "nightly")["spec"]["job"] = {"podTemplate": overlay}
        rehearsal.backup("tuesday", encryption=encryption)
        rehearsal.restore("tuesday")
        rehearsal.settle()
        pod = rehearsal.api.read(JOBS, JOB)["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"disk": "fast"}
        mounted = {volume["name"] for volume in pod["volumes"]}
        assert ("identity" in mounted) == (encryption == "Age"), "a key that is not needed is not mounted"

    def test_showing_how_far_it_is(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.run_pod(JOB, {"progress": {"stage": "restore", "bytes": 63, "totalBytes": 100, "tables": 0}})
        assert rehearsal.settle() == pytest.approx(3.0)
        assert rehearsal.status["progressText"] == "63%"
        assert rehearsal.status["step"] == "Load"

    def test_without_a_write_while_nothing_moves(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.run_pod(JOB, {"progress": {"stage": "restore", "bytes": 1, "totalBytes": 100}})
        rehearsal.settle()
        writes = len(rehearsal.api.writes)
        rehearsal.clock.advance(minutes=3)
        rehearsal.visit()
        assert len(rehearsal.api.writes) == writes


class TestLatest:
    def test_is_the_newest_by_completion_verified_or_not(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("tuesday", completed="2026-03-01T01:20:00Z")
        rehearsal.backup("aborted", completed=None)
        rehearsal.verified("monday", "True")
        rehearsal.restore()
        rehearsal.settle()
        plan = rehearsal.status["plan"]
        assert plan["backup"] == "tuesday"
        assert "not verified" in plan["summary"]

    def test_says_in_the_plan_when_its_verification_failed(self, rehearsal: Rehearsal) -> None:
        rehearsal.verified("monday", "False")
        rehearsal.restore()
        rehearsal.settle()
        assert "FAILED" in rehearsal.status["plan"]["summary"]

    def test_says_in_the_plan_when_it_is_much_smaller_than_the_one_before(self, rehearsal: Rehearsal) -> None:
        rehearsal.verified("monday", "True")
        conditions = rehearsal.api.read(BACKUPS, "monday")["status"]["conditions"]
        conditions.append(conditions[0] | {"type": "SuspiciousSize", "status": "True"})
        rehearsal.restore()
        rehearsal.settle()
        assert "verified, and LESS THAN HALF as large" in rehearsal.status["plan"]["summary"]

    def test_is_of_that_policy_only(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("foreign", completed="2026-03-01T01:25:00Z")
        rehearsal.api.read(BACKUPS, "foreign")["spec"]["policyRef"]["name"] = "weekly"
        rehearsal.restore()
        rehearsal.settle()
        assert rehearsal.status["plan"]["backup"] == "monday"

    def test_waits_for_a_first_backup(self, rehearsal: Rehearsal) -> None:
        rehearsal.api.remove(BACKUPS, "monday")
        rehearsal.restore()
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "NoCompletedBackup")
        rehearsal.backup("tuesday")
        rehearsal.settle()
        assert rehearsal.status["plan"]["backup"] == "tuesday"

    def test_does_not_move_once_it_is_being_loaded(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore()
        rehearsal.settle()
        rehearsal.backup("tuesday", completed="2026-03-01T01:20:00Z")
        rehearsal.end_job(said=failure("DatabaseUnreachable"))
        rehearsal.settle()
        rehearsal.clock.advance(minutes=1)
        rehearsal.settle()
        assert rehearsal.jobs == [f"{RESTORE}-restore-2"]
        assert rehearsal.task(f"{RESTORE}-restore-2")["folder"] == "school/aada/monday"


class TestApprove:
    def test_waits_with_the_command_that_approves(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        assert rehearsal.settle() == RESYNC
        assert rehearsal.status["phase"] == "AwaitingApproval"
        assert rehearsal.condition("Ready") == ("False", "AwaitingApproval")
        command = (
            f"kubectl --namespace school annotate lmsr {RESTORE} --overwrite "
            f"lms.aada.edu/approve={rehearsal.status['plan']['hash']}"
        )
        assert command in rehearsal.message("Ready")
        assert rehearsal.jobs == []

    def test_acts_on_the_plans_hash(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.settle()
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]

    @pytest.mark.parametrize("value", ["", "true", "0123456789abcdef"])
    def test_does_not_act_on_anything_else(self, rehearsal: Rehearsal, value: str) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.approve(value)
        rehearsal.settle()
        assert rehearsal.jobs == []

    def test_shows_a_newer_backup_until_one_is_approved_and_then_no_more(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore(mode="Approve")
        rehearsal.settle()
        monday = rehearsal.status["plan"]["hash"]
        rehearsal.backup("tuesday", completed="2026-03-01T01:20:00Z")
        rehearsal.settle()
        tuesday = rehearsal.status["plan"]["hash"]
        assert monday != tuesday
        rehearsal.approve(tuesday)
        rehearsal.backup("wednesday", completed="2026-03-01T01:25:00Z")
        rehearsal.settle()
        assert rehearsal.task()["folder"] == "school/aada/tuesday"

    def test_of_an_older_plan_is_no_approval_of_the_newer_one(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore(mode="Approve")
        rehearsal.settle()
        monday = rehearsal.status["plan"]["hash"]
        rehearsal.backup("tuesday", completed="2026-03-01T01:20:00Z")
        rehearsal.settle()
        rehearsal.approve(monday)
        rehearsal.settle()
        assert rehearsal.jobs == []

    def test_is_void_when_the_server_changes(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.settle()
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.api.read(AADA_LMS, "aada")["spec"]["database"]["host"] = "other"
        rehearsal.settle()
        assert rehearsal.jobs == []
        assert rehearsal.status["phase"] == "AwaitingApproval"

    def test_may_take_longer_than_the_timeout(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve", timeout="1h")
        rehearsal.settle()
        rehearsal.clock.advance(days=3)
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.settle()
        rehearsal.end_job()
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"


class TestObserve:
    def test_writes_the_plan_and_does_nothing(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Observe")
        assert rehearsal.settle() == RESYNC
        assert rehearsal.jobs == []
        assert rehearsal.status["phase"] == "Planned"
        assert rehearsal.condition("Ready") == ("False", "Observing")
        assert "99 rows" in rehearsal.status["plan"]["summary"]
        assert DATABASE in rehearsal.message("Ready")

    def test_is_not_approved_by_an_annotation(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Observe")
        rehearsal.settle()
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.settle()
        assert rehearsal.jobs == []


class TestWaitsAndHeals:
    """Ready=False with the reason, nothing started; then it goes on by itself."""

    def wait_and_heal(self, rehearsal: Rehearsal, reason: str) -> None:
        delay = rehearsal.settle()
        assert delay is not None
        assert rehearsal.condition("Ready") == ("False", reason)
        assert rehearsal.condition("Completed")[0] == "Unknown"
        assert rehearsal.jobs == []
        writes = len(rehearsal.api.writes)
        rehearsal.visit()
        assert len(rehearsal.api.writes) == writes, "a visit that finds the same must not write"

    def healed(self, rehearsal: Rehearsal) -> None:
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]

    def test_for_a_backup_that_is_not_there_yet(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("tuesday")
        self.wait_and_heal(rehearsal, "BackupNotFound")
        rehearsal.backup("tuesday")
        self.healed(rehearsal)

    def test_for_a_backup_that_still_runs(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("tuesday", completed=None)
        rehearsal.restore("tuesday")
        self.wait_and_heal(rehearsal, "BackupNotCompleted")
        rehearsal.backup("tuesday")
        self.healed(rehearsal)

    @pytest.mark.parametrize("secret", ["s3", "db-admin", "identity"])
    def test_for_a_secret(self, rehearsal: Rehearsal, secret: str) -> None:
        kept = rehearsal.api.read(SECRETS, secret)
        rehearsal.api.remove(SECRETS, secret)
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "SecretMissing")
        assert secret in rehearsal.message("Ready")
        rehearsal.api.add(SECRETS, kept)
        self.healed(rehearsal)

    def test_for_the_lms(self, rehearsal: Rehearsal) -> None:
        kept = rehearsal.api.read(AADA_LMS, "aada")
        rehearsal.api.remove(AADA_LMS, "aada")
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "AadaLmsNotFound")
        rehearsal.api.add(AADA_LMS, kept)
        self.healed(rehearsal)

    def test_for_the_policy_of_an_encrypted_backup(self, rehearsal: Rehearsal) -> None:
        kept = rehearsal.api.read(BACKUP_POLICIES, "nightly")
        rehearsal.api.remove(BACKUP_POLICIES, "nightly")
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "BackupPolicyNotFound")
        rehearsal.api.add(BACKUP_POLICIES, kept)
        self.healed(rehearsal)

    def test_for_an_identity(self, rehearsal: Rehearsal) -> None:
        encryption = rehearsal.api.read(BACKUP_POLICIES, "nightly")["spec"]["encryption"]
        named = encryption.pop("verificationIdentitySecretRef")
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "NoIdentity")
        encryption["verificationIdentitySecretRef"] = named
        self.healed(rehearsal)

    def test_for_the_storage(self, rehearsal: Rehearsal) -> None:
        rehearsal.bucket.trouble = Waiting("StorageUnreachable", "s3 does not answer")
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "StorageUnreachable")
        rehearsal.bucket.trouble = None
        self.healed(rehearsal)

    def test_for_the_database_server(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.trouble = Waiting("ConnectionRefused", "nothing listens")
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "ConnectionRefused")
        rehearsal.server.trouble = None
        self.healed(rehearsal)

    def test_for_the_right_to_make_databases(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.may_create = False
        rehearsal.restore("monday")
        self.wait_and_heal(rehearsal, "InsufficientPrivilege")
        assert "CREATEDB" in rehearsal.message("Ready")
        rehearsal.server.may_create = True
        self.healed(rehearsal)

    def test_and_tells_it_once_however_long_it_takes(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("tuesday")
        for _ in range(5):
            rehearsal.settle()
            rehearsal.clock.advance(minutes=5)
        assert rehearsal.events == ["Ready=False BackupNotFound"]


class TestRefuses:
    """Failed=True for good, and nothing was started."""

    def refused(self, rehearsal: Rehearsal, reason: str) -> None:
        assert rehearsal.settle() is None
        assert rehearsal.condition("Failed") == ("True", reason)
        assert rehearsal.condition("Completed") == rehearsal.condition("Ready") == ("False", reason)
        assert rehearsal.status["phase"] == "Failed"
        assert rehearsal.jobs == []

    def test_a_database_that_is_not_its_own(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases["exam_review"] = "precious"
        rehearsal.restore("monday", target={"database": "exam_review"})
        self.refused(rehearsal, "TargetExists")

    def test_a_database_of_another_restore(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases["exam_review"] = "lms.aada.edu/restore=another-uid;complete"
        rehearsal.restore("monday", target={"database": "exam_review"})
        self.refused(rehearsal, "TargetExists")

    def test_the_live_database_without_asking_the_server(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases = {}
        rehearsal.restore("monday", target={"database": "aada_lms"})
        self.refused(rehearsal, "TargetExists")
        assert rehearsal.server.looks == 0

    def test_an_older_server(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.major = 14
        rehearsal.restore("monday")
        self.refused(rehearsal, "VersionUnsupported")

    def test_a_manifest_that_was_changed(self, rehearsal: Rehearsal) -> None:
        rehearsal.bucket.objects["school/aada/monday/manifest.json"] += b" "
        rehearsal.restore("monday")
        self.refused(rehearsal, "Corrupt")

    def test_a_manifest_that_is_gone(self, rehearsal: Rehearsal) -> None:
        rehearsal.bucket.objects.clear()
        rehearsal.restore("monday")
        self.refused(rehearsal, "Corrupt")
        assert "is gone" in rehearsal.message("Failed")

    def test_a_failed_backup(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("tuesday", phase="Failed")
        rehearsal.restore("tuesday")
        self.refused(rehearsal, "BackupFailed")

    def test_for_good(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases["exam_review"] = "precious"
        rehearsal.restore("monday", target={"database": "exam_review"})
        self.refused(rehearsal, "TargetExists")
        del rehearsal.server.databases["exam_review"]
        self.refused(rehearsal, "TargetExists")

    def test_before_anybody_is_asked_for_an_approval(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases["exam_review"] = ""
        rehearsal.restore("monday", mode="Approve", target={"database": "exam_review"})
        self.refused(rehearsal, "TargetExists")


class TestTriesAgain:
    def test_later_and_later_and_keeps_only_the_last_job(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        waits = []
        for attempt in range(1, 5):
            assert rehearsal.jobs == [f"{RESTORE}-restore-{attempt}"]
            rehearsal.end_job(rehearsal.jobs[0], failure("DatabaseUnreachable"))
            delay = rehearsal.settle()
            assert delay is not None
            waits.append(delay)
            assert rehearsal.condition("Ready") == ("False", "DatabaseUnreachable")
            assert rehearsal.visit() is not None
            assert rehearsal.status["attempt"] == attempt, "not before its time"
            rehearsal.clock.advance(seconds=delay)
            rehearsal.settle()
        assert all(1.3 * before < after for before, after in pairwise(waits))
        assert rehearsal.status["phase"] == "Running"

    def test_after_a_worker_that_was_killed(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.run_pod(JOB, {"progress": {"stage": "restore", "bytes": 63, "totalBytes": 100}})
        rehearsal.settle()
        rehearsal.end_job(said=None)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "WorkerLost")
        assert "another one follows" in rehearsal.message("Completed")
        assert not rehearsal.status.get("progressText"), "what was loaded is lost"
        rehearsal.clock.advance(minutes=1)
        rehearsal.settle()
        rehearsal.end_job(f"{RESTORE}-restore-2")
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"

    def test_after_a_job_that_somebody_deleted(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.remove(JOBS, JOB)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "JobLost")
        rehearsal.clock.advance(minutes=1)
        rehearsal.settle()
        assert rehearsal.jobs == [f"{RESTORE}-restore-2"]

    def test_after_a_result_that_makes_no_sense(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.end_job(JOB, {"ok": True, "result": {"rows": "many"}})
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "ResultUnreadable")

    def test_until_the_timeout_and_no_longer(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", timeout="10m")
        rehearsal.settle()
        for _ in range(20):
            if rehearsal.status["phase"] == "Failed":
                break
            rehearsal.end_job(rehearsal.jobs[0], failure("DatabaseUnreachable"))
            delay = rehearsal.settle()
            rehearsal.clock.advance(seconds=delay or 0)
            rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "DatabaseUnreachable")
        assert rehearsal.clock.now().isoformat() <= in_hours(rehearsal, 10 / 60)

    def test_with_less_and_less_time_for_the_job(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", timeout="1h")
        rehearsal.settle()
        assert rehearsal.api.read(JOBS, JOB)["spec"]["activeDeadlineSeconds"] == seconds("1h")
        rehearsal.end_job(said=None)
        rehearsal.settle()
        rehearsal.clock.advance(minutes=45)
        rehearsal.settle()
        second = rehearsal.api.read(JOBS, f"{RESTORE}-restore-2")
        assert second["spec"]["activeDeadlineSeconds"] == seconds("15m")

    def test_not_after_a_failure_that_no_retry_can_mend(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job(said=failure("WrongKey", retryable=False))
        assert rehearsal.settle() is None
        assert rehearsal.condition("Failed") == ("True", "WrongKey")
        assert rehearsal.message("Failed") == "WrongKey happened"
        assert rehearsal.events.count("Failed=True WrongKey") == 1

    def test_not_on_another_server_than_planned(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job(said=failure("DatabaseUnreachable"))
        rehearsal.settle()
        rehearsal.api.read(AADA_LMS, "aada")["spec"]["database"]["host"] = "other"
        rehearsal.clock.advance(minutes=1)
        rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "PlanChanged")

    def test_when_a_secret_that_went_meanwhile_is_back(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job(said=failure("StorageUnreachable"))
        rehearsal.settle()
        kept = rehearsal.api.read(SECRETS, "s3")
        rehearsal.api.remove(SECRETS, "s3")
        rehearsal.clock.advance(minutes=1)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "SecretMissing")
        rehearsal.api.add(SECRETS, kept)
        rehearsal.settle()
        assert rehearsal.jobs == [f"{RESTORE}-restore-2"]

    def test_and_fails_with_the_cause_when_a_secret_stays_away(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", timeout="1h")
        rehearsal.settle()
        rehearsal.end_job(said=failure("StorageUnreachable"))
        rehearsal.settle()
        rehearsal.api.remove(SECRETS, "s3")
        rehearsal.clock.advance(hours=2)
        rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "SecretMissing")


def test_a_pod_that_does_not_start_is_explained(rehearsal: Rehearsal) -> None:
    rehearsal.restore("monday")
    rehearsal.settle()
    rehearsal.api.run_pod(JOB, {})
    pod = rehearsal.api.read(PODS, f"{JOB}-pod")
    pod["status"]["containerStatuses"] = [{"name": "worker", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    rehearsal.settle()
    assert rehearsal.condition("Ready") == ("Unknown", "ImagePullBackOff")


class TestDeletedWhileItLoads:
    @pytest.fixture
    def deleted(self, rehearsal: Rehearsal) -> str:
        """The name of its half database."""
        rehearsal.restore("monday")
        rehearsal.settle()
        half = str(rehearsal.status["plan"]["database"])
        rehearsal.server.databases[half] = f"lms.aada.edu/restore={rehearsal.task()['uid']}"
        rehearsal.api.remove(RESTORES, RESTORE)
        return half

    def test_it_waits_for_its_job_and_then_drops_what_is_half(self, rehearsal: Rehearsal, deleted: str) -> None:
        rehearsal.api.run_pod(JOB, {})
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "StoppingJobs")
        assert rehearsal.jobs == []
        rehearsal.api.remove(PODS, f"{JOB}-pod")
        assert rehearsal.settle() is None
        assert deleted not in rehearsal.server.databases
        assert rehearsal.api.names(RESTORES) == []

    def test_what_is_complete_or_somebody_elses_stays(self, rehearsal: Rehearsal, deleted: str) -> None:
        rehearsal.server.databases[deleted] += ";complete"
        assert rehearsal.settle() is None
        assert deleted in rehearsal.server.databases
        assert rehearsal.api.names(RESTORES) == []

    @pytest.mark.usefixtures("deleted")
    def test_a_server_that_is_away_is_waited_for_but_not_for_ever(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.trouble = Waiting("ConnectionRefused", "nothing listens", 15.0)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "ConnectionRefused")
        rehearsal.clock.advance(minutes=11)
        assert rehearsal.settle() is None
        assert rehearsal.api.names(RESTORES) == []

    def test_in_a_namespace_that_ends_nothing_is_waited_for_that_went_before(
        self, rehearsal: Rehearsal, deleted: str
    ) -> None:
        rehearsal.api.remove(AADA_LMS, "aada")
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "AadaLmsNotFound")
        rehearsal.clock.advance(seconds=61)
        assert rehearsal.settle() is None
        assert deleted in rehearsal.server.databases


def test_one_that_has_ended_is_deleted_at_once(rehearsal: Rehearsal) -> None:
    rehearsal.restore("monday")
    rehearsal.settle()
    assert rehearsal.api.read(RESTORES, RESTORE)["metadata"]["finalizers"] == ["lms.aada.edu/finalizer"]
    rehearsal.end_job()
    rehearsal.settle()
    rehearsal.visit()
    assert rehearsal.api.read(RESTORES, RESTORE)["metadata"]["finalizers"] == []
    rehearsal.api.remove(RESTORES, RESTORE)
    assert rehearsal.api.names(RESTORES) == []


def test_somebody_elses_job_of_that_name_is_left_alone(rehearsal: Rehearsal) -> None:
    rehearsal.api.add(JOBS, {"metadata": {"name": JOB}, "spec": {"theirs": True}})
    rehearsal.restore("monday")
    rehearsal.settle()
    assert rehearsal.condition("Ready") == ("False", "NameTaken")
    assert rehearsal.api.read(JOBS, JOB)["spec"] == {"theirs": True}
    rehearsal.api.remove(JOBS, JOB)
    rehearsal.settle()
    assert rehearsal.status["phase"] == "Running"


class TestLostStatus:
    def test_while_loading_keeps_to_the_job_and_its_backup(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore()
        rehearsal.settle()
        rehearsal.backup("tuesday", completed="2026-03-01T01:20:00Z")
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]
        assert rehearsal.status["plan"]["backup"] == "monday"
        rehearsal.end_job()
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"

    def test_while_loading_needs_no_second_preflight(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.bucket.trouble = Waiting("StorageUnreachable", "s3 does not answer")
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Running"

    def test_does_not_take_the_job_of_a_former_restore_of_that_name_for_its_own(self, rehearsal: Rehearsal) -> None:
        former = rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.api.read(JOBS, JOB)["metadata"]["ownerReferences"][0]["uid"] = "former"
        former["status"] = {}
        rehearsal.settle()
        assert not rehearsal.status.get("attempt")
        assert rehearsal.condition("Ready") == ("False", "NameTaken")

    def test_while_loading_needs_no_second_approval(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.settle()
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.settle()
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.approve("")
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Running"

    def test_after_completion_completes_again_without_a_second_job(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job()
        rehearsal.settle()
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"
        assert rehearsal.jobs == [JOB]

    def test_and_job_after_completion_lets_a_worker_adopt_the_database(self, rehearsal: Rehearsal) -> None:
        """The worker recognises its comment; what matters here is that the preflight lets it."""
        rehearsal.restore("monday")
        rehearsal.settle()
        rehearsal.end_job()
        rehearsal.settle()
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.api.remove(JOBS, JOB)
        rehearsal.settle()
        assert rehearsal.jobs == [JOB]
        rehearsal.end_job(said=RESULT | {"result": RESULT["result"] | {"adopted": True}})
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"


def whole_life(rehearsal: Rehearsal) -> None:
    """A restore with one failed attempt; kills on the way are survived by `settle`."""
    rehearsal.restore(mode="Approve")
    rehearsal.settle()
    rehearsal.approve(rehearsal.status["plan"]["hash"])
    rehearsal.settle()
    rehearsal.end_job(said=failure("DatabaseUnreachable"))
    rehearsal.settle()
    rehearsal.clock.advance(seconds=60)
    rehearsal.settle()
    rehearsal.end_job(f"{RESTORE}-restore-2")
    rehearsal.settle()


@pytest.mark.parametrize("write", range(14))
@pytest.mark.parametrize("lost", [True, False], ids=["write-lost", "write-done"])
def test_the_operator_may_be_killed_at_any_write(rehearsal: Rehearsal, write: int, lost: bool) -> None:
    if lost:
        rehearsal.api.crash_before = write
    else:
        rehearsal.api.crash_after = write
    whole_life(rehearsal)
    assert rehearsal.status["phase"] == "Completed"
    assert rehearsal.jobs == [f"{RESTORE}-restore-2"]
    about_jobs = [write for write in rehearsal.api.writes if "jobs/" in write]
    # A creation that is repeated finds the Job there already; one that comes after the deletion would make a second.
    assert list(dict.fromkeys(about_jobs)) == [
        f"create jobs/{JOB}",
        f"create jobs/{RESTORE}-restore-2",
        f"delete jobs/{JOB}",
    ]
    assert f"create jobs/{JOB}" not in about_jobs[about_jobs.index(f"delete jobs/{JOB}") :]


def test_the_life_above_has_as_many_writes_as_are_killed(rehearsal: Rehearsal) -> None:
    whole_life(rehearsal)
    assert len(rehearsal.api.writes) <= 14


@pytest.mark.parametrize("step", ["Resolve", "Plan", "Preflight", "Approve", "Load", "Record"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_every_step_can_be_stopped_at_its_fail_points(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch, step: str, side: str
) -> None:
    """What raises there ends the visit as a kill would; the next visit, without it, goes on."""
    armed = {f"restore.{step}.{side}-act"}

    def stop(name: str) -> None:
        if name in armed:
            armed.discard(name)
            raise Waiting("FailPoint", "stopped here", 1.0)

    monkeypatch.setattr(steps, "failpoint", stop)
    rehearsal.restore("monday")
    for _ in range(3):
        rehearsal.settle()
    rehearsal.end_job()
    for _ in range(3):
        rehearsal.settle()
    assert rehearsal.status["phase"] == "Completed"
    assert rehearsal.jobs == [JOB]


class TestOnlySomeTables:
    def test_are_named_in_the_plan_and_to_the_job(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve", tables=["users"])
        rehearsal.settle()
        assert rehearsal.status["plan"]["summary"].startswith("users of Backup monday")
        rehearsal.approve(rehearsal.status["plan"]["hash"])
        rehearsal.settle()
        assert rehearsal.task()["tables"] == ["users"]

    def test_are_another_plan_than_everything(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.settle()
        everything = rehearsal.status["plan"]["hash"]
        rehearsal.api.remove(RESTORES, RESTORE)
        rehearsal.restore("monday", mode="Approve", tables=["users"])
        rehearsal.settle()
        assert rehearsal.status["plan"]["hash"] != everything

    def test_that_the_backup_does_not_have_are_refused_with_names_that_are_close(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", tables=["public.user"])
        assert rehearsal.settle() is None
        assert rehearsal.condition("Failed") == ("True", "TableNotFound")
        assert "did you mean public.users" in rehearsal.message("Failed")
        assert (rehearsal.jobs, rehearsal.server.looks) == ([], 0)

    def test_say_what_could_not_come_with_them(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", tables=["users"])
        rehearsal.settle()
        rehearsal.end_job(said=said(leftOut="foreign key public users mentor_fkey"))
        rehearsal.settle()
        assert rehearsal.status["leftOut"] == "foreign key public users mentor_fkey"
        assert "left out: foreign key" in rehearsal.message("Completed")


CHECK: Object = {"name": "users", "sql": "SELECT count(*) FROM users", "min": 1}


class TestChecks:
    def test_are_asked_by_the_job_with_the_applications_login(self, rehearsal: Rehearsal) -> None:
        rehearsal.api.secret("aada-db", username="app", password="canary")
        rehearsal.restore("monday", checks=[CHECK])
        rehearsal.settle()
        assert [check["name"] for check in rehearsal.task()["checks"]] == ["users"]
        rehearsal.end_job(said=said(checks=[{"name": "users", "ok": True, "message": "99"}]))
        rehearsal.settle()
        assert rehearsal.status["checks"] == ["users: 99"]

    def test_wait_for_that_login(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", checks=[CHECK])
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "SecretMissing")
        assert "aada-db" in rehearsal.message("Ready")

    def test_that_do_not_hold_end_a_cutover_before_it_touches_anything(self, rehearsal: Rehearsal) -> None:
        rehearsal.api.secret("aada-db", username="app", password="canary")
        rehearsal.restore("monday", checks=[CHECK], target={"mode": "Cutover"}, mode="Auto")
        rehearsal.settle()
        rehearsal.end_job(said=failure("CheckFailed", retryable=False))
        assert rehearsal.settle() is None
        assert rehearsal.condition("Failed") == ("True", "CheckFailed")
        assert (rehearsal.server.swaps, rehearsal.api.names(BACKUPS)) == (0, ["monday"])


def said(**fields: Any) -> Object:
    """A worker's word on a load that ended well."""
    return RESULT | {"result": RESULT["result"] | fields}
