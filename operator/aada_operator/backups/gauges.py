"""A Backup as metrics, read off the object alone."""

from aada_operator.core.backups import policy_name
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object


def gauges(body: Object) -> list[Sample]:
    """The samples of one Backup: its phase always, sizes and time once it is completed."""
    status = body.get("status") or {}
    labels = {"policy": policy_name(body), "lms": status.get("lms", "")}
    samples = [Sample("backups", "Backups by phase.", 1.0, labels | {"phase": status.get("phase") or "Pending"})]
    if status.get("phase") != "Completed":
        return samples
    took = from_rfc3339(status["completionTime"]) - from_rfc3339(status["startTime"])
    samples.append(Sample("backup_duration_seconds", "First try to manifest.", took.total_seconds(), labels))
    for kind, field in (("database", "sizeBytes"), ("stored", "storedBytes")):
        value = float(status.get(field, 0))
        samples.append(Sample("backup_size_bytes", "Bytes of a backup.", value, labels | {"kind": kind}))
    return samples
