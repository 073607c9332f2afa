"""A BackupPolicy as metrics, read off the object alone."""

from aada_operator.api.common import seconds
from aada_operator.core.clock import Clock
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import Object
from aada_operator.policies.world import moment_or_none


def gauges(body: Object, clock: Clock) -> list[Sample]:
    """The samples of one policy; an age is that of the visit, which is at most a resync ago."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    labels = {"policy": body["metadata"]["name"], "lms": (spec.get("lmsRef") or {}).get("name", "")}
    point = moment_or_none(status.get("recoveryPoint"))
    objective = _span((spec.get("objectives") or {}).get("rpo"))
    found = [
        ("schedule_next_timestamp_seconds", "Next slot of the schedule.", _stamp(status, "next")),
        ("schedule_missed_total", "Slots that passed without a backup.", float(status.get("missedSlots", 0))),
        ("schedule_kept", "0 from a missed slot to the next completed backup.", 0.0 if "missedAt" in status else 1.0),
        ("rpo_seconds", "Age of the newest recovery point.", (clock.now() - point).total_seconds() if point else None),
        ("rpo_target_seconds", "Most data, in time, that may be lost.", objective),
        ("rpo_worst_case_seconds", "Most that may be lost by schedule.", _span(status.get("rpoWorstCase"))),
        ("rto_measured_seconds", "Restore time that was measured last.", _span(status.get("rtoMeasured"))),
        ("verification_last_success_timestamp_seconds", "Last passed verification.", _stamp(status, "lastVerified")),
        ("retention_deleted_total", "Backups that retention deleted.", _number(status, "retention", "deleted")),
        ("orphan_bytes", "Bytes in the bucket that belong to no backup.", _number(status, "collection", "orphanBytes")),
    ]
    found += [
        ("copies_behind", "Completed backups that are not in the second place.", _number(status, "copies", "behind")),
        ("copy_last_success_timestamp_seconds", "Last completed copy.", _stamp(status.get("copies", {}), "lastCopied")),
    ]
    found += _uploads(spec.get("uploads"), status)
    plain = [Sample(name, text, value, labels) for name, text, value in found if value is not None]
    return [*_last_success(status, labels), *plain]


def _uploads(declared: Object | None, status: Object) -> list[tuple[str, str, float | None]]:
    if declared is None:
        return []
    known = status.get("uploads") or {}
    return [
        ("uploads_last_sync_timestamp_seconds", "What was uploaded before is copied.", _stamp(known, "lastSync")),
        ("uploads_interval_seconds", "How often users' files are copied.", _span(declared.get("interval", "5m"))),
        ("uploads_files", "Users' files in their bucket.", _number(status, "uploads", "files")),
        ("uploads_bytes", "Bytes of users' files in their bucket.", _number(status, "uploads", "bytes")),
        ("uploads_unsettled_files", "Files that the last copy left out.", _number(status, "uploads", "unsettled")),
    ]


def _last_success(status: Object, labels: dict[str, str]) -> list[Sample]:
    name, text = "backup_last_success_timestamp_seconds", "Completion of the newest backup."
    moments = {"Full": _stamp(status, "lastFull"), "Incremental": _stamp(status, "lastIncremental")}
    return [Sample(name, text, value, labels | {"type": kind}) for kind, value in moments.items() if value is not None]


def _number(status: Object, part: str, field: str) -> float | None:
    """A number in a part of the status, None where the part is not there."""
    return float(status[part].get(field, 0)) if part in status else None


def _stamp(status: Object, field: str) -> float | None:
    moment = moment_or_none(status.get(field))
    return moment.timestamp() if moment else None


def _span(duration: str | None) -> float | None:
    """Seconds of a duration; None for none, and for one that an invalid spec holds."""
    try:
        return seconds(duration) if duration else None
    except ValueError:
        return None
