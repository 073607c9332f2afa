"""A SecretRotation as metrics, read off the object alone."""

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object


def gauges(body: Object) -> list[Sample]:
    """The samples of one SecretRotation: its credential's age as a time, the next one, failures, steps."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    labels = {"lms": str((spec.get("lmsRef") or {}).get("name", "")), "type": str(spec.get("type", ""))}
    samples = [
        Sample(
            "secret_rotation_failures",
            "Rotations rolled back since the last one that succeeded.",
            float(status.get("failures", 0)),
            labels,
        )
    ]
    for field, name, told in (
        ("lastRotation", "secret_rotation_last_timestamp_seconds", "When the credential came into use."),
        ("nextRotation", "secret_rotation_next_timestamp_seconds", "When it is due again."),
    ):
        if status.get(field):
            samples.append(Sample(name, told, from_rfc3339(status[field]).timestamp(), labels))
    for step in status.get("steps") or []:
        if step.get("startedAt") and step.get("finishedAt"):
            took = (from_rfc3339(step["finishedAt"]) - from_rfc3339(step["startedAt"])).total_seconds()
            name = "secret_rotation_step_seconds"
            samples.append(Sample(name, "Time of a step of the newest one.", took, labels | {"step": step["name"]}))
    return samples
