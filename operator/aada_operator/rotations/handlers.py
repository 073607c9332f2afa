"""What wakes a SecretRotation: its own changes. They wake its AadaLms, too, which restarts the pods."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.resources import AADA_LMS, SECRET_ROTATIONS, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watch."""

    @kopf.on.event(GROUP, VERSION, SECRET_ROTATIONS.plural, registry=registry)
    async def rotation_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)
        lms = (body.get("spec") or {}).get("lmsRef") or {}
        if lms.get("name"):
            enqueue(Key(AADA_LMS.plural, str(body["metadata"]["namespace"]), str(lms["name"])))
