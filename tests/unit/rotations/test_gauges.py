"""What Prometheus is told of a SecretRotation."""

from __future__ import annotations

from typing import Any

from aada_operator.rotations.gauges import gauges

LABELS = {"lms": "aada", "type": "DatabasePassword"}


def samples(**status: Any) -> dict[str, float]:
    """The values by name; that of a step has the step in its name."""
    spec = {"lmsRef": {"name": "aada"}, "type": "DatabasePassword"}
    found = gauges({"spec": spec, "status": status})
    assert all(sample.labels.items() >= LABELS.items() for sample in found)
    return {f"{sample.name}{sample.labels.get('step', '')}": sample.value for sample in found}


def test_one_that_was_never_rotated_tells_that_nothing_failed() -> None:
    assert samples() == {"secret_rotation_failures": 0}


def test_one_that_the_operator_has_not_seen_yet_is_no_error() -> None:
    (sample,) = gauges({})
    assert (sample.name, sample.labels) == ("secret_rotation_failures", {"lms": "", "type": ""})


def test_times_are_seconds_since_1970() -> None:
    found = samples(lastRotation="1970-01-02T00:00:00Z", nextRotation="1970-02-01T00:00:00Z", failures=2)
    assert found == {
        "secret_rotation_last_timestamp_seconds": 86400,
        "secret_rotation_next_timestamp_seconds": 31 * 86400,
        "secret_rotation_failures": 2,
    }


def test_a_step_that_ended_tells_how_long_it_took_and_one_under_way_nothing() -> None:
    found = samples(
        steps=[
            {"name": "Publish", "startedAt": "2026-03-01T04:00:00Z", "finishedAt": "2026-03-01T04:00:02Z"},
            {"name": "Converge", "startedAt": "2026-03-01T04:00:02Z"},
            {"name": "Grace"},
        ]
    )
    assert found == {"secret_rotation_failures": 0, "secret_rotation_step_secondsPublish": 2}
