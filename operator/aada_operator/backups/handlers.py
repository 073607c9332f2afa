"""What wakes a Backup: its own changes, and what its policy says of it. Jobs are watched by the app."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""

    @kopf.on.event(GROUP, VERSION, BACKUPS.plural, registry=registry)
    async def backup_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)

    @kopf.on.event(GROUP, VERSION, BACKUP_POLICIES.plural, registry=registry)
    async def policy_asked(body: kopf.Body, **_: object) -> None:
        status = body.get("status") or {}
        request = status.get("verificationRequest") or {}
        names = {request.get("backupName"), request.get("olderName")}
        names.add((status.get("suspect") or {}).get("backupName"))
        names.add((status.get("copies") or {}).get("backupName"))
        names |= set((status.get("retention") or {}).get("expired", ()))
        names |= set((status.get("uploads") or {}).get("backups", ()))
        for name in filter(None, names):
            enqueue(Key(BACKUPS.plural, str(body["metadata"]["namespace"]), str(name)))
