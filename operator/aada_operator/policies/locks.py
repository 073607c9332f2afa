"""Whether a policy's backups are locked against deletion, and whether that fits its retention; pure."""

from datetime import timedelta

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.core.conditions import Truth


def verdict(spec: BackupPolicySpec) -> tuple[Truth, str, str]:
    """Status, reason and message of the condition: which places lock, for how long."""
    locks = {place.name: place.s3.object_lock for place in spec.storage if place.s3.object_lock}
    if not locks:
        message = "whoever has the bucket's keys can delete all backups: objectLock in spec.storage prevents that"
        return "Unknown", "NotLocked", message
    told = ", ".join(f"{name} for {lock.days} days ({lock.mode})" for name, lock in locks.items())
    days = max(lock.days for lock in locks.values())
    age = spec.retention.max_age if spec.retention else None
    if age and timedelta(days=days) > timedelta(seconds=seconds(age)):
        message = f"objects are locked in {told}, which is longer than retention.maxAge, {age}: they stay until then"
        return "True", "LockOutlastsRetention", message
    return "True", "Locked", f"objects are locked in {told}"
