"""What Prometheus is told of a SecretRotation."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.clock import from_rfc3339
from aada_operator.rotations.gauges import gauges

LABELS = {"lms": "aada", "type": "DatabasePassword"}


def samples(**status: Any) -> dict[str, float]:
    """The values by name; a further label is in it, as the step."""
    spec = {"lmsRef": {"name": "aada"}, "type": "DatabasePassword", "drainTimeout": "10m", "gracePeriod": "2h"}
    found = gauges({"spec": spec, "status": status})
    assert all(sample.labels.items() >= LABELS.items() for sample in found)
    return {
        sample.name + "".join(v for k, v in sample.labels.items() if k not in LABELS): sample.value for sample in found
    }


def conditions(**truths: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": truth} for kind, truth in truths.items()]


WELL = {"secret_rotation_failures": 0, "secret_rotation_stalled": 0}


def test_one_that_was_never_rotated_tells_that_nothing_failed() -> None:
    assert samples() == WELL


def test_one_that_the_operator_has_not_seen_yet_is_no_error() -> None:
    found = {sample.name: sample.value for sample in gauges({})}
    assert found == WELL


def test_one_that_needs_somebody_says_so() -> None:
    assert samples(conditions=conditions(Stalled="True", Ready="False")) == WELL | {"secret_rotation_stalled": 1}


def test_the_last_result_is_that_of_the_newest_one() -> None:
    found = samples(history=[{"result": "RolledBack"}, {"result": "Rotated"}])
    assert found == WELL | {"secret_rotation_last_resultRolledBack": 1}


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        ("True", {"secret_rotation_store_in_step": 1}),
        ("False", {"secret_rotation_store_in_step": 0}),
        ("Unknown", {}),  # it does not answer: nobody knows
    ],
)
def test_a_store_is_in_step_or_not(truth: str, told: dict[str, float]) -> None:
    assert samples(conditions=conditions(StoreInStep=truth)) == WELL | told


def test_times_are_seconds_since_1970() -> None:
    found = samples(lastRotation="1970-01-02T00:00:00Z", nextRotation="1970-02-01T00:00:00Z", failures=2)
    assert found == WELL | {
        "secret_rotation_last_timestamp_seconds": 86400,
        "secret_rotation_next_timestamp_seconds": 31 * 86400,
        "secret_rotation_failures": 2,
    }


def step(name: str, started: str = "", finished: str = "") -> dict[str, str]:
    """Times as 04:00:00 of one day."""
    times = {"startedAt": started, "finishedAt": finished}
    return {"name": name} | {field: f"1970-01-01T{time}Z" for field, time in times.items() if time}


def test_a_step_that_ended_tells_how_long_it_took_and_one_under_way_nothing() -> None:
    steps = [step("Publish", "04:00:00", "04:00:02"), step("Converge", "04:00:02"), step("Grace")]
    assert samples(steps=steps) == WELL | {"secret_rotation_step_secondsPublish": 2}


CONVERGED = [step("Claim", "00:00:00", "00:00:01"), step("Converge", "00:00:01", "00:05:00")]
AGAIN = [step("Claim", "00:00:00"), CONVERGED[1]]


@pytest.mark.parametrize(
    ("steps", "under_way", "deadline"),
    [
        ([step("Claim", "00:00:00", "00:00:01"), step("Converge", "00:00:01"), step("Grace")], "Converge", "00:10:01"),
        # The step itself lasts for the grace period; also when it began in the second in which the one before did.
        ([*CONVERGED, step("Grace", "00:05:00"), step("RetireOld")], "Grace", "02:15:00"),
        ([step("Converge", "00:05:00", "00:05:00"), step("Grace", "00:05:00")], "Grace", "02:15:00"),
        ([*CONVERGED, step("Grace", "00:05:00", "02:05:00"), step("RetireOld", "02:05:00")], "RetireOld", "02:15:00"),
        # Nothing began since the newest step was done, which was waited for.
        ([*CONVERGED, step("Grace", "00:05:00", "02:05:00"), step("RetireOld")], "RetireOld", "02:15:00"),
        # After the grace period it is claimed again, and others may be at work then.
        ([*AGAIN, step("Grace", "00:05:00")], "Claim", "02:15:00"),
        ([step("ClaimAgain", "00:00:00", "00:00:00"), step("Return", "00:01:00")], "Return", "00:11:00"),
    ],
)
def test_a_step_under_way_has_a_moment_at_which_it_should_have_ended(
    steps: list[dict[str, str]], under_way: str, deadline: str
) -> None:
    name = f"secret_rotation_step_deadline_timestamp_seconds{under_way}"
    assert samples(step=under_way, steps=steps)[name] == from_rfc3339(f"1970-01-01T{deadline}Z").timestamp()


@pytest.mark.parametrize("status", [{"step": "", "steps": CONVERGED}, {"step": "Keep", "steps": []}])
def test_at_rest_nothing_is_late(status: dict[str, Any]) -> None:
    assert not [name for name in samples(**status) if "deadline" in name]
