"""What wakes a SecretRotation and its AadaLms, and what does not."""

from __future__ import annotations

from typing import Any

import kopf

from aada_operator.core.resources import AADA_LMS, SECRET_ROTATIONS, Object
from aada_operator.core.workqueue import Key
from aada_operator.rotations import handlers

ROTATION, LMS = Key(SECRET_ROTATIONS.plural, "school", "login"), Key(AADA_LMS.plural, "school", "aada")


class Watch:
    """The API server's news of one SecretRotation."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self.woken.append)
        (handler,) = registry._watching.get_all_handlers()
        self._told: Any = handler.fn

    async def tell(self, kind: str = "MODIFIED", **body: Any) -> list[Key]:
        """Who is woken by it."""
        self.woken.clear()
        await self._told(body=rotation(**body), event={"type": kind})
        return list(self.woken)


def rotation(status: Object | None = None, generation: int = 1, **metadata: Any) -> Object:
    named = {"uid": "1", "namespace": "school", "name": "login", "generation": generation}
    return {
        "apiVersion": "lms.aada.edu/v1alpha1",
        "kind": "SecretRotation",
        "metadata": named | metadata,
        "spec": {"lmsRef": {"name": "aada"}},
        "status": status or {},
    }


async def test_both_when_it_is_made_and_when_it_is_gone() -> None:
    watch = Watch()
    assert await watch.tell("ADDED") == [ROTATION, LMS]
    assert await watch.tell("DELETED") == [ROTATION, LMS]


async def test_nobody_by_a_message_that_counts_sessions() -> None:
    """It would count them again at once, and say another number: a loop that never rests."""
    watch = Watch()
    await watch.tell(status={"step": "Converge", "conditions": [{"message": "9 sessions"}]})
    assert await watch.tell(status={"step": "Converge", "conditions": [{"message": "8 sessions"}]}) == []


async def test_the_application_by_a_step_and_by_a_revision() -> None:
    watch = Watch()
    await watch.tell(status={"step": "Publish", "revision": 1})
    assert await watch.tell(status={"step": "Converge", "revision": 1}) == [LMS]
    assert await watch.tell(status={"step": "Converge", "revision": 2}) == [LMS]


async def test_it_by_who_asks_for_a_rotation_edits_or_deletes_it() -> None:
    watch = Watch()
    await watch.tell()
    assert ROTATION in await watch.tell(annotations={"lms.aada.edu/rotate-at": "2026-03-01T04:00:00Z"})
    assert ROTATION in await watch.tell(generation=2)
    assert ROTATION in await watch.tell(generation=2, deletionTimestamp="2026-03-01T04:00:00Z")
