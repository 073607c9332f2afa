"""What wakes a SecretRotation: what people say with it. Its steps wake its AadaLms, too, which restarts the pods."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.news import News, asks, works
from aada_operator.core.resources import AADA_LMS, SECRET_ROTATIONS, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watch."""
    asked, worked = News(), News()

    # Sessions come and go: a status that counts them is another at each visit.
    @kopf.on.event(GROUP, VERSION, SECRET_ROTATIONS.plural, registry=registry)
    async def rotation_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        key, kind = key_of(dict(body)), event["type"]
        if key is None:
            return
        if asked.is_new(key, kind, asks(body)):
            enqueue(key)
        lms = (body.get("spec") or {}).get("lmsRef") or {}
        if lms.get("name") and worked.is_new(key, kind, works(body)):
            enqueue(Key(AADA_LMS.plural, key.namespace, str(lms["name"])))
