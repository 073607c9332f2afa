"""A Backup as metrics, read off the object alone."""

from aada_operator.api.backup import SUSPICIOUS_SIZE
from aada_operator.core.backups import policy_name
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import condition_of
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object


def gauges(body: Object) -> list[Sample]:
    """The samples of one Backup: its phase and failed attempts always, sizes and time once it is completed."""
    status = body.get("status") or {}
    labels = {"policy": policy_name(body), "lms": status.get("lms", "")}
    samples = [Sample("backups", "Backups by phase.", 1.0, labels | {"phase": status.get("phase") or "Pending"})]
    failed = float(_failed_attempts(status))
    samples.append(Sample("backup_failed_attempts", "Attempts of a backup that failed.", failed, labels))
    if status.get("phase") != "Completed":
        return samples
    suspicious = float(condition_of(body, SUSPICIOUS_SIZE) == "True")
    text = "1: less than half as large as the one before."
    samples.append(Sample("backup_suspicious_size", text, suspicious, labels))
    took = from_rfc3339(status["completionTime"]) - from_rfc3339(status["startTime"])
    samples.append(Sample("backup_duration_seconds", "First try to manifest.", took.total_seconds(), labels))
    for kind, field in (("database", "sizeBytes"), ("stored", "storedBytes")):
        value = float(status.get(field, 0))
        samples.append(Sample("backup_size_bytes", "Bytes of a backup.", value, labels | {"kind": kind}))
    return samples


def _failed_attempts(status: Object) -> int:
    """How many attempts of a Backup have failed so far: all but the one that runs, or was the last and did not."""
    present = 0 if status.get("phase") == "Failed" or "nextAttempt" in status else 1
    return max(0, int(status.get("attempt", 0)) - present)
