"""What wakes a BackupPolicy: its own changes, and those of its Backups."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""

    @kopf.on.event(GROUP, VERSION, BACKUP_POLICIES.plural, registry=registry)
    async def policy_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)

    @kopf.on.event(GROUP, VERSION, BACKUPS.plural, registry=registry)
    async def backup_changed(body: kopf.Body, **_: object) -> None:
        policy = (body.get("spec") or {}).get("policyRef") or {}
        if policy.get("name"):
            enqueue(Key(BACKUP_POLICIES.plural, str(body["metadata"]["namespace"]), str(policy["name"])))
