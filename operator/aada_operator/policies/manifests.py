"""The Backup objects that a schedule makes."""

from datetime import datetime

from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR, BackupType
from aada_operator.api.common import API_VERSION, LABEL_LMS, LABEL_POLICY
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object

_SHORT: dict[BackupType, str] = {"Full": "full", "Incremental": "incr"}


def backup_name(policy: str, slot: datetime, kind: BackupType) -> str:
    """The one name of a slot's backup: whoever makes it a second time meets the first."""
    return f"{policy}-{_SHORT[kind]}-{slot:%Y%m%dt%H%Mz}"


def backup(namespace: str, policy: str, lms: str, slot: datetime, kind: BackupType) -> Object:
    """The Backup of a slot (in UTC). It has no owner: deleting the policy must leave it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Backup",
        "metadata": {
            "namespace": namespace,
            "name": backup_name(policy, slot, kind),
            "labels": {LABEL_LMS: lms, LABEL_POLICY: policy},
            "annotations": {ANNOTATION_SCHEDULED_FOR: to_rfc3339(slot)},
        },
        "spec": {"policyRef": {"name": policy}, "type": kind},
    }
