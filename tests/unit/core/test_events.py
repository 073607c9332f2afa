"""Events tell what people must hear of, once, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aada_operator.core.conditions import Transition
from aada_operator.core.events import to_event, worth_telling

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
BODY: dict[str, Any] = {
    "apiVersion": "lms.aada.edu/v1alpha1",
    "kind": "Backup",
    "metadata": {"namespace": "school", "name": "nightly", "uid": "u-1"},
}


def change(kind: str, status: Any, reason: str = "Because", message: str = "words") -> Transition:
    return Transition(kind, status, reason, message)


@pytest.mark.parametrize(
    ("transition", "type_"),
    [
        (change("Ready", "False"), "Warning"),
        (change("Ready", "True"), "Normal"),
        (change("Completed", "True"), "Normal"),
        (change("Completed", "False"), "Warning"),
        (change("Stalled", "True"), "Warning"),
        (change("Failed", "True"), "Warning"),
        (change("RTOAtRisk", "True"), "Warning"),
        (change("Retrying", "True"), "Warning"),
        (change("SuspiciousSize", "True"), "Warning"),
        (change("Rotating", "True"), "Normal"),
    ],
)
def test_bad_news_are_warnings(transition: Transition, type_: str) -> None:
    assert worth_telling([transition]) == [transition]
    assert to_event(BODY, transition, NOW)["type"] == type_


@pytest.mark.parametrize(
    "transition",
    [
        change("Ready", "Unknown"),
        change("Completed", "Unknown"),
        change("Reconciling", "True"),
        change("Reconciling", "False"),
        change("Stalled", "False"),
        change("Failed", "False"),
        change("Retrying", "False"),
        change("SuspiciousSize", "False"),
        change("Rotating", "False"),
    ],
    ids=lambda t: f"{t.type}={t.status}",
)
def test_what_is_not_known_yet_or_not_bad_any_more_is_not_told(transition: Transition) -> None:
    assert worth_telling([transition]) == []


def test_a_ready_that_repeats_another_event_is_left_out() -> None:
    completed, ready = change("Completed", "True"), change("Ready", "True")
    assert worth_telling([ready, completed]) == [completed]


def test_a_ready_with_words_of_its_own_is_told() -> None:
    both = [change("Ready", "False", "SchemaOutdated"), change("DatabaseReachable", "True", "Connected")]
    assert worth_telling(both) == both


def test_a_ready_is_told_when_what_it_repeats_is_not() -> None:
    ready = change("Ready", "False", "DatabaseUnreachable")
    unknown = change("Completed", "Unknown", "DatabaseUnreachable")
    working = change("Reconciling", "True", "DatabaseUnreachable")
    assert worth_telling([ready, working, unknown]) == [ready]


def test_an_event_names_object_condition_reason_and_words() -> None:
    event = to_event(BODY, change("Ready", "False", "SecretMissing", "Secret db does not exist"), NOW)
    assert event["involvedObject"] == {
        "apiVersion": BODY["apiVersion"],
        "kind": "Backup",
        "namespace": "school",
        "name": "nightly",
        "uid": "u-1",
    }
    assert (event["reason"], event["message"]) == ("SecretMissing", "Ready: Secret db does not exist")
    assert event["metadata"]["namespace"] == "school"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-03-10T12:00:00Z"


def test_an_event_without_words_is_the_condition() -> None:
    assert to_event(BODY, change("Ready", "True", message=""), NOW)["message"] == "Ready"


def name_of(transition: Transition, moment: datetime = NOW) -> str:
    return str(to_event(BODY, transition, moment)["metadata"]["name"])


def test_the_same_transition_told_again_has_the_same_name() -> None:
    """So a retry meets a conflict instead of a second Event."""
    assert name_of(change("Ready", "False")) == name_of(change("Ready", "False", message="other words"))


@pytest.mark.parametrize(
    "other",
    [change("Ready", "True"), change("Completed", "False"), change("Ready", "False", "Other")],
)
def test_another_transition_has_another_name(other: Transition) -> None:
    assert name_of(change("Ready", "False")) != name_of(other)


def test_the_same_transition_at_another_time_is_another_event() -> None:
    assert name_of(change("Ready", "False")) != name_of(change("Ready", "False"), NOW + timedelta(seconds=1))


def test_names_fit_the_longest_objects() -> None:
    body = BODY | {"metadata": BODY["metadata"] | {"name": "n" * 253}}
    assert len(to_event(body, change("Ready", "False"), NOW)["metadata"]["name"]) <= 253
