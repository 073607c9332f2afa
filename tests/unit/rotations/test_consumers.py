"""Workloads beside the LMS that a rotation names, and runs of Jobs: who is refused, and who is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.resources import CRON_JOBS, DEPLOYMENTS, STATEFUL_SETS, ApiResource, Object
from tests.unit.rotations.job_runs import begin_run, pod_spec
from tests.unit.rotations.test_generic import SPEC as GENERIC
from tests.unit.rotations.world import MARK, ROTATION, SECRET, World

KINDS = (DEPLOYMENTS, STATEFUL_SETS, CRON_JOBS)


def consumer(world: World, kind: ApiResource, secret: str = SECRET) -> Object:
    """A workload without pods that uses a Secret."""
    spec: Object = {"template": {"spec": pod_spec(secret)}}
    spec = {"jobTemplate": {"spec": spec}} if kind == CRON_JOBS else spec | {"replicas": 0}
    return world.server.add(kind, {"metadata": {"name": "reports"}, "spec": spec, "status": {"observedGeneration": 1}})


def due(kind: ApiResource, **spec: Any) -> World:
    """A rotation with a consumer, to be begun now."""
    world = World(**GENERIC | {"consumers": [{"kind": kind.kind, "name": "reports"}]} | spec)
    world.clock.advance(days=31)
    return world


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_a_consumer_that_is_missing_is_waited_for_and_nothing_is_touched(kind: ApiResource) -> None:
    world = due(kind)
    await world.turn()
    assert world.said() == "False ConsumerNotFound"
    assert world.told() == f"consumers: {kind.kind} reports does not exist: make it, or take it off the list"
    assert world.said("Stalled").startswith("False")
    assert world.secret()["jwt"] == "first-key"
    assert world.revisions() == []
    consumer(world, kind)
    await world.turns()
    assert world.past() == ["Rotated"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_a_consumer_that_does_not_use_the_secret_is_refused(kind: ApiResource) -> None:
    world = due(kind)
    consumer(world, kind, "another")
    await world.turn()
    assert world.said("Stalled") == "True ConsumerUnrelated"
    assert f"consumers: {kind.kind} reports does not use Secret {SECRET}" in world.told("Stalled")
    assert world.secret()["jwt"] == "first-key"
    assert world.revisions() == []


async def test_a_consumer_that_is_deleted_in_the_middle_leads_back() -> None:
    world = due(DEPLOYMENTS)
    consumer(world, DEPLOYMENTS)
    world.stuck = True
    await world.turns(until="Converge")
    world.server.remove(DEPLOYMENTS, "reports")
    world.stuck = False
    for _ in range(120):
        await world.turn()
        world.clock.advance(seconds=10)
    assert world.secret()["jwt"] == "first-key"
    assert "False ConsumerNotFound" in (world.said(), world.said("Rotating")), world.told()
    consumer(world, DEPLOYMENTS)
    await world.turns()
    assert world.past() == ["RolledBack ConsumerNotFound"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_a_consumer_is_given_the_revision_by_name_and_once(kind: ApiResource) -> None:
    world = due(kind)
    made = consumer(world, kind)
    await world.turns()
    assert world.past() == ["Rotated"]
    spec = made["spec"]["jobTemplate"]["spec"] if kind == CRON_JOBS else made["spec"]
    assert spec["template"]["metadata"]["annotations"] == {MARK: f"{ROTATION}-r1"}
    assert world.server.writes.count(f"patch {kind.plural}/reports") == 1


async def test_a_key_is_accepted_until_a_run_that_signs_with_it_has_ended() -> None:
    world = World(type="JwtSigningKey", schedule="0 4 20 * *")
    await world.turns()
    world.clock.advance(days=20)
    run = begin_run(world.server, world.clock, SECRET)
    await world.turns(until="Grace")
    world.clock.advance(hours=5)
    for _ in range(5):
        await world.turn()
    assert "until these pods of Jobs have ended: report-1" in world.told()
    assert "first-key" in world.secret()["accepted"]
    run["status"]["phase"] = "Failed"
    await world.turns()
    assert world.past() == ["Rotated"]
    assert world.secret()["accepted"] == ""


async def test_a_run_from_after_the_publication_is_not_waited_for() -> None:
    world = World(type="JwtSigningKey", schedule="0 4 20 * *")
    await world.turns()
    world.clock.advance(days=20)
    await world.turns(until="Grace")
    world.clock.advance(minutes=16)
    begin_run(world.server, world.clock, SECRET)
    await world.turns()
    assert world.past() == ["Rotated"]
