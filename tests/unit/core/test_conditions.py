"""Conditions keep the time of their last change, and tell only what changed."""

from datetime import UTC, datetime, timedelta

from aada_operator.api.common import Condition
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.conditions import ConditionSet, Transition

EARLIER = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NOW = EARLIER + timedelta(hours=1)
READY = {
    "type": "Ready",
    "status": "False",
    "reason": "SecretMissing",
    "message": "Secret db does not exist",
    "lastTransitionTime": to_rfc3339(EARLIER),
    "observedGeneration": 1,
}


def seen(*existing: dict[str, object]) -> ConditionSet:
    return ConditionSet(list(existing), generation=2, now=NOW)


def test_a_new_condition_has_the_time_and_generation_of_the_visit() -> None:
    known = seen()
    known.set("Ready", True, "AllGood", "3 of 3")
    assert known.as_list() == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "AllGood",
            "message": "3 of 3",
            "lastTransitionTime": to_rfc3339(NOW),
            "observedGeneration": 2,
        }
    ]
    Condition.model_validate(known.as_list()[0])


def test_the_time_stays_while_the_status_stays_whatever_the_reason() -> None:
    known = seen(READY)
    known.set("Ready", False, "WrongPassword", "other words")
    assert known.as_list()[0]["lastTransitionTime"] == to_rfc3339(EARLIER)
    assert known.as_list()[0]["reason"] == "WrongPassword"


def test_the_time_moves_with_the_status() -> None:
    known = seen(READY)
    known.set("Ready", True, "AllGood")
    assert known.as_list()[0]["lastTransitionTime"] == to_rfc3339(NOW)


def test_a_status_that_comes_back_within_one_visit_did_not_change() -> None:
    known = seen(READY)
    known.set("Ready", True, "AllGood")
    known.set("Ready", False, "SecretMissing", READY["message"])  # type: ignore[arg-type]
    assert known.as_list() == [READY | {"observedGeneration": 2}]
    assert known.transitions() == []


def test_what_was_not_spoken_of_stays() -> None:
    known = seen(READY)
    known.set("Stalled", False, "Progressing")
    assert READY in known.as_list()


def test_people_find_ready_first() -> None:
    known = seen()
    for kind in ("Completed", "Stalled", "Alarm", "Ready", "Reconciling"):
        known.set(kind, True, "Because")
    assert [c["type"] for c in known.as_list()] == ["Ready", "Reconciling", "Stalled", "Alarm", "Completed"]


def test_a_change_of_status_or_reason_is_a_transition_and_a_change_of_words_is_none() -> None:
    known = seen(READY)
    known.set("Ready", False, "SecretMissing", "the same in other words")
    assert known.transitions() == []
    known.set("Ready", False, "WrongPassword", "m")
    known.set("Stalled", False, "Progressing")
    assert known.transitions() == [
        Transition("Ready", "False", "WrongPassword", "m"),
        Transition("Stalled", "False", "Progressing", ""),
    ]


def test_endless_messages_are_cut_to_what_the_api_server_takes() -> None:
    known = seen()
    known.set("Ready", False, "Because", "x" * 100_000)
    Condition.model_validate(known.as_list()[0])


def test_reading_what_was_never_set_is_harmless() -> None:
    assert (seen().status_of("Ready"), seen().reason_of("Ready")) == (None, "")
    assert (seen(READY).status_of("Ready"), seen(READY).reason_of("Ready")) == ("False", "SecretMissing")
