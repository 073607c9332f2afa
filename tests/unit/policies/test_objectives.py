"""Whether a schedule can keep its objective, and what a person is told to do where it cannot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS
from aada_operator.policies import objectives
from tests.unit.backups.school import School, completed
from tests.unit.policies.samples import at, known, spec

NIGHTLY, FOUR_HOURLY = {"schedule": "0 2 * * *"}, {"schedule": "0 */4 * * *"}


def worst(*backups: Any, zone: str = "Etc/UTC", **patch: Any) -> timedelta:
    found = objectives.outlook(spec(timeZone=zone, **patch), backups, at("20 12:34"))
    assert found is not None
    return found.worst


class TestOutlook:
    @pytest.mark.parametrize(
        ("patch", "gap"),
        [
            ({"full": NIGHTLY}, timedelta(days=1)),
            ({"full": NIGHTLY, "incremental": FOUR_HOURLY}, timedelta(hours=4)),
            ({"full": {"schedule": "0 2 * * MON-FRI"}}, timedelta(days=3)),
            ({"full": {"schedule": "*/5 8-16 * * MON-FRI"}}, timedelta(days=2, hours=15, minutes=5)),
            ({"full": {"schedule": "0 2 1 * *"}}, timedelta(days=31)),
            ({"full": {"schedule": "0 2 1 1 *"}}, timedelta(days=365)),
            ({"full": NIGHTLY, "zone": "Europe/Berlin"}, timedelta(days=1, hours=1)),
        ],
    )
    def test_is_the_widest_gap_between_two_slots(self, patch: dict[str, Any], gap: timedelta) -> None:
        assert worst(**patch) == gap

    def test_and_the_longest_of_the_newest_backups(self) -> None:
        quick = known("quick", "Completed", at("01 02:00"))
        slow = known("slow", "Completed", at("02 02:00"), completionTime="2026-03-02T02:07:00Z")
        assert worst(quick, slow, full=FOUR_HOURLY) == timedelta(hours=4, minutes=7)

    def test_there_is_none_without_a_schedule(self) -> None:
        assert objectives.outlook(spec(full=None), [], at("01 00:00")) is None


class TestCondition:
    def told(self, school: School, **patch: Any) -> tuple[str, str, str]:
        school.policy(immediate=False, **patch)
        school.settle(BACKUP_POLICIES, "nightly")
        status, reason = school.condition(BACKUP_POLICIES, "nightly", "RPOUnreachable")
        return status, reason, school.message(BACKUP_POLICIES, "nightly", "RPOUnreachable")

    def test_the_runbooks_four_hours_every_four_hours(self, school: School) -> None:
        """A backup every 4 h loses 4 h and what it takes: the runbook's own objective is 4 h."""
        status, reason, message = self.told(school, full=FOUR_HOURLY, objectives={"rpo": "4h", "rto": "4h"})
        assert (status, reason) == ("True", "ScheduleTooRare")
        assert 'incremental: {schedule: "0 */3 * * *"}' in message
        assert "objectives.rpo to 5h" in message

    @pytest.mark.parametrize("field", ["incremental", "rpo"])
    def test_either_fix_helps(self, school: School, field: str) -> None:
        fix = {"incremental": {"schedule": "0 */3 * * *"}} if field == "incremental" else {}
        rpo = "5h" if field == "rpo" else "4h"
        full = FOUR_HOURLY if field == "rpo" else NIGHTLY
        assert self.told(school, full=full, objectives={"rpo": rpo}, **fix)[:2] == ("False", "WithinObjective")

    def test_a_slow_backup_breaks_what_its_schedule_promised(self, school: School) -> None:
        school.backup("slow")
        late = completed(school, "slow") | {"recoverableFrom": "2026-02-28T23:00:00Z"}
        school.api.read(BACKUPS, "slow")["status"] = late
        assert self.told(school, full=FOUR_HOURLY, objectives={"rpo": "5h"})[:2] == ("True", "ScheduleTooRare")

    def test_an_objective_that_no_schedule_keeps(self, school: School) -> None:
        message = self.told(school, full=FOUR_HOURLY, objectives={"rpo": "1m"})[2]
        assert "incremental" not in message
        assert "set objectives.rpo to 5h" in message

    def test_by_hand_alone_no_objective_is_kept(self, school: School) -> None:
        assert self.told(school, full=None, objectives={"rpo": "4h"})[:2] == ("True", "NoSchedule")

    def test_without_an_objective_there_is_nothing_to_keep(self, school: School) -> None:
        assert self.told(school)[:2] == ("Unknown", "NoObjective")
