"""A SecretRotation as metrics, read off the object alone."""

from datetime import datetime, timedelta

from aada_operator.api.common import seconds
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import STALLED, condition_of
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object
from aada_operator.rotations.store import IN_STEP

_MOMENTS = (
    ("lastRotation", "secret_rotation_last_timestamp_seconds", "When the credential came into use."),
    ("nextRotation", "secret_rotation_next_timestamp_seconds", "When it is due again."),
)


def gauges(body: Object) -> list[Sample]:
    """The samples of one SecretRotation: its credential's age as a time, results, steps, and what somebody must see."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    labels = {"lms": str((spec.get("lmsRef") or {}).get("name", "")), "type": str(spec.get("type", ""))}
    failures, stalled = float(status.get("failures", 0)), float(condition_of(body, STALLED) == "True")
    samples = [
        Sample(
            "secret_rotation_failures", "Rotations rolled back since the last one that succeeded.", failures, labels
        ),
        Sample("secret_rotation_stalled", "1 while it needs somebody to change something.", stalled, labels),
    ]
    if status.get("history"):
        told, result = "The result of the newest one that ended.", str(status["history"][0]["result"])
        samples.append(Sample("secret_rotation_last_result", told, 1.0, labels | {"result": result}))
    if (in_step := condition_of(body, IN_STEP)) != "Unknown":
        told = "0 while the store has another login than the Secret."
        samples.append(Sample("secret_rotation_store_in_step", told, float(in_step == "True"), labels))
    for field, name, told in _MOMENTS:
        if status.get(field):
            samples.append(Sample(name, told, from_rfc3339(status[field]).timestamp(), labels))
    return [*samples, *_steps(spec, status, labels)]


def _steps(spec: Object, status: Object, labels: dict[str, str]) -> list[Sample]:
    samples = []
    for step in status.get("steps") or []:
        if step.get("startedAt") and step.get("finishedAt"):
            took = (from_rfc3339(step["finishedAt"]) - from_rfc3339(step["startedAt"])).total_seconds()
            name = "secret_rotation_step_seconds"
            samples.append(Sample(name, "Time of a step of the newest one.", took, labels | {"step": step["name"]}))
    if deadline := _deadline(spec, status):
        name, told = "secret_rotation_step_deadline_timestamp_seconds", "When the step under way should have ended."
        samples.append(Sample(name, told, deadline.timestamp(), labels | {"step": str(status["step"])}))
    return samples


def _deadline(spec: Object, status: Object) -> datetime | None:
    """``drainTimeout`` after the newest progress, and after the grace period if that is waited for.

    An earlier step may be the one under way, as a claim that has to be made again after the grace period: it is in
    time as long as the newest one is.
    """
    begun = [step for step in status.get("steps") or [] if step.get("startedAt")]
    if not (status.get("step") and begun):
        return None
    newest = max(reversed(begun), key=lambda step: str(step["startedAt"]))
    progress = max(str(step[field]) for step in begun for field in ("startedAt", "finishedAt") if step.get(field))
    waits = newest["name"].startswith("Grace") and not newest.get("finishedAt")
    grace = _span(spec, "grace_period") if waits else timedelta()
    return from_rfc3339(progress) + grace + _span(spec, "drain_timeout")


def _span(spec: Object, field: str) -> timedelta:
    known = SecretRotationSpec.model_fields[field]
    return timedelta(seconds=seconds(spec.get(str(known.alias), known.default)))
