"""Types that all kinds share: durations, and what the first visit checks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from aada_operator.api.common import Condition, CronExpression, Duration, TimeZone, byte_count, seconds
from aada_operator.api.component import Connections
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.restore import RestoreSpec, RestoreStatus
from tests.unit.api.cases import BACKEND, LMS, RESTORE


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("15m", 900), ("4h", 14_400), ("30d", 2_592_000), ("250ms", 0.25), ("0s", 0)]
)
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "90", "s", "1h30m", "-1s", "1.5h", "1 h", "1h\n", "1H", "\u0661s"])
def test_what_is_no_duration_is_refused_by_model_and_function_alike(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(text)


@given(st.integers(0, 999_999), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_every_duration_that_the_type_takes_can_be_counted(count: int, unit: str) -> None:
    assert seconds(TypeAdapter(Duration).validate_python(f"{count}{unit}")) >= 0


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (CronExpression, "0 25 * * *", "is not a cron expression"),
        (TimeZone, "Europe/Atlantis", "is not a time zone; example: Europe/Berlin"),
    ],
)
def test_a_refusal_gives_an_example(kind: Any, value: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(kind).validate_python(value)


def test_specs_cannot_be_changed_by_accident() -> None:
    spec = RestoreSpec.model_validate(RESTORE)
    with pytest.raises(ValidationError):
        spec.mode = "Observe"  # type: ignore[misc]


def test_a_status_of_a_newer_operator_can_be_read() -> None:
    status = RestoreStatus.model_validate({"phase": "Running", "invented": {"later": True}, "conditions": []})
    assert status.phase == "Running"


def test_a_condition_needs_a_status_of_three() -> None:
    condition = {"type": "Ready", "status": "Maybe", "reason": "R", "lastTransitionTime": "2026-03-10T12:00:00Z"}
    with pytest.raises(ValidationError):
        Condition.model_validate(condition)


def test_the_connections_of_a_pod_are_those_of_all_its_workers() -> None:
    assert Connections(workers=4, pool_size=20, max_overflow=40).per_pod() == 240


def test_the_first_api_component_carries_the_migrations() -> None:
    web, second = BACKEND | {"name": "learn", "role": "web"}, BACKEND | {"name": "second"}
    spec = AadaLmsSpec.model_validate(LMS | {"components": [web, BACKEND, second]})
    assert spec.api_component().name == "backend"


@pytest.mark.parametrize(("text", "value"), [("1Ki", 1024), ("100Mi", 104857600), ("2Gi", 2147483648)])
def test_sizes_are_bytes(text: str, value: int) -> None:
    assert byte_count(text) == value


@pytest.mark.parametrize("text", ["", "0Mi", "1", "1M", "1.5Gi", "1000000Ki", "Mi", "1Ti"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        byte_count(text)
