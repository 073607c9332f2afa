"""What wakes the reconciler of an AadaLms: the object itself, and policies that back it up."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""

    @kopf.on.event(GROUP, VERSION, AADA_LMS.plural, registry=registry)
    async def lms_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)

    @kopf.on.event(GROUP, VERSION, BACKUP_POLICIES.plural, registry=registry)
    async def policy_changed(body: kopf.Body, **_: object) -> None:
        lms = (body.get("spec") or {}).get("lmsRef") or {}
        if lms.get("name"):
            enqueue(Key(AADA_LMS.plural, str(body["metadata"]["namespace"]), str(lms["name"])))
