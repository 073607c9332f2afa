"""What wakes the reconciler of an AadaLms: the object itself, and what it reads of the policies that back it up."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.news import News
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""
    read = News()

    @kopf.on.event(GROUP, VERSION, AADA_LMS.plural, registry=registry)
    async def lms_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)

    @kopf.on.event(GROUP, VERSION, BACKUP_POLICIES.plural, registry=registry)
    async def policy_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        key, lms = key_of(dict(body)), (body.get("spec") or {}).get("lmsRef") or {}
        if key and lms.get("name") and read.is_new(key, event["type"], _reads(body)):
            enqueue(Key(AADA_LMS.plural, key.namespace, str(lms["name"])))


def _reads(body: kopf.Body) -> object:
    """What an AadaLms says of a policy: what was promised, and when the newest backup was completed."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), (body.get("status") or {}).get("lastFull")
