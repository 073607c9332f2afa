"""The copy of each backup in a second place: whose turn it is, what happens on the way, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, SECRETS
from aada_operator.policies.gauges import gauges
from tests.unit.backups.api_server import Crash
from tests.unit.backups.history import POLICY, key, taken
from tests.unit.backups.school import BACKUP_RESULT, TWO_PLACES, School, failure

RULE = {"daily": 1, "minCount": 1}
COPIED = {"ok": True, "result": {"objects": 3, "bytes": 2048, "durationSeconds": 1.5}}


def policy(school: School, **patch: Any) -> None:
    school.policy(POLICY, full=None, immediate=False, **({"storage": TWO_PLACES} | patch))


def visit_all(school: School, rounds: int = 4) -> None:
    """What the operator does in a while: the policy and its Backups, several times; a killed operator starts anew."""
    for _ in range(rounds):
        for resource, names in ((BACKUP_POLICIES, [POLICY]), (BACKUPS, school.api.names(BACKUPS))):
            for name in names:
                try:
                    school.visit(resource, name)
                except Crash:
                    school.restart_operator()


def end_copy(school: School, name: str, said: dict[str, Any] | None = COPIED, attempt: int = 1) -> None:
    school.api.end_job(f"{name}-copy-{attempt}", said)
    if said == COPIED:
        school.offsite.objects[key(name)] = school.bucket.objects[key(name)]


def replicated(school: School, name: str) -> tuple[str, str]:
    return school.condition(BACKUPS, name, "Replicated")


def said(school: School) -> dict[str, Any]:
    return dict(school.status(BACKUP_POLICIES, POLICY).get("copies") or {})


def current(school: School) -> tuple[str, str]:
    return school.condition(BACKUP_POLICIES, POLICY, "CopiesCurrent")


class TestWithoutSecondPlace:
    def test_nothing_is_copied_and_both_say_how_it_could_be(self, school: School) -> None:
        name = taken(school, 1)
        policy(school, storage=TWO_PLACES[:1])
        visit_all(school)
        assert school.api.names(JOBS) == []
        assert (replicated(school, name), current(school)) == (("Unknown", "NoCopy"), ("Unknown", "NoCopy"))
        assert "second entry" in school.message(BACKUP_POLICIES, POLICY, "CopiesCurrent")
        assert said(school) == {}


class TestCopy:
    def test_a_new_backup_is_copied_once_it_is_completed(self, school: School) -> None:
        policy(school)
        school.backup()
        visit_all(school)
        assert replicated(school, "by-hand") == ("Unknown", "NotCompleted")
        school.api.end_job("by-hand-1", BACKUP_RESULT)
        school.bucket.objects[key("by-hand")] = b"{}"
        visit_all(school)
        assert school.api.names(JOBS) == ["by-hand-1", "by-hand-copy-1"]
        assert (replicated(school, "by-hand"), current(school)) == (("Unknown", "Copying"), ("Unknown", "Copying"))
        end_copy(school, "by-hand")
        visit_all(school)
        (copy,) = school.status(BACKUPS, "by-hand")["copies"]
        assert (copy["name"], copy["state"], copy["bytes"], copy["time"]) == (
            "offsite", "Completed", 2048, "2026-03-01T01:30:00Z",
        )  # fmt: skip
        assert copy["location"]["bucket"] == "offsite"
        assert (replicated(school, "by-hand"), current(school)) == (("True", "Copied"), ("True", "Current"))
        assert (said(school)["copied"], said(school)["behind"], said(school)["lastCopied"]) == (1, 0, copy["time"])

    def test_its_job_has_the_credentials_of_both_places_and_no_others(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        pod = school.api.read(JOBS, f"{name}-copy-1")["spec"]["template"]["spec"]
        assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "storage", "copy"]
        task = school.api.task(f"{name}-copy-1")
        assert (task["source"]["bucket"], task["storage"]["bucket"]) == ("backups", "offsite")
        assert task["manifestSha256"] == school.status(BACKUPS, name)["manifestSha256"]

    @pytest.mark.parametrize(("limit", "told"), [({}, None), ({"maxRate": "10Mi"}, 10 * 2**20)])
    def test_both_kinds_of_job_know_the_limit(self, school: School, limit: dict[str, str], told: int | None) -> None:
        policy(school, **limit)
        name = taken(school, 1)
        school.backup()
        visit_all(school)
        tasks = [school.api.task(job) for job in ("by-hand-1", f"{name}-copy-1")]
        assert [task.get("maxRate") for task in tasks] == [told] * 2

    def test_once_all_is_there_nothing_is_written_or_asked_for(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        end_copy(school, name)
        visit_all(school)
        school.api.writes.clear()
        assert school.visit(BACKUPS, name) is None
        school.visit(BACKUP_POLICIES, POLICY)
        assert school.api.writes == []

    def test_backups_of_before_the_second_place_are_brought_along_newest_first_one_at_a_time(
        self, school: School
    ) -> None:
        names = [taken(school, day) for day in (1, 2, 3)]
        policy(school)
        for name in reversed(names):
            visit_all(school)
            assert [job for job in school.api.names(JOBS) if "copy" in job][-1:] == [f"{name}-copy-1"]
            assert said(school)["backupName"] == name
            end_copy(school, name)
            visit_all(school, rounds=1)
            school.api.remove(JOBS, f"{name}-copy-1")
        visit_all(school)
        assert (said(school)["copied"], said(school)["behind"]) == (3, 0)

    def test_another_bucket_under_the_same_name_gets_its_own_copy(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        end_copy(school, name)
        visit_all(school)
        school.api.read(BACKUP_POLICIES, POLICY)["spec"]["storage"][1]["s3"]["bucket"] = "elsewhere"
        visit_all(school)
        assert f"{name}-copy-2" in school.api.names(JOBS)

    def test_without_the_second_entry_what_was_copied_stays_said(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        end_copy(school, name)
        visit_all(school)
        del school.api.read(BACKUP_POLICIES, POLICY)["spec"]["storage"][1]
        visit_all(school)
        assert (replicated(school, name), current(school)) == (("True", "Copied"), ("Unknown", "NoCopy"))

    def test_suspended_nothing_is_copied(self, school: School) -> None:
        taken(school, 1)
        policy(school, suspend=True)
        visit_all(school)
        assert school.api.names(JOBS) == []


class TestFailures:
    def test_a_failed_copy_leaves_the_backup_completed_and_is_tried_again(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        end_copy(school, name, failure("StorageUnreachable"))
        visit_all(school)
        assert school.status(BACKUPS, name)["phase"] == "Completed"
        assert school.condition(BACKUPS, name, "Ready")[0] == "True"
        assert replicated(school, name) == ("False", "StorageUnreachable")
        assert (current(school), said(school)["behind"]) == (("False", "Behind"), 1)
        assert school.condition(BACKUP_POLICIES, POLICY, "Ready") == ("False", "CopiesBehind")
        assert name in school.message(BACKUP_POLICIES, POLICY, "CopiesCurrent")
        assert school.api.names(JOBS) == [f"{name}-copy-1"], "not before its time"
        school.clock.advance(seconds=20)
        visit_all(school)
        assert school.api.names(JOBS) == [f"{name}-copy-2"], "the last Job alone is kept"
        end_copy(school, name, attempt=2)
        visit_all(school)
        assert (replicated(school, name), current(school)) == (("True", "Copied"), ("True", "Current"))

    def test_the_policy_wakes_for_the_next_try(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        visit_all(school)
        end_copy(school, name, failure("StorageUnreachable"))
        visit_all(school)
        assert (school.visit(BACKUP_POLICIES, POLICY) or 0) <= 20

    def test_one_that_cannot_be_copied_holds_up_no_other(self, school: School) -> None:
        older, newest = taken(school, 1), taken(school, 2)
        policy(school)
        visit_all(school)
        end_copy(school, newest, failure("Corrupt", retryable=False))
        visit_all(school)
        assert replicated(school, newest) == ("False", "Corrupt")
        assert f"{older}-copy-1" in school.api.names(JOBS)
        end_copy(school, older)
        school.clock.advance(hours=5)
        visit_all(school)
        assert f"{newest}-copy-2" not in school.api.names(JOBS), "nothing has changed that soon"
        school.clock.advance(hours=2)
        visit_all(school)
        assert f"{newest}-copy-2" in school.api.names(JOBS), "a person may have put it right"

    def test_a_worker_that_was_lost_and_one_that_says_nonsense(self, school: School) -> None:
        policy(school)
        name = taken(school, 1)
        for attempt, word in enumerate((None, {"ok": True, "result": {"surprise": 1}}), start=1):
            visit_all(school)
            end_copy(school, name, word, attempt)
            visit_all(school, rounds=1)
            school.clock.advance(seconds=60)
        assert replicated(school, name) == ("False", "ResultUnreadable")
        visit_all(school)
        assert school.api.names(JOBS) == [f"{name}-copy-3"]

    def test_a_missing_secret_is_named_and_the_copy_goes_on_when_it_is_there(self, school: School) -> None:
        places = json.loads(json.dumps(TWO_PLACES))
        places[1]["s3"]["caSecretRef"] = {"name": "offsite-ca", "key": "ca.crt"}
        school.api.secret("offsite-ca", **{"ca.crt": "x"})
        policy(school, storage=places)
        name = taken(school, 1)
        visit_all(school, rounds=1)
        school.api.remove(SECRETS, "offsite-ca")
        visit_all(school)
        assert replicated(school, name) == ("False", "SecretMissing")
        assert school.api.names(JOBS) == []
        school.api.secret("offsite-ca", **{"ca.crt": "x"})
        school.clock.advance(seconds=20)
        visit_all(school)
        assert len(school.api.names(JOBS)) == 1

    @pytest.mark.parametrize("trouble", [Waiting("StorageUnreachable", "away"), Stalled("StorageAccessDenied", "no")])
    def test_a_second_place_that_is_away_is_told_and_stops_no_backup(
        self, school: School, trouble: Waiting | Stalled
    ) -> None:
        school.offsite.trouble = trouble
        policy(school)
        school.backup()
        visit_all(school)
        school.api.end_job("by-hand-1", BACKUP_RESULT)
        visit_all(school)
        assert school.status(BACKUPS, "by-hand")["phase"] == "Completed"
        assert current(school) == ("False", trouble.reason)
        assert "offsite" in school.message(BACKUP_POLICIES, POLICY, "CopiesCurrent")
        assert school.condition(BACKUP_POLICIES, POLICY, "StorageReachable")[0] == "True"
        assert school.api.names(JOBS) == ["by-hand-1"], "no copy is begun that cannot end"

    def test_a_lifecycle_rule_of_the_second_bucket_is_named(self, school: School) -> None:
        school.offsite.lifecycle = [{"ID": "tidy", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 30}}]
        policy(school)
        visit_all(school)
        assert school.condition(BACKUP_POLICIES, POLICY, "StorageRulesSafe") == ("False", "LifecycleDeletes")
        assert "offsite: lifecycle rule tidy" in school.message(BACKUP_POLICIES, POLICY, "StorageRulesSafe")


class TestRetention:
    @pytest.fixture
    def two(self, school: School) -> list[str]:
        """Two nights, both copied; the rule comes later."""
        names = [taken(school, day) for day in (1, 2)]
        policy(school)
        for name in reversed(names):
            visit_all(school)
            end_copy(school, name)
        visit_all(school)
        return names

    def rule(self, school: School) -> None:
        body = school.api.read(BACKUP_POLICIES, POLICY)
        body["spec"]["retention"] = RULE
        body["metadata"]["generation"] += 1

    def test_what_goes_goes_in_both_places_which_are_then_collected(self, school: School, two: list[str]) -> None:
        self.rule(school)
        visit_all(school)
        assert school.api.names(BACKUPS) == two[1:]
        assert sorted(school.bucket.objects) == sorted(school.offsite.objects) == [key(two[1])]
        jobs = {job for job in school.api.names(JOBS) if "collect" in job}
        assert jobs == {"nightly-collect-1", "nightly-collect-copy-1"}
        assert school.api.task("nightly-collect-copy-1")["storage"]["bucket"] == "offsite"

    def test_a_second_place_that_is_away_is_not_forgotten(self, school: School, two: list[str]) -> None:
        self.rule(school)
        school.offsite.trouble = Waiting("StorageUnreachable", "away")
        visit_all(school)
        assert school.api.names(BACKUPS) == two
        assert school.status(BACKUPS, two[0])["phase"] == "Deleting"
        school.offsite.trouble = None
        visit_all(school)
        assert (school.api.names(BACKUPS), sorted(school.offsite.objects)) == (two[1:], [key(two[1])])

    def test_a_write_once_second_place_keeps_its_copies_and_that_is_said(self, school: School, two: list[str]) -> None:
        self.rule(school)
        school.offsite.deletes = False
        school.probe_clock += 1
        school.restart_operator()
        visit_all(school)
        assert school.api.names(BACKUPS) == two[1:]
        assert sorted(school.offsite.objects) == [key(name) for name in two]
        assert "refuses deletions" in school.message(BACKUP_POLICIES, POLICY, "CopiesCurrent")
        assert not [job for job in school.api.names(JOBS) if "collect-copy" in job]

    def test_a_place_that_nobody_names_any_more_holds_nothing_up(self, school: School, two: list[str]) -> None:
        self.rule(school)
        del school.api.read(BACKUP_POLICIES, POLICY)["spec"]["storage"][1]
        school.offsite.trouble = Waiting("StorageUnreachable", "switched off")
        visit_all(school)
        assert school.api.names(BACKUPS) == two[1:]

    def test_one_that_is_being_copied_stays_until_that_has_ended(self, school: School) -> None:
        old, new = taken(school, 1), taken(school, 2)
        policy(school)
        visit_all(school)
        end_copy(school, new)
        visit_all(school)
        self.rule(school)
        visit_all(school)
        assert school.api.names(BACKUPS) == [old, new]
        assert not [job for job in school.api.names(JOBS) if "collect" in job], "the copy may need what is there"
        end_copy(school, old)
        visit_all(school)
        assert school.api.names(BACKUPS) == [new]

    def test_one_that_goes_is_not_copied_first(self, school: School) -> None:
        old, new = taken(school, 1), taken(school, 2)
        policy(school, retention=RULE)
        visit_all(school)
        assert [job for job in school.api.names(JOBS) if "-copy-" in job] == [f"{new}-copy-1"]
        assert old not in school.api.names(BACKUPS)

    @pytest.mark.usefixtures("two")
    def test_while_objects_are_collected_no_copy_begins(self, school: School) -> None:
        self.rule(school)
        visit_all(school)
        late = taken(school, 3)
        visit_all(school)
        assert f"{late}-copy-1" not in school.api.names(JOBS)
        collected = {"deletedObjects": 1, "deletedBytes": 1, "orphanObjects": 0, "orphanBytes": 0}
        for job in ("nightly-collect-1", "nightly-collect-copy-1"):
            school.api.end_job(job, {"ok": True, "result": collected})
        visit_all(school)
        assert f"{late}-copy-1" in school.api.names(JOBS)
        assert school.status(BACKUP_POLICIES, POLICY)["copyCollection"]["result"] == "Done"


def test_how_far_the_second_place_is_can_be_watched(school: School) -> None:
    names = [taken(school, day) for day in (1, 2)]
    policy(school)
    visit_all(school)
    end_copy(school, names[1])
    visit_all(school)
    samples = {s.name: s.value for s in gauges(school.api.read(BACKUP_POLICIES, POLICY), school.clock)}
    assert samples["copies_behind"] == 1
    assert samples["copy_last_success_timestamp_seconds"] == school.clock.now().timestamp()


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
@pytest.mark.parametrize("number", range(1, 14))
def test_killed_around_any_write_each_backup_is_copied_once(school: School, when: str, number: int) -> None:
    names = [taken(school, day) for day in (1, 2)]
    policy(school)
    setattr(school.api, when, number)
    for name in reversed(names):
        visit_all(school, rounds=5)
        if f"{name}-copy-1" in school.api.names(JOBS):
            end_copy(school, name)
    visit_all(school, rounds=5)
    assert [replicated(school, name) for name in names] == [("True", "Copied")] * 2
    assert [school.status(BACKUPS, name)["copies"][0]["attempt"] for name in names] == [1, 1]
