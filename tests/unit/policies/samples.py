"""Policies and the Backups that they know of, as tests need them: small, valid, changed by keyword."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.overlay import merged
from aada_operator.policies.world import KnownBackup
from tests.unit.backups.school import POLICY_SPEC


def spec(**patch: Any) -> BackupPolicySpec:
    """Every night, and no backup at once."""
    return BackupPolicySpec.model_validate(merged(POLICY_SPEC, {"immediate": False} | patch))


def at(text: str) -> datetime:
    """``01 02:00`` as a moment of March 2026."""
    return datetime.strptime(f"2026-03-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def known(name: str, phase: str, moment: datetime, *, verified: str = "Unknown", by_hand: bool = False,
          suspicious: str = "False", **status: Any) -> KnownBackup:  # fmt: skip
    """A Backup of a policy, of that moment; unless made by hand, by schedule."""
    text = to_rfc3339(moment)
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": text}
    if not by_hand:
        metadata |= {"labels": {"lms.aada.edu/policy": "p"}, "annotations": {"lms.aada.edu/scheduled-for": text}}
    told = {"Verified": verified, "SuspiciousSize": suspicious}
    conditions = [{"type": t, "status": s, "reason": "R", "lastTransitionTime": text} for t, s in told.items()]
    said = {"phase": phase, "completionTime": text, "recoverableFrom": text, "conditions": conditions}
    return KnownBackup({"metadata": metadata, "status": said | status})
