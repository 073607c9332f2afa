"""What the conditions of a SecretRotation say, and what its history remembers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aada_operator.core.conditions import ConditionSet
from aada_operator.core.controller import Visit
from aada_operator.rotations import manifests, report
from aada_operator.rotations.manifests import Revision
from tests.unit.rotations.samples import at, owner, spec

NOW = at("2026-03-01T04:00:00Z")
PROOF = {"login": "aada_lms_a", "sqlState": "28P01", "time": "2026-03-01T04:20:00Z"}


def visit(*, suspend: bool = False, **status: Any) -> Visit[Any]:
    return Visit(owner(), spec(suspend=suspend), NOW, status, ConditionSet([], 1, NOW))


def said(one: Visit[Any]) -> dict[str, str]:
    return {c["type"]: f"{c['status']} {c['reason']}" for c in one.conditions.as_list()}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "", "the old password was answered with a login, the new one with a login"),
        (None, None, "the old password was answered with nothing, the new one with nothing"),
        ("28000", "", "the old password was answered with 28000, the new one with a login"),
        ("28P01", "53300", "the old password was answered with 28P01, the new one with 53300"),
    ],
)
def test_what_is_no_proof_is_told_as_it_was(old: str | None, new: str | None, words: str) -> None:
    """Above all, a server that does not answer is not said to let the old password in."""
    assert report.not_proven(old, new) == f"{words}; a proof is 28P01 and a login"


def test_on_the_way_nothing_is_good_or_bad_yet() -> None:
    steps = [{"name": "VerifyNew", "finishedAt": "2026-03-01T04:00:00Z"}, {"name": "Converge"}]
    one = visit(steps=steps)
    report.under_way(one, "Converge", "not changed over yet: pods p1", back=False)
    assert said(one) == {
        "Ready": "Unknown Converge",
        "Reconciling": "True Converge",
        "Rotating": "True UnderWay",
        "NewCredentialVerified": "True VerifyNew",
        "ConsumersConverged": "Unknown UnderWay",
        "OldCredentialRevoked": "Unknown UnderWay",
    }
    assert (one.status["phase"], one.status["step"]) == ("Rotating", "Converge")


@pytest.mark.parametrize("step", ["Publish", "Switch", "SetPassword"])
def test_once_the_new_credential_is_in_use_it_is_told(step: str) -> None:
    one = visit(steps=[{"name": step, "finishedAt": "2026-03-01T04:00:00Z"}, {"name": "Converge"}])
    report.under_way(one, "Converge", "", back=False)
    assert said(one)["Rotating"] == "True Published"


def test_on_the_way_back_nothing_is_proved_any_more() -> None:
    one = visit(steps=[{"name": "VerifyNew", "finishedAt": "2026-03-01T04:00:00Z"}])
    report.under_way(one, "Reconverge", "not back yet", back=True)
    assert said(one)["NewCredentialVerified"] == "Unknown UnderWay"
    assert said(one)["Rotating"] == "True RollingBack"
    assert one.status["phase"] == "RollingBack"


def test_before_the_first_one_it_says_when_that_is() -> None:
    one = visit(nextRotation="2026-04-01T04:00:00Z")
    report.at_rest(one, "the application logs in as aada_lms_a")
    assert said(one)["Ready"] == "True NotDueYet"
    assert one.conditions.message_of("Ready").endswith("not rotated yet; next: 2026-04-01T04:00:00Z")
    assert said(one)["OldCredentialRevoked"] == "Unknown NotRotatedYet"


def test_without_a_clock_it_says_how_to_ask() -> None:
    one = visit()
    report.at_rest(one, "the application logs in as aada_lms_a")
    assert one.conditions.message_of("Ready").endswith("next: only by annotation lms.aada.edu/rotate-at")


def test_afterwards_it_says_who_logs_in_and_since_when_the_other_one_is_dead() -> None:
    one = visit(history=[{"result": "Rotated"}], proof=PROOF)
    report.at_rest(one, "the application logs in as aada_lms_b")
    assert set(said(one).values()) == {"True Rotated", "False UpToDate", "False Idle"}
    assert "logs in as aada_lms_b; the password of aada_lms_a is refused with 28P01 since" in (
        one.conditions.message_of("Ready")
    )


def test_after_one_was_rolled_back_it_says_why_and_when_it_is_tried_again() -> None:
    past = {"result": "RolledBack", "message": "a pod with the new login does not start"}
    one = visit(history=[past], nextAttempt="2026-03-01T05:00:00Z", nextRotation="2026-03-01T04:00:00Z")
    report.at_rest(one, "the application logs in as aada_lms_a")
    assert said(one)["Ready"] == "False RolledBack"
    message = one.conditions.message_of("Ready")
    assert message == (
        "the application logs in as aada_lms_a as before; a pod with the new login does not start; "
        "next try: 2026-03-01T05:00:00Z"
    )


def test_one_that_was_asked_for_and_rolled_back_names_the_next_try_and_not_the_schedules_next_slot() -> None:
    past = {"result": "RolledBack", "message": "no room for the canary"}
    one = visit(history=[past], nextAttempt="2026-03-01T05:00:00Z", nextRotation="2026-03-15T04:00:00Z")
    report.at_rest(one, "the application logs in as aada_lms_a", retried=True)
    assert one.conditions.message_of("Ready").endswith("next try: 2026-03-01T05:00:00Z")


def test_one_that_is_suspended_says_so() -> None:
    one = visit(suspend=True)
    report.at_rest(one, "the application logs in as aada_lms_a")
    assert one.status["phase"] == "Suspended"


def fresh(rolled_back: str = "") -> Revision:
    data = {"username": "aada_lms_b", "password": "x"}
    body = manifests.fresh(owner(), "aada", 4, data, 3, NOW - timedelta(minutes=20), "AlternatingRoles")
    if rolled_back:
        body["metadata"]["annotations"][manifests.ANNOTATION_ROLLED_BACK] = rolled_back
    return Revision(body)


def test_the_history_remembers_how_each_one_ended() -> None:
    one = visit(failures=2)
    assert report.ended(one, fresh(), 4, emergency=True) == {
        "revision": 4,
        "result": "Rotated",
        "login": "aada_lms_b",
        "emergency": True,
        "reason": "",
        "message": "",
        "startedAt": "2026-03-01T03:40:00Z",
        "finishedAt": "2026-03-01T04:00:00Z",
    }
    assert one.status["failures"] == 0


def test_failures_in_a_row_are_counted_and_the_cause_is_kept() -> None:
    one = visit(failures=2)
    cause = report.rolled_back("CanaryFailed", f"it crashes: {'x' * 2000}")
    entry = report.ended(one, fresh(cause), 2, emergency=False)
    assert (entry["result"], entry["reason"], one.status["failures"]) == ("RolledBack", "CanaryFailed", 3)
    assert entry["message"].startswith("it crashes: xxx")
    assert len(entry["message"]) == 512
