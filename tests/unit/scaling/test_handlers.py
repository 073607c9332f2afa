"""What wakes a ScalingPolicy and its AadaLms, and what is no news to them."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from aada_operator.api.common import API_VERSION
from aada_operator.core.resources import Object
from aada_operator.core.workqueue import Key
from aada_operator.scaling import handlers
from tests.unit.scaling.samples import TARGET

POLICY, LMS = Key("scalingpolicies", "school", "backend"), Key("aadalms", "school", "aada")


class Watches:
    """The watches of one operator."""

    def __init__(self) -> None:
        registry = kopf.OperatorRegistry()
        self.woken: list[Key] = []
        handlers.register(registry, self.woken.append)
        self.handlers: dict[str, Any] = {
            getattr(one.fn, "__name__", ""): one.fn for one in registry._watching.get_all_handlers()
        }

    def see(self, body: Object, kind: str | None = "MODIFIED") -> list[Key]:
        """A change of a policy, or of a Deployment; returns who was woken by it."""
        self.woken.clear()
        name = "policy_changed" if body["kind"] == "ScalingPolicy" else "deployment_changed"
        asyncio.run(self.handlers[name](body=body, event={"type": kind}))
        return list(self.woken)


@pytest.fixture
def watches() -> Watches:
    made = Watches()
    assert made.see(policy(), None) == [POLICY, LMS], "whatever is there at the start is looked at"
    return made


def policy(status: Object | None = None, **metadata: Any) -> Object:
    named = {"name": "backend", "namespace": "school", "uid": "1", "generation": 1} | metadata
    return {"apiVersion": API_VERSION, "kind": "ScalingPolicy", "metadata": named, "spec": {"target": TARGET},
            "status": status or {}}  # fmt: skip


def test_its_own_status_is_no_news(watches: Watches) -> None:
    """Each visit that writes one would be followed by another, and by one of the AadaLms."""
    assert watches.see(policy({"current": 3, "phase": "Scaling"})) == []


def test_an_aadalms_hears_how_far_it_is_scaled(watches: Watches) -> None:
    assert watches.see(policy({"max": 4})) == [LMS]
    assert watches.see(policy({"max": 4, "current": 4})) == []


def test_an_annotation_asks_the_policy_alone(watches: Watches) -> None:
    assert watches.see(policy(annotations={"lms.aada.edu/reconcile-at": "now"})) == [POLICY]


@pytest.mark.parametrize(
    "change", [{"generation": 2}, {"deletionTimestamp": "2026-03-01T00:00:00Z"}, {"uid": "2"}], ids=str
)
def test_what_people_change_wakes_both(watches: Watches, change: Object) -> None:
    assert watches.see(policy(**change)) == [POLICY, LMS]
    assert watches.see(policy(**change)) == []


def test_one_that_is_gone_wakes_both_and_is_new_when_it_comes_back(watches: Watches) -> None:
    assert watches.see(policy(), "DELETED") == [POLICY, LMS]
    assert watches.see(policy(), "ADDED") == [POLICY, LMS]


def test_every_change_of_its_deployment_wakes_it(watches: Watches) -> None:
    labels = {"lms.aada.edu/lms": "aada", "lms.aada.edu/component": "backend"}
    deployment = {"kind": "Deployment", "metadata": {"namespace": "school", "labels": labels}}
    assert watches.see(deployment) == watches.see(deployment) == [POLICY]
    watches.see(policy(), "DELETED")
    assert watches.see(deployment) == []
