"""The Backup objects that a schedule makes."""

from datetime import datetime

from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR
from aada_operator.api.common import API_VERSION, LABEL_LMS, LABEL_POLICY
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object


def backup_name(policy: str, slot: datetime) -> str:
    """The one name of a slot's full backup: whoever makes it a second time meets the first."""
    return f"{policy}-full-{slot:%Y%m%dt%H%Mz}"


def backup(namespace: str, policy: str, lms: str, slot: datetime) -> Object:
    """The Backup of a slot (in UTC). It has no owner: deleting the policy must leave it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Backup",
        "metadata": {
            "namespace": namespace,
            "name": backup_name(policy, slot),
            "labels": {LABEL_LMS: lms, LABEL_POLICY: policy},
            "annotations": {ANNOTATION_SCHEDULED_FOR: to_rfc3339(slot)},
        },
        "spec": {"policyRef": {"name": policy}, "type": "Full"},
    }
