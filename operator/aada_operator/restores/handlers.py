"""What wakes a Restore: its own changes. Its Jobs are watched by the app; what it waits for, it asks for again."""

from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.resources import RESTORES, key_of
from aada_operator.core.workqueue import Key


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watch."""

    @kopf.on.event(GROUP, VERSION, RESTORES.plural, registry=registry)
    async def restore_changed(body: kopf.Body, **_: object) -> None:
        if key := key_of(dict(body)):
            enqueue(key)
