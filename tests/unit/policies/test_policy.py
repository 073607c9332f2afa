"""A BackupPolicy over the days, one visit of the operator after the other."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, SECRETS
from aada_operator.policies import probe
from aada_operator.policies.gauges import gauges
from tests.unit.backups.api_server import Crash
from tests.unit.backups.school import School, completed

NAME = "nightly"
FIRST = "nightly-full-20260301t0130z"
SLOT = "nightly-full-20260301t0200z"


def visit(school: School, **later: float) -> float:
    """Let time pass, then visit."""
    school.clock.advance(**later)
    delay = school.visit(BACKUP_POLICIES, NAME)
    assert delay is not None
    return delay


def finish(school: School, name: str, **condition: Any) -> None:
    school.api.read(BACKUPS, name)["status"] = completed(school, name, **condition)


def condition(school: School, kind: str) -> tuple[str, str]:
    return school.condition(BACKUP_POLICIES, NAME, kind)


def sample(school: School, name: str) -> float:
    (found,) = [s.value for s in gauges(school.api.read(BACKUP_POLICIES, NAME), school.clock) if s.name == name]
    return found


def status(school: School) -> dict[str, Any]:
    return school.status(BACKUP_POLICIES, NAME)


class TestSchedule:
    def test_the_first_backup_is_made_at_once_under_the_name_of_the_policys_creation(self, school: School) -> None:
        school.policy()
        visit(school)
        made = school.api.read(BACKUPS, FIRST)
        assert made["metadata"]["labels"] == {"lms.aada.edu/lms": "aada", "lms.aada.edu/policy": NAME}
        assert made["metadata"]["annotations"] == {"lms.aada.edu/scheduled-for": "2026-03-01T01:30:00Z"}
        assert "ownerReferences" not in made["metadata"]
        assert status(school)["lastSlot"] == "2026-03-01T01:30:00Z"

    def test_it_wakes_exactly_at_the_next_slot(self, school: School) -> None:
        school.policy(immediate=False)
        assert visit(school) <= 300
        delay = visit(school, minutes=28, seconds=30)
        assert delay == 90.0
        visit(school, seconds=delay)
        assert school.api.names(BACKUPS) == [SLOT]
        assert status(school)["next"] == "2026-03-02T02:00:00Z"

    def test_a_slot_waits_for_the_backup_before_and_then_runs(self, school: School) -> None:
        school.policy()
        visit(school)
        assert visit(school, minutes=31) <= 10
        assert school.api.names(BACKUPS) == [FIRST]
        assert condition(school, "Ready") == ("True", "Running")
        finish(school, FIRST)
        visit(school)
        assert school.api.names(BACKUPS) == [FIRST, SLOT]

    def test_a_backup_made_by_hand_counts_for_the_rpo_and_is_waited_for(self, school: School) -> None:
        school.policy(immediate=False, objectives={"rpo": "1d"})
        school.backup("mine")
        visit(school, minutes=31)
        assert school.api.names(BACKUPS) == ["mine"]
        finish(school, "mine")
        visit(school)
        assert status(school)["lastFullName"] == "mine"
        assert condition(school, "RPOMet")[0] == "True"

    def test_missed_slots_are_counted_and_caught_up_once(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        visit(school, days=3, hours=1)
        assert school.api.names(BACKUPS) == [FIRST, "nightly-full-20260304t0200z"]
        assert status(school)["missedSlots"] == 3

    def test_a_missed_slot_is_told_at_the_first_sight_until_a_backup_is_completed(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        visit(school)
        assert condition(school, "ScheduleKept") == ("True", "OnTime")
        visit(school, days=3, hours=1)
        assert condition(school, "ScheduleKept") == ("False", "SlotMissed")
        assert sample(school, "schedule_kept") == 0.0
        visit(school, minutes=5)
        assert condition(school, "ScheduleKept") == ("False", "SlotMissed")
        finish(school, "nightly-full-20260304t0200z")
        visit(school)
        assert condition(school, "ScheduleKept") == ("True", "OnTime")
        assert sample(school, "schedule_kept") == 1.0

    def test_who_makes_the_schedule_denser_has_missed_no_slot(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        visit(school, minutes=31)
        finish(school, SLOT)
        visit(school, hours=6)
        spec = school.api.read(BACKUP_POLICIES, NAME)["spec"]
        spec["full"] = {"schedule": "*/10 * * * *"}
        visit(school, minutes=5)
        assert status(school).get("missedSlots", 0) == 0
        assert condition(school, "ScheduleKept") == ("True", "OnTime")
        for name in school.api.names(BACKUPS):
            finish(school, name)
        visit(school, minutes=30)
        assert status(school)["missedSlots"] == 2

    def test_who_resumes_after_a_pause_has_missed_no_slot(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        spec = school.api.read(BACKUP_POLICIES, NAME)["spec"]
        spec["suspend"] = True
        visit(school, hours=1)
        visit(school, days=3)
        spec["suspend"] = False
        visit(school, hours=3)
        assert status(school).get("missedSlots", 0) == 0
        assert condition(school, "ScheduleKept") == ("True", "OnTime")

    def test_backups_of_other_policies_are_no_business_of_this_one(self, school: School) -> None:
        school.policy(immediate=False)
        school.backup("other", policy="hourly")
        visit(school, minutes=31)
        assert SLOT in school.api.names(BACKUPS)

    @pytest.mark.parametrize("whose", ["policy", "lms"])
    def test_suspended_nothing_is_started_and_afterwards_the_newest_slot_is_caught_up(
        self, school: School, whose: str
    ) -> None:
        school.policy(immediate=False)
        body = school.api.read(*((BACKUP_POLICIES, NAME) if whose == "policy" else (AADA_LMS, "aada")))
        body["spec"]["suspend"] = True
        visit(school, minutes=31)
        assert school.api.names(BACKUPS) == []
        assert condition(school, "Ready") == ("False", "Suspended")
        body["spec"]["suspend"] = False
        visit(school, minutes=1)
        assert school.api.names(BACKUPS) == [SLOT]

    def test_without_schedule_backups_are_made_by_hand_only(self, school: School) -> None:
        school.policy(full=None)
        visit(school, days=3)
        assert school.api.names(BACKUPS) == []
        assert condition(school, "Ready") == ("True", "Settled")
        assert "next" not in status(school)


class TestHolds:
    def test_no_lms(self, school: School) -> None:
        school.policy()
        school.api.remove(AADA_LMS, "aada")
        visit(school)
        assert condition(school, "Ready") == ("False", "LmsNotFound")
        school.lms()
        visit(school, seconds=10)
        assert school.api.names(BACKUPS) == [FIRST]

    def test_a_due_backup_waits_for_the_database_however_long(self, school: School) -> None:
        school.policy()
        lms = school.api.read(AADA_LMS, "aada")
        healthy = lms["status"]
        lms["status"] = {}
        visit(school, hours=5)
        assert condition(school, "Ready") == ("False", "WaitingForDatabase")
        lms["status"] = healthy
        visit(school, seconds=10)
        assert school.api.names(BACKUPS) == [FIRST]

    def test_the_first_backup_waits_for_the_schema_within_its_deadline_only(self, school: School) -> None:
        school.policy()
        conditions = school.api.read(AADA_LMS, "aada")["status"]["conditions"]
        next(c for c in conditions if c["type"] == "SchemaCurrent")["status"] = "False"
        visit(school)
        assert condition(school, "Ready") == ("False", "WaitingForSchema")
        visit(school, hours=1, seconds=1)
        assert school.api.names(BACKUPS) == [FIRST]

    def test_a_school_that_has_a_backup_is_backed_up_although_its_migration_fails(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        conditions = school.api.read(AADA_LMS, "aada")["status"]["conditions"]
        next(c for c in conditions if c["type"] == "SchemaCurrent")["status"] = "False"
        visit(school, minutes=31)
        assert school.api.names(BACKUPS) == [FIRST, SLOT]

    def test_a_missing_bucket_holds_the_backup_and_its_making_frees_it(self, school: School) -> None:
        school.bucket.trouble = Waiting("BucketNotFound", "create it")
        school.policy()
        visit(school)
        assert condition(school, "StorageReachable") == ("False", "BucketNotFound")
        assert condition(school, "Ready") == ("False", "BucketNotFound")
        assert school.api.names(BACKUPS) == []


class TestProbe:
    @pytest.fixture(autouse=True)
    def _clock(self, school: School, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probe.StorageProbe, "__init__", _with_clock(school, probe.StorageProbe.__init__))
        school.restart_operator()
        school.policy(immediate=False)

    def test_a_good_answer_holds_for_five_minutes(self, school: School) -> None:
        for _ in range(5):
            visit(school, seconds=70)
        assert school.bucket.probes == 1
        visit(school, seconds=30)
        assert school.bucket.probes == 2

    def test_a_bad_answer_is_checked_again_soon_and_less_often_with_time(self, school: School) -> None:
        school.bucket.trouble = Waiting("StorageUnreachable", "no connection")
        pauses = [visit(school)]
        for _ in range(4):
            pauses.append(visit(school, seconds=pauses[-1] + 0.1))
        assert pauses[0] < 20
        assert 90 < pauses[-1] < 150
        school.bucket.trouble = None
        visit(school, seconds=pauses[-1] + 0.1)
        assert condition(school, "StorageReachable") == ("True", "Reachable")

    def test_a_changed_spec_is_probed_at_once(self, school: School) -> None:
        visit(school)
        school.api.read(BACKUP_POLICIES, NAME)["metadata"]["generation"] = 2
        visit(school)
        assert school.bucket.probes == 2

    def test_a_missing_secret_is_said_by_name(self, school: School) -> None:
        school.api.remove(SECRETS, "s3")
        visit(school)
        assert condition(school, "StorageReachable") == ("False", "SecretMissing")
        assert "s3" in school.message(BACKUP_POLICIES, NAME, "StorageReachable")

    def test_a_server_that_hangs_does_not_hold_up_the_visit(
        self, school: School, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = threading.Event()
        monkeypatch.setattr(probe, "PATIENCE", 0.05)
        monkeypatch.setattr(school.bucket, "probe", lambda _: release.wait(10))
        try:
            visit(school)
        finally:
            release.set()
        assert condition(school, "StorageReachable") == ("Unknown", "Probing")


def _with_clock(school: School, original: Any) -> Any:
    """The probe's clock is the school's."""

    def init(self: Any, kube: Any, allow_local: bool) -> None:
        original(self, kube, allow_local, lambda: school.clock.now().timestamp())

    return init


class TestReport:
    def test_recovery_point_rpo_and_their_conditions(self, school: School) -> None:
        school.policy(objectives={"rpo": "4h"})
        visit(school)
        assert condition(school, "RPOMet") == ("Unknown", "NoBackupYet")
        finish(school, FIRST)
        visit(school, minutes=25)
        said = status(school)
        assert (said["lastFull"], said["rpo"], said["rpoMet"]) == ("2026-03-01T01:30:00Z", "20m", "True")
        assert condition(school, "RPOMet") == ("True", "WithinObjective")
        school.api.read(BACKUP_POLICIES, NAME)["spec"]["full"]["schedule"] = "0 2 1 * *"
        school.api.read(BACKUPS, FIRST)["status"]["phase"] = "Completed"
        visit(school)
        visit(school, hours=4)
        assert condition(school, "RPOMet") == ("False", "TooOld")
        assert status(school)["rpoMet"] == "False"

    def test_no_backup_at_all_breaks_the_rpo_once_its_time_has_passed(self, school: School) -> None:
        school.policy(full=None, objectives={"rpo": "4h"})
        visit(school, hours=4, minutes=1)
        assert condition(school, "RPOMet") == ("False", "NoBackup")
        assert condition(school, "Ready") == ("False", "RPONotMet")

    def test_a_newest_backup_of_a_suspicious_size_makes_the_policy_not_ready(self, school: School) -> None:
        school.policy()
        visit(school)
        school.api.read(BACKUPS, FIRST)["status"] = completed(school, FIRST, type="SuspiciousSize", status="True")
        visit(school)
        assert condition(school, "Ready") == ("False", "SuspiciousSize")
        assert FIRST in school.message(BACKUP_POLICIES, "nightly", "Ready")
        school.api.read(BACKUPS, FIRST)["status"] = completed(school, FIRST, type="SuspiciousSize", status="False")
        visit(school)
        assert condition(school, "Ready") == ("True", "Settled")

    def test_a_failed_backup_makes_the_policy_not_ready_until_one_succeeds(self, school: School) -> None:
        school.policy()
        visit(school)
        school.api.read(BACKUPS, FIRST)["status"] = {"phase": "Failed"}
        visit(school)
        assert condition(school, "Ready") == ("False", "LastBackupFailed")
        school.clock.advance(minutes=1)
        school.backup("mine")
        finish(school, "mine")
        visit(school)
        assert condition(school, "Ready") == ("True", "Settled")

    def test_verification_is_told_by_the_last_one(self, school: School) -> None:
        school.policy(immediate=False, verification={"onFull": True})
        visit(school)
        assert condition(school, "Verified") == ("Unknown", "NotVerifiedYet")
        school.backup("good")
        finish(school, "good", status="True", reason="RestoredAndCompared", message="99 rows")
        good = school.api.read(BACKUPS, "good")["status"]
        good["verification"] = {"time": to_rfc3339(school.clock.now()), "rto": "8s", "result": "Passed"}
        visit(school)
        assert condition(school, "Verified") == ("True", "RestoredAndCompared")
        assert (status(school)["rtoMeasured"], status(school)["lastVerified"]) == ("8s", "2026-03-01T01:30:00Z")
        school.clock.advance(minutes=5)
        school.backup("bad")
        finish(school, "bad", status="False", reason="Corrupt", message="a byte flipped")
        school.api.read(BACKUPS, "bad")["status"]["verification"] = {"time": to_rfc3339(school.clock.now())}
        visit(school)
        assert condition(school, "Verified") == ("False", "Corrupt")
        assert "bad" in school.message(BACKUP_POLICIES, NAME, "Verified")
        assert status(school)["rtoMeasured"] == "8s", "measured by what passed"
        assert condition(school, "Ready") == ("False", "VerificationFailed")

    @pytest.mark.parametrize(
        ("objective", "wanted"),
        [(None, ("Unknown", "NoObjective")), ("7s", ("True", "TooSlow")), ("8s", ("False", "WithinObjective"))],
    )
    def test_a_restore_that_takes_too_long_is_told(
        self, school: School, objective: str | None, wanted: tuple[str, str]
    ) -> None:
        school.policy(immediate=False, objectives={"rto": objective} if objective else {})
        visit(school)
        assert condition(school, "RTOAtRisk") == ("Unknown", "NotMeasured" if objective else "NoObjective")
        school.backup("good")
        finish(school, "good", status="True", reason="RestoredAndCompared", message="99 rows")
        now = to_rfc3339(school.clock.now())
        school.api.read(BACKUPS, "good")["status"]["verification"] = {"time": now, "rto": "8s"}
        visit(school)
        assert condition(school, "RTOAtRisk") == wanted

    @pytest.mark.parametrize(
        ("patch", "reason"),
        [({"encryption": {"verificationIdentitySecretRef": None}}, "NoIdentity"), ({}, "NotScheduled")],
    )
    def test_why_nothing_is_verified(self, school: School, patch: dict[str, Any], reason: str) -> None:
        school.policy(immediate=False, **patch)
        visit(school)
        assert condition(school, "Verified") == ("Unknown", reason)

    def test_what_is_not_encrypted_is_said(self, school: School) -> None:
        encryption: dict[str, Any] = {"mode": "None", "recipients": [], "verificationIdentitySecretRef": None}
        school.policy(immediate=False, encryption=encryption)
        visit(school)
        assert condition(school, "Encrypted") == ("False", "None")

    def test_the_method_and_why(self, school: School) -> None:
        school.policy(immediate=False)
        visit(school)
        assert (status(school)["method"], condition(school, "MethodChosen")) == (
            "logical",
            ("True", "LogicalByDefault"),
        )

    def test_an_invalid_schedule_is_named_and_nothing_else_is_touched(self, school: School) -> None:
        school.policy(full={"schedule": "0 25 * * *"})
        visit(school)
        assert condition(school, "Stalled") == ("True", "InvalidSpec")
        assert "spec.full.schedule" in school.message(BACKUP_POLICIES, NAME, "Stalled")
        assert school.api.names(BACKUPS) == []

    def test_a_settled_policy_costs_no_write_until_its_age_takes_the_next_step(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        visit(school, minutes=1)
        school.api.writes.clear()
        visit(school, minutes=4)
        visit(school, minutes=4)
        assert school.api.writes == []
        visit(school, minutes=1)
        assert school.api.writes == ["status backuppolicies/nightly"]

    def test_metrics_are_read_off_the_object(self, school: School) -> None:
        school.policy(objectives={"rpo": "4h"})
        visit(school)
        finish(school, FIRST, status="True", reason="R", message="")
        backup = school.api.read(BACKUPS, FIRST)["status"]
        backup["verification"] = {"time": to_rfc3339(school.clock.now()), "rto": "90s"}
        visit(school, minutes=10)
        samples = gauges(school.api.read(BACKUP_POLICIES, NAME), school.clock)
        found = {sample.name: sample.value for sample in samples}
        moment = (school.clock.now() - timedelta(minutes=10)).timestamp()
        assert found == {
            "backup_last_success_timestamp_seconds": moment,
            "schedule_next_timestamp_seconds": moment + 1800,
            "schedule_missed_total": 0.0,
            "schedule_kept": 1.0,
            "rpo_seconds": 600.0,
            "rpo_target_seconds": 14400.0,
            "rpo_worst_case_seconds": 86400.0,
            "rto_measured_seconds": 90.0,
            "verification_last_success_timestamp_seconds": moment,
        }
        assert all(sample.labels.items() >= {"lms": "aada", "policy": NAME}.items() for sample in samples)


class TestVerificationRequest:
    def test_the_newest_completed_backup_is_asked_for_once_per_slot(self, school: School) -> None:
        school.policy(immediate=False, full=None, verification={"schedule": "0 5 * * *"})
        for name in ("older", "newer"):
            school.clock.advance(minutes=1)
            school.backup(name)
            finish(school, name)
        visit(school)
        assert "verificationRequest" not in status(school)
        visit(school, hours=4)
        request = {"backupName": "newer", "olderName": "older", "requestedAt": "2026-03-01T05:00:00Z"}
        assert status(school)["verificationRequest"] == request
        school.clock.advance(minutes=1)
        school.backup("newest")
        finish(school, "newest")
        visit(school)
        assert status(school)["verificationRequest"] == request
        visit(school, days=1)
        assert status(school)["verificationRequest"]["backupName"] == "newest"

    def test_an_older_one_is_chosen_by_chance_and_only_where_it_is_wanted(self, school: School) -> None:
        names = ["one", "two", "three", "newest"]
        for name in names:
            school.clock.advance(minutes=1)
            school.backup(name)
            finish(school, name)
        school.policy(immediate=False, full=None, verification={"schedule": "0 5 * * *"})
        chosen = set()
        for _ in range(40):
            visit(school, days=1)
            chosen.add(status(school)["verificationRequest"]["olderName"])
        assert chosen == set(names) - {"newest"}
        school.api.read(BACKUP_POLICIES, NAME)["spec"]["verification"]["olderSample"] = False
        visit(school, days=1)
        assert status(school)["verificationRequest"]["olderName"] == ""

    def test_of_one_slot_the_bad_one_is_told(self, school: School) -> None:
        school.policy(full=None)
        for name, result, minute in (("newest", "False", 1), ("older", "True", 2)):
            school.backup(name)
            finish(school, name, status=result, reason="Corrupt" if result == "False" else "RestoredAndCompared")
            school.clock.advance(minutes=minute)
            ended = {"time": to_rfc3339(school.clock.now()), "request": "2026-03-01T05:00:00Z"}
            school.api.read(BACKUPS, name)["status"]["verification"] = ended
        visit(school)
        assert condition(school, "Verified") == ("False", "Corrupt")

    def test_without_a_backup_the_slot_waits_for_one(self, school: School) -> None:
        school.policy(immediate=False, full=None, verification={"schedule": "0 5 * * *"})
        visit(school, hours=4)
        assert "verificationRequest" not in status(school)
        school.backup("mine")
        finish(school, "mine")
        visit(school, hours=1)
        assert status(school)["verificationRequest"]["backupName"] == "mine"


class TestSuspects:
    """Backups share chunks: what damages one may damage others that were verified before."""

    def judged(self, school: School, name: str, result: str, epoch: str, reason: str = "Corrupt") -> None:
        school.clock.advance(minutes=1)
        if name not in school.api.names(BACKUPS):
            school.backup(name)
        finish(school, name, status=result, reason="RestoredAndCompared" if result == "True" else reason)
        known = school.api.read(BACKUPS, name)["status"]
        known |= {"epoch": epoch, "verification": {"time": to_rfc3339(school.clock.now())}}

    def test_of_one_epoch_are_doubted_one_after_the_other(self, school: School) -> None:
        school.policy(immediate=False, full=None)
        for name in ("first", "second"):
            self.judged(school, name, "True", "one")
        self.judged(school, "other", "True", "another")
        self.judged(school, "bad", "False", "one")
        since = to_rfc3339(school.clock.now())
        visit(school)
        assert status(school)["suspect"] == {"backupName": "first", "since": since}
        self.judged(school, "first", "True", "one")
        visit(school)
        assert status(school)["suspect"] == {"backupName": "second", "since": since}
        self.judged(school, "second", "False", "one")
        visit(school)
        assert status(school)["suspect"]["backupName"] == "first", "a later verdict doubts it once more"
        self.judged(school, "first", "True", "one")
        visit(school)
        assert "suspect" not in status(school)

    def test_nobody_is_for_what_is_no_damage(self, school: School) -> None:
        school.policy(immediate=False, full=None)
        self.judged(school, "first", "True", "one")
        self.judged(school, "bad", "False", "one", reason="CheckFailed")
        visit(school)
        assert "suspect" not in status(school)

    def test_nobody_is_whose_chunks_are_not_known(self, school: School) -> None:
        school.policy(immediate=False, full=None)
        self.judged(school, "first", "True", "")
        self.judged(school, "bad", "False", "")
        visit(school)
        assert "suspect" not in status(school)


class TestReplacement:
    def bad(self, school: School, reason: str = "Corrupt", **patch: Any) -> list[str]:
        """A policy whose only backup was found to be bad; names of the backups after some visits."""
        school.policy(**patch)
        visit(school)
        finish(school, FIRST, status="False", reason=reason)
        school.clock.advance(minutes=2)
        ended = to_rfc3339(school.clock.now())
        school.api.read(BACKUPS, FIRST)["status"]["verification"] = {"time": ended}
        for _ in range(3):
            visit(school, minutes=1)
        return [name for name in school.api.names(BACKUPS) if name != FIRST]

    @pytest.mark.parametrize("reason", ["Corrupt", "DigestMismatch", "RestoreFailed"])
    def test_a_bad_backup_is_followed_by_a_full_one_at_once(self, school: School, reason: str) -> None:
        (name,) = self.bad(school, reason)
        made = school.api.read(BACKUPS, name)
        assert made["spec"]["type"] == "Full"
        assert made["metadata"]["annotations"]["lms.aada.edu/replaces"] == FIRST

    @pytest.mark.parametrize("reason", ["WrongKey", "CheckFailed"])
    def test_not_for_what_a_new_one_meets_again(self, school: School, reason: str) -> None:
        assert self.bad(school, reason) == []

    def test_not_without_a_schedule(self, school: School) -> None:
        school.backup("mine")
        finish(school, "mine", status="False", reason="Corrupt")
        school.policy(full=None)
        visit(school, minutes=1)
        assert school.api.names(BACKUPS) == ["mine"]

    def test_one_in_the_place_of_a_bad_one_is_not_replaced_again(self, school: School) -> None:
        (name,) = self.bad(school)
        finish(school, name, status="False", reason="Corrupt")
        school.clock.advance(minutes=1)
        school.api.read(BACKUPS, name)["status"]["verification"] = {"time": to_rfc3339(school.clock.now())}
        for _ in range(3):
            visit(school, minutes=1)
        assert len(school.api.names(BACKUPS)) == 2


class TestHistory:
    def test_the_oldest_objects_beyond_the_limits_go(self, school: School) -> None:
        school.policy(historyLimit={"successful": 2, "failed": 1})
        visit(school, minutes=31)
        for phase in ("Completed", "Completed", "Failed", "Failed", "Completed"):
            (new,) = [name for name in school.api.names(BACKUPS) if "status" not in school.api.read(BACKUPS, name)]
            finish(school, new)
            school.api.read(BACKUPS, new)["status"]["phase"] = phase
            visit(school, days=1)
        assert school.api.names(BACKUPS) == [
            f"nightly-full-202603{slot}z" for slot in ("02t0200", "04t0200", "05t0200", "06t0200")
        ]


class TestOperatorKilled:
    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("write", range(6))
    def test_at_any_write_each_slot_has_one_backup(self, school: School, moment: str, write: int) -> None:
        school.policy()
        setattr(school.api, f"crash_{moment}", write)
        for _ in range(40):
            try:
                visit(school, minutes=2)
            except Crash:
                school.restart_operator()
            for name in school.api.names(BACKUPS):
                if "status" not in school.api.read(BACKUPS, name):
                    finish(school, name)
        assert school.api.names(BACKUPS) == [FIRST, SLOT]
        assert sum(entry.startswith("create") for entry in school.api.writes) == 2
        assert status(school)["missedSlots"] == 0

    def test_a_lost_status_is_told_anew_by_the_backups(self, school: School) -> None:
        school.policy()
        visit(school)
        finish(school, FIRST)
        visit(school, hours=1)
        finish(school, SLOT)
        before = status(school)
        school.api.read(BACKUP_POLICIES, NAME)["status"] = {}
        school.restart_operator()
        visit(school)
        assert school.api.names(BACKUPS) == [FIRST, SLOT]
        after = status(school)
        assert {k: after[k] for k in ("lastSlot", "next")} == {k: before[k] for k in ("lastSlot", "next")}
