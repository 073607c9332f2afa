"""When a completed Backup is verified, and what its status says of it."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, SECRETS
from tests.unit.backups.school import BACKUP_RESULT, VERIFY_RESULT, School, failure

NAME = "by-hand"
VERIFY_AT = "lms.aada.edu/verify-at"


def completed(school: School, **policy: Any) -> None:
    """A Backup that was completed under a policy."""
    school.policy(immediate=False, **policy)
    school.backup()
    school.settle(BACKUPS, NAME)
    school.api.end_job(f"{NAME}-1", BACKUP_RESULT)
    school.settle(BACKUPS, NAME)


def annotate(school: School, value: str) -> None:
    school.api.read(BACKUPS, NAME)["metadata"]["annotations"] = {VERIFY_AT: value}


def ask(school: School, slot: str, name: str = NAME) -> None:
    """The policy's schedule asks."""
    request = {"backupName": name, "requestedAt": slot}
    school.api.read(BACKUP_POLICIES, "nightly")["status"] = {"verificationRequest": request}


def verified(school: School) -> tuple[str, str]:
    return school.condition(BACKUPS, NAME, "Verified")


class TestWhen:
    def test_never_asked(self, school: School) -> None:
        completed(school)
        assert verified(school) == ("Unknown", "NotRequested")
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_on_full_verifies_a_new_backup_once(self, school: School) -> None:
        completed(school, verification={"onFull": True})
        assert school.api.names(JOBS) == [f"{NAME}-1", f"{NAME}-verify-1"]
        school.api.end_job(f"{NAME}-verify-1", VERIFY_RESULT)
        assert school.settle(BACKUPS, NAME) is None
        assert verified(school)[0] == "True"
        school.api.writes.clear()
        school.settle(BACKUPS, NAME)
        assert school.api.writes == []

    def test_on_full_does_not_verify_what_was_found_in_the_bucket(self, school: School) -> None:
        school.policy(verification={"onFull": True})
        school.manifest(NAME)
        school.backup()
        school.settle(BACKUPS, NAME)
        assert verified(school) == ("Unknown", "NotRequested")

    def test_each_request_of_the_policy_is_answered_once(self, school: School) -> None:
        completed(school)
        for number, slot in enumerate(("2026-03-01T05:00:00Z", "2026-03-08T05:00:00Z"), start=1):
            ask(school, slot)
            school.settle(BACKUPS, NAME)
            school.api.end_job(f"{NAME}-verify-{number}", VERIFY_RESULT)
            school.settle(BACKUPS, NAME)
            assert school.status(BACKUPS, NAME)["verification"]["request"] == slot
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1", f"{NAME}-verify-2"], "the last Job alone is kept"

    def test_one_that_is_doubted_is_verified_again_once(self, school: School) -> None:
        completed(school, verification={"onFull": True})
        school.api.end_job(f"{NAME}-verify-1", VERIFY_RESULT)
        school.settle(BACKUPS, NAME)
        school.clock.advance(hours=1)
        doubt = {"backupName": NAME, "since": to_rfc3339(school.clock.now())}
        school.api.read(BACKUP_POLICIES, "nightly")["status"] = {"suspect": doubt}
        school.settle(BACKUPS, NAME)
        assert school.status(BACKUPS, NAME)["verification"]["result"] == "Running"
        school.clock.advance(minutes=1)
        school.api.end_job(f"{NAME}-verify-2", VERIFY_RESULT)
        school.settle(BACKUPS, NAME)
        assert verified(school)[0] == "True"
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1", f"{NAME}-verify-2"]

    def test_a_request_for_another_backup_is_none(self, school: School) -> None:
        completed(school)
        ask(school, "2026-03-01T05:00:00Z", name="another")
        school.settle(BACKUPS, NAME)
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_each_new_value_of_the_annotation_verifies_once_also_between_requests(self, school: School) -> None:
        completed(school)
        annotate(school, "x" * 100)
        ask(school, "2026-03-01T05:00:00Z")
        school.settle(BACKUPS, NAME)
        school.api.end_job(f"{NAME}-verify-1", VERIFY_RESULT)
        school.settle(BACKUPS, NAME)
        assert school.settle(BACKUPS, NAME) is None, "one verification answers both"
        annotate(school, "again")
        school.settle(BACKUPS, NAME)
        assert f"{NAME}-verify-2" in school.api.names(JOBS)


class TestWithWhat:
    def test_without_an_identity_it_is_said_and_nothing_runs(self, school: School) -> None:
        completed(school, verification={"onFull": True}, encryption={"verificationIdentitySecretRef": None})
        assert verified(school) == ("Unknown", "NoIdentity")
        assert school.api.names(JOBS) == [f"{NAME}-1"]

    def test_an_identity_that_comes_later_verifies(self, school: School) -> None:
        completed(school, verification={"onFull": True}, encryption={"verificationIdentitySecretRef": None})
        reference = {"name": "identity", "key": "key"}
        policy = school.api.read(BACKUP_POLICIES, "nightly")
        policy["spec"]["encryption"]["verificationIdentitySecretRef"] = reference
        school.settle(BACKUPS, NAME)
        assert f"{NAME}-verify-1" in school.api.names(JOBS)

    def test_a_missing_identity_secret_is_named_and_waited_for(self, school: School) -> None:
        school.api.remove(SECRETS, "identity")
        completed(school, verification={"onFull": True})
        assert verified(school) == ("Unknown", "SecretMissing")
        assert school.condition(BACKUPS, NAME, "Ready")[0] == "True", "the backup itself is there"
        school.api.secret("identity", key="AGE-SECRET-KEY-1")
        school.settle(BACKUPS, NAME)
        assert f"{NAME}-verify-1" in school.api.names(JOBS)

    def test_an_unencrypted_backup_needs_no_identity(self, school: School) -> None:
        plain: dict[str, Any] = {"mode": "None", "recipients": [], "verificationIdentitySecretRef": None}
        school.policy(immediate=False, verification={"onFull": True}, encryption=plain)
        school.backup()
        school.settle(BACKUPS, NAME)
        result = BACKUP_RESULT | {"result": BACKUP_RESULT["result"] | {"encrypted": False}}
        school.api.end_job(f"{NAME}-1", result)
        school.settle(BACKUPS, NAME)
        job = school.api.read(JOBS, f"{NAME}-verify-1")
        volumes = {volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]}
        assert volumes == {"tmp", "scratch", "storage"}
        assert school.condition(BACKUPS, NAME, "Encrypted") == ("False", "None")

    def test_the_jobs_get_the_size_of_scratch_that_the_policy_says(self, school: School) -> None:
        completed(school, verification={"onFull": True}, job={"scratchSize": "3Gi"})
        volumes = school.api.read(JOBS, f"{NAME}-verify-1")["spec"]["template"]["spec"]["volumes"]
        assert {"name": "scratch", "emptyDir": {"sizeLimit": "3Gi"}} in volumes


class TestOutcome:
    @pytest.fixture(autouse=True)
    def _verifying(self, school: School) -> None:
        completed(school, verification={"onFull": True})

    def end(self, school: School, number: int, said: dict[str, object] | None) -> None:
        school.api.end_job(f"{NAME}-verify-{number}", said)
        school.settle(BACKUPS, NAME)

    def test_while_it_runs_nothing_is_known_yet(self, school: School) -> None:
        assert verified(school) == ("Unknown", "Verifying")
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"
        assert school.condition(BACKUPS, NAME, "Ready")[0] == "True"

    def test_passed(self, school: School) -> None:
        self.end(school, 1, VERIFY_RESULT)
        status = school.status(BACKUPS, NAME)["verification"]
        assert verified(school) == ("True", "RestoredAndCompared")
        assert (status["result"], status["duration"], status["rto"]) == ("Passed", "13s", "8s")
        assert status["checks"] == ["digests: 4 tables are equal"]
        assert status["time"] == "2026-03-01T01:30:00Z"

    @pytest.mark.parametrize("reason", ["Corrupt", "DigestMismatch", "WrongKey"])
    def test_a_bad_backup_is_said_to_be_bad(self, school: School, reason: str) -> None:
        self.end(school, 1, failure(reason, retryable=False))
        assert verified(school) == ("False", reason)
        assert school.message(BACKUPS, NAME, "Verified") == f"{reason} happened"
        assert school.condition(BACKUPS, NAME, "Ready") == ("False", "VerificationFailed")
        assert school.status(BACKUPS, NAME)["phase"] == "Completed"

    def test_trouble_around_it_is_tried_again_and_then_passes(self, school: School) -> None:
        self.end(school, 1, failure("StorageUnreachable"))
        assert verified(school) == ("Unknown", "StorageUnreachable")
        school.settle(BACKUPS, NAME)
        assert f"{NAME}-verify-2" not in school.api.names(JOBS), "not before its time"
        school.clock.advance(seconds=20)
        school.settle(BACKUPS, NAME)
        self.end(school, 2, VERIFY_RESULT)
        assert verified(school)[0] == "True"

    def test_trouble_without_end_is_not_called_a_bad_backup(self, school: School) -> None:
        for number in range(1, 6):
            self.end(school, number, failure("StorageUnreachable"))
            school.clock.advance(minutes=7)
            school.settle(BACKUPS, NAME)
        assert verified(school) == ("Unknown", "VerificationFailed")
        assert "StorageUnreachable" in school.message(BACKUPS, NAME, "Verified")
        assert school.api.names(JOBS) == [f"{NAME}-1", f"{NAME}-verify-5"]

    def test_a_second_verification_leaves_the_first_verdict_until_it_has_its_own(self, school: School) -> None:
        self.end(school, 1, VERIFY_RESULT)
        annotate(school, "now")
        school.settle(BACKUPS, NAME)
        assert verified(school)[0] == "True"
        assert school.status(BACKUPS, NAME)["verification"]["rto"] == "8s"
        self.end(school, 2, failure("Corrupt", retryable=False))
        assert verified(school) == ("False", "Corrupt")
        assert "rto" not in school.status(BACKUPS, NAME)["verification"]

    def test_the_result_is_kept_although_the_policy_is_gone(self, school: School) -> None:
        school.api.remove(BACKUP_POLICIES, "nightly")
        self.end(school, 1, VERIFY_RESULT)
        assert verified(school)[0] == "True"

    def test_a_restarted_operator_goes_on_with_the_same_job(self, school: School) -> None:
        school.restart_operator()
        school.settle(BACKUPS, NAME)
        self.end(school, 1, VERIFY_RESULT)
        assert [entry for entry in school.api.writes if "verify" in entry] == [f"create jobs/{NAME}-verify-1"]

    def test_a_job_that_vanished_is_made_again(self, school: School) -> None:
        school.api.remove(JOBS, f"{NAME}-verify-1")
        school.settle(BACKUPS, NAME)
        assert f"{NAME}-verify-1" in school.api.names(JOBS)


def test_a_storage_in_trouble_does_not_touch_a_completed_backup(school: School) -> None:
    completed(school)
    school.bucket.trouble = Stalled("StorageAccessDenied", "no")
    school.api.writes.clear()
    school.settle(BACKUPS, NAME)
    assert school.api.writes == []
