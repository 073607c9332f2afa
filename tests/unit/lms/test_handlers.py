"""What wakes an AadaLms, and what does not."""

from __future__ import annotations

from typing import Any

import kopf
import pytest

from aada_operator.core.resources import AADA_LMS, Object
from aada_operator.core.workqueue import Key
from aada_operator.lms import handlers

LMS = Key(AADA_LMS.plural, "school", "aada")


class Watch:
    """The API server's news of one BackupPolicy."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self.woken.append)
        self._told: Any = next(h.fn for h in registry._watching.get_all_handlers() if "policy" in str(h.id))

    async def tell(self, kind: str = "MODIFIED", generation: int = 1, **status: Any) -> list[Key]:
        """Who is woken by it."""
        self.woken.clear()
        await self._told(body=policy(generation, status), event={"type": kind})
        return list(self.woken)


def policy(generation: int, status: Object) -> Object:
    return {
        "apiVersion": "lms.aada.edu/v1alpha1",
        "kind": "BackupPolicy",
        "metadata": {"uid": "1", "namespace": "school", "name": "nightly", "generation": generation},
        "spec": {"lmsRef": {"name": "aada"}},
        "status": status,
    }


@pytest.fixture
async def watch() -> Watch:
    """One that has heard of the policy."""
    made = Watch()
    assert await made.tell("ADDED") == [LMS]
    return made


async def test_by_another_policy_by_a_completed_backup_and_when_the_policy_is_gone(watch: Watch) -> None:
    assert await watch.tell(generation=2) == [LMS]
    assert await watch.tell(generation=2, lastFull="2026-03-01T01:30:00Z") == [LMS]
    assert await watch.tell("DELETED", generation=2) == [LMS]


async def test_not_by_what_a_policy_says_of_its_work(watch: Watch) -> None:
    """It says it every few seconds while a backup runs, and an AadaLms asks for two dozen objects when it is woken."""
    assert await watch.tell(lastAttempt="2026-03-01T01:30:00Z", conditions=[{"message": "40 of 64 MB"}]) == []
