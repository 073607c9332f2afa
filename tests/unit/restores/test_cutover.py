"""A Cutover as a user sees it: asked for, made safe, done once whoever dies in the middle, and kept as a way back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from aada_operator.adapters.referenced import backups_in_use
from aada_operator.core.controller import RESYNC
from aada_operator.core.database import DatabaseProperties, Grant, Setting
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import Operation
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, PODS, RESTORES
from tests.unit.backups.api_server import NAMESPACE, Crash
from tests.unit.restores.rehearsal import JOB, RESTORE, Rehearsal, failure

LIVE, RESTORED, OLD = "aada_lms", "aada_lms_restore_12345678", "aada_lms_before_12345678"
UID = "12345678-9abc-4def-8000-000000000000"
SAFETY = f"{RESTORE}-safety"
OURS = DatabaseProperties(
    "aada_lms_owner",
    50,
    frozenset([Grant(None, "CONNECT", grantable=False)]),
    frozenset([Setting("teacher", "search_path", '"$user"')]),
)


def cutover(world: Rehearsal, **spec: Any) -> None:
    """A Cutover that needs nobody's word, unless ``spec`` says something else."""
    world.restore("monday", target={"mode": "Cutover"}, **({"mode": "Auto"} | spec))


def loaded(world: Rehearsal, **spec: Any) -> None:
    """A Cutover whose Job has ended well."""
    cutover(world, **spec)
    world.settle()
    world.end_job()
    world.settle()


def safe(world: Rehearsal, phase: str = "Completed") -> None:
    """The safety backup ends."""
    world.api.read(BACKUPS, SAFETY)["status"] = {"phase": phase}


def done(world: Rehearsal, **spec: Any) -> None:
    """A Cutover that is Completed."""
    loaded(world, **spec)
    safe(world)
    world.settle()
    assert world.status["phase"] == "Completed"


class TestAsks:
    def test_by_default_before_it_does_anything(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", target={"mode": "Cutover"})
        assert rehearsal.settle() == RESYNC
        assert rehearsal.status["phase"] == "AwaitingApproval"
        summary = rehearsal.status["plan"]["summary"]
        for words in (f"takes the place of database {LIVE}", f"kept as {OLD}", "2026-03-01T00:59:00Z", "no longer"):
            assert words in summary

    def test_for_more_than_a_restore_beside_the_live_one(self, rehearsal: Rehearsal) -> None:
        rehearsal.restore("monday", mode="Approve")
        rehearsal.settle()
        beside = rehearsal.status["plan"]["hash"]
        rehearsal.api.remove(RESTORES, RESTORE)
        rehearsal.restore("monday", target={"mode": "Cutover"})
        rehearsal.approve(beside)
        rehearsal.settle()
        assert rehearsal.status["phase"] == "AwaitingApproval"

    @pytest.mark.parametrize(
        ("trouble", "reason", "fix"),
        [
            ({"may_terminate": False}, "InsufficientPrivilege", "GRANT pg_signal_backend TO admin"),
            ({"holds": ("logical replication slot bi",)}, "DatabaseHeld", "slot bi"),
        ],
    )
    def test_for_what_the_swap_will_need_before_the_load(
        self, rehearsal: Rehearsal, trouble: dict[str, Any], reason: str, fix: str
    ) -> None:
        for name, value in trouble.items():
            setattr(rehearsal.server, name, value)
        cutover(rehearsal)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", reason)
        assert fix in rehearsal.message("Ready")
        assert rehearsal.jobs == []

    def test_for_another_name_when_that_of_the_old_database_is_taken(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases[OLD] = "precious"
        cutover(rehearsal)
        assert rehearsal.settle() is None
        assert rehearsal.condition("Failed") == ("True", "TargetExists")
        assert rehearsal.server.databases[OLD] == "precious"

    def test_for_the_policy_that_the_safety_backup_needs(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup("monday", encryption="None")
        rehearsal.api.remove(BACKUP_POLICIES, "nightly")
        cutover(rehearsal)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "BackupPolicyNotFound")
        assert rehearsal.jobs == []


class TestMakesSafe:
    def test_with_a_full_backup_that_outlives_it(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        made = rehearsal.api.read(BACKUPS, SAFETY)
        assert made["spec"] == {"policyRef": {"name": "nightly"}, "type": "Full"}
        assert "ownerReferences" not in made["metadata"]
        assert (rehearsal.status["step"], rehearsal.status["safetyBackup"]) == ("SafetyBackup", SAFETY)
        assert rehearsal.server.swaps == 0
        safe(rehearsal)
        rehearsal.settle()
        assert rehearsal.server.swaps == 1

    def test_and_replaces_nothing_when_that_fails(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        safe(rehearsal, "Failed")
        rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "SafetyBackupFailed")
        assert "safetyBackup: false" in rehearsal.message("Failed")
        assert rehearsal.server.databases[LIVE] == ""

    def test_not_with_somebody_elses_backup_of_that_name(self, rehearsal: Rehearsal) -> None:
        rehearsal.backup(SAFETY)
        loaded(rehearsal)
        assert rehearsal.condition("Failed") == ("True", "NameTaken")
        assert rehearsal.server.swaps == 0

    def test_and_retention_does_not_take_it_away_before_the_end(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        api: Any = rehearsal.api
        assert asyncio.run(backups_in_use(api, NAMESPACE)) == {"monday", SAFETY}
        safe(rehearsal)
        rehearsal.settle()
        assert asyncio.run(backups_in_use(api, NAMESPACE)) == set()

    def test_which_it_names_also_when_killed_right_after_it_asked_for_it(self, rehearsal: Rehearsal) -> None:
        """What the status does not name, retention would not spare."""
        cutover(rehearsal)
        rehearsal.settle()
        rehearsal.end_job()
        while SAFETY not in rehearsal.api.names(BACKUPS):
            rehearsal.api.crash_after = len(rehearsal.api.writes)
            with suppress(Crash):
                rehearsal.visit()
        assert "safetyBackup" not in rehearsal.status
        safe(rehearsal)
        rehearsal.settle()
        assert rehearsal.status["safetyBackup"] == SAFETY

    def test_unless_the_user_does_not_want_it(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal, safetyBackup=False)
        assert rehearsal.status["phase"] == "Completed"
        assert SAFETY not in rehearsal.api.names(BACKUPS)

    def test_as_far_as_there_is_a_live_database(self, rehearsal: Rehearsal) -> None:
        del rehearsal.server.databases[LIVE]
        loaded(rehearsal)
        assert rehearsal.status["phase"] == "Completed"
        assert "oldDatabase" not in rehearsal.status
        assert rehearsal.server.databases == {LIVE: f"lms.aada.edu/restore={UID};complete", "postgres": ""}


class TestSwaps:
    def test_and_says_what_became_of_both(self, rehearsal: Rehearsal) -> None:
        done(rehearsal)
        status = rehearsal.status
        assert (status["database"], status["rows"], status["mode"]) == (LIVE, 99, "Cutover")
        assert status["oldDatabase"] == {"name": OLD, "dropAfter": "2026-03-08T01:30:00Z"}
        assert set(rehearsal.server.databases) == {LIVE, OLD, "postgres"}
        assert OLD in rehearsal.message("Ready")
        assert all(step["finishedAt"] for step in status["steps"])

    def test_with_what_belongs_to_the_database_itself(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.properties[LIVE] = OURS
        done(rehearsal)
        assert rehearsal.server.properties[LIVE] == rehearsal.server.properties[OLD] == OURS

    def test_only_what_the_application_can_work_with(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.revision = None
        rehearsal.backup("monday", schemaRevision="0007")
        loaded(rehearsal, safetyBackup=False)
        assert rehearsal.condition("Failed") == ("True", "SmokeFailed")
        assert "0007" in rehearsal.message("Failed")
        assert rehearsal.server.swaps == 0

    @pytest.mark.parametrize("operation", Operation)
    def test_when_nobody_works_with_the_live_database(self, rehearsal: Rehearsal, operation: Operation) -> None:
        other = rehearsal.at_work(operation)
        loaded(rehearsal, safetyBackup=False)
        assert rehearsal.condition("Ready") == ("False", "OperationInProgress")
        assert other["metadata"]["name"] in rehearsal.message("Ready")
        assert rehearsal.server.swaps == 0
        rehearsal.ends_work(other)
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"

    def test_later_when_somebody_does_not_leave(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.in_use = True
        loaded(rehearsal, safetyBackup=False)
        assert rehearsal.condition("Ready") == ("False", "DatabaseInUse")
        rehearsal.server.in_use = False
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"

    def test_not_when_the_lms_names_another_database_meanwhile(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        safe(rehearsal)
        rehearsal.api.read(AADA_LMS, "aada")["spec"]["database"]["name"] = "other"
        rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "PlanChanged")
        assert rehearsal.server.swaps == 0

    def test_not_when_somebody_touched_the_restored_database(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        safe(rehearsal)
        rehearsal.server.databases[RESTORED] = ""
        rehearsal.settle()
        assert rehearsal.condition("Failed") == ("True", "RestoredDatabaseGone")
        assert rehearsal.server.swaps == 0


class TestSurvives:
    def test_a_kill_at_every_write_swapping_once(self, rehearsal: Rehearsal) -> None:
        """The operator dies before or after each of its writes, and begins anew with what it finds."""
        cutover(rehearsal)
        for _ in range(60):
            rehearsal.api.crash_after = len(rehearsal.api.writes) + 1
            try:
                rehearsal.visit()
            except Crash:
                continue
            if JOB in rehearsal.jobs and RESTORED not in rehearsal.server.databases and not rehearsal.server.swaps:
                rehearsal.end_job()
            if SAFETY in rehearsal.api.names(BACKUPS):
                safe(rehearsal)
        assert rehearsal.status["phase"] == "Completed"
        assert rehearsal.server.swaps == 1

    def test_losing_its_status_and_its_jobs_right_after_the_swap(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        safe(rehearsal)
        while not rehearsal.server.swaps:
            rehearsal.visit()
        for job in rehearsal.jobs:
            rehearsal.api.remove(JOBS, job)
        rehearsal.api.read(RESTORES, RESTORE)["status"] = {}
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"
        assert rehearsal.status["safetyBackup"] == SAFETY
        assert rehearsal.server.swaps == 1
        assert rehearsal.jobs == [], "nothing is loaded a second time"

    def test_a_server_that_is_away(self, rehearsal: Rehearsal) -> None:
        loaded(rehearsal)
        rehearsal.server.trouble = Waiting("ConnectionRefused", "nothing listens")
        safe(rehearsal)
        rehearsal.settle()
        assert rehearsal.condition("Ready") == ("False", "ConnectionRefused")
        rehearsal.server.trouble = None
        rehearsal.settle()
        assert rehearsal.status["phase"] == "Completed"


class TestFails:
    """What it made and nobody will use is dropped, but not before somebody could look at it."""

    def stalled(self, world: Rehearsal) -> None:
        """After the load the AadaLms names another database."""
        loaded(world)
        safe(world)
        world.api.read(AADA_LMS, "aada")["spec"]["database"]["host"] = "elsewhere"
        world.settle()
        assert world.condition("Failed") == ("True", "PlanChanged")

    def test_after_the_load_what_it_loaded_is_kept_for_a_while(self, rehearsal: Rehearsal) -> None:
        self.stalled(rehearsal)
        assert rehearsal.status["leftover"] == {"name": RESTORED, "dropAfter": "2026-03-08T01:30:00Z"}
        rehearsal.clock.advance(days=6)
        rehearsal.settle()
        assert RESTORED in rehearsal.server.databases
        rehearsal.clock.advance(days=2)
        assert rehearsal.settle() is None
        assert RESTORED not in rehearsal.server.databases
        assert LIVE in rehearsal.server.databases
        assert rehearsal.status["phase"] == "Failed"

    def test_and_stays_for_good_when_somebody_made_it_theirs(self, rehearsal: Rehearsal) -> None:
        self.stalled(rehearsal)
        rehearsal.server.databases[RESTORED] = "ours now"
        rehearsal.clock.advance(days=8)
        rehearsal.settle()
        assert rehearsal.server.databases[RESTORED] == "ours now"
        assert "somebody else" in rehearsal.status["leftover"]["message"]

    def test_in_the_middle_of_a_load_the_half_goes_at_once(self, rehearsal: Rehearsal) -> None:
        cutover(rehearsal)
        rehearsal.settle()
        rehearsal.server.databases[RESTORED] = f"lms.aada.edu/restore={UID}"
        rehearsal.api.end_job(JOB, failure("Corrupt", retryable=False))
        rehearsal.settle()
        assert rehearsal.condition("Failed")[0] == "True"
        assert RESTORED not in rehearsal.server.databases

    def test_before_it_began_nothing_is_looked_for(self, rehearsal: Rehearsal) -> None:
        rehearsal.server.databases[RESTORED] = "somebody's"
        cutover(rehearsal)
        rehearsal.settle()
        assert "leftover" not in rehearsal.status


class TestKeepsTheOldOne:
    def test_as_long_as_it_said_and_no_longer(self, rehearsal: Rehearsal) -> None:
        done(rehearsal, keepOldFor="30d")
        rehearsal.clock.advance(days=29, hours=23)
        delay = rehearsal.settle()
        assert delay == pytest.approx(3600)
        assert OLD in rehearsal.server.databases
        rehearsal.clock.advance(hours=1)
        assert rehearsal.settle() is None
        assert OLD not in rehearsal.server.databases
        assert rehearsal.status["oldDatabase"]["droppedAt"] == "2026-03-31T01:30:00Z"
        assert rehearsal.status["phase"] == "Completed"

    def test_for_good_when_somebody_renamed_it(self, rehearsal: Rehearsal) -> None:
        done(rehearsal)
        rehearsal.server.databases["keep"] = rehearsal.server.databases.pop(OLD)
        rehearsal.clock.advance(days=8)
        assert rehearsal.settle() is None
        assert "keep" in rehearsal.server.databases
        assert "renamed" in rehearsal.status["oldDatabase"]["message"]

    def test_while_the_server_is_away_and_says_so_without_alarm(self, rehearsal: Rehearsal) -> None:
        done(rehearsal)
        rehearsal.clock.advance(days=8)
        rehearsal.server.trouble = Waiting("ConnectionRefused", "nothing listens")
        assert rehearsal.settle() == pytest.approx(15)
        assert rehearsal.status["oldDatabase"]["message"] == "nothing listens"
        assert rehearsal.condition("Ready")[0] == "True"


class TestDeleted:
    def test_while_it_waits_for_an_approval_nothing_was_done(self, rehearsal: Rehearsal) -> None:
        before = dict(rehearsal.server.databases)
        rehearsal.restore("monday", target={"mode": "Cutover"})
        rehearsal.settle()
        assert rehearsal.status["phase"] == "AwaitingApproval"
        self.delete(rehearsal)
        assert (rehearsal.server.databases, rehearsal.jobs, rehearsal.api.claims()) == (before, [], [])

    def test_after_the_swap_nothing_is_undone_and_others_work_again(self, rehearsal: Rehearsal) -> None:
        """The operator dies right after the swap, and before it wakes the Restore is gone."""
        loaded(rehearsal)
        safe(rehearsal)
        while rehearsal.server.swaps == 0:
            rehearsal.api.crash_after = len(rehearsal.api.writes) + 1
            with suppress(Crash):
                rehearsal.visit()
        rehearsal.api.crash_after = None
        assert rehearsal.status["phase"] != "Completed"
        databases = dict(rehearsal.server.databases)
        assert {LIVE, OLD} <= databases.keys()
        self.delete(rehearsal)
        assert rehearsal.server.databases == databases
        other = rehearsal.at_work(Operation.BACKUP)
        assert rehearsal.api.claims() == [f"Backup {other['metadata']['name']} (Backup)"], "its turn was given back"

    def test_when_it_is_completed_what_it_replaced_stays_for_good(self, rehearsal: Rehearsal) -> None:
        done(rehearsal)
        rehearsal.visit()
        databases = dict(rehearsal.server.databases)
        self.delete(rehearsal)
        assert rehearsal.server.databases == databases

    def delete(self, rehearsal: Rehearsal) -> None:
        rehearsal.api.remove(RESTORES, RESTORE)
        if RESTORE in rehearsal.api.names(RESTORES):
            rehearsal.settle()
            for pod in rehearsal.api.names(PODS):  # they go with their Job
                rehearsal.api.remove(PODS, pod)
            assert rehearsal.settle() is None
        assert rehearsal.api.names(RESTORES) == []
