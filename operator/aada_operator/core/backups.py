"""Backup objects that the operator makes itself; pure."""

from aada_operator.api.backup import BackupType
from aada_operator.api.common import API_VERSION, LABEL_LMS, LABEL_POLICY
from aada_operator.core.resources import BACKUPS, Object


def policy_name(backup: Object) -> str:
    """Name of a Backup's policy, empty for an imported one."""
    return str((backup["spec"].get("policyRef") or {}).get("name", ""))


def backup(namespace: str, policy: str, lms: str, name: str, kind: BackupType, annotations: dict[str, str]) -> Object:
    """A Backup by its name. It has no owner: it outlives whatever had it made."""
    return {
        "apiVersion": API_VERSION,
        "kind": BACKUPS.kind,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {LABEL_LMS: lms, LABEL_POLICY: policy},
            "annotations": annotations,
        },
        "spec": {"policyRef": {"name": policy}, "type": kind},
    }
