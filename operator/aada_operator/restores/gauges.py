"""A Restore as metrics, read off the object alone."""

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object


def gauges(body: Object) -> list[Sample]:
    """The samples of one Restore: its phase always, its time once it is completed."""
    status = body.get("status") or {}
    samples = [Sample("restores", "Restores by phase.", 1.0, {"phase": status.get("phase") or "Pending"})]
    if status.get("phase") == "Completed":
        took = from_rfc3339(status["completionTime"]) - from_rfc3339(status["startTime"])
        samples.append(Sample("restore_duration_seconds", "First try to equal content.", took.total_seconds()))
    return samples
