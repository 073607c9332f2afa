"""A key of any Secret is replaced, and a request says whether the application is well with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aada_operator.api.common import REVISION_PREFIX
from aada_operator.core.resources import DEPLOYMENTS, SECRET_ROTATIONS, SECRETS
from aada_operator.core.secret_versions import version_for_pods
from aada_operator.rotations import generic
from tests.unit.backups.api_server import custom_resource
from tests.unit.rotations.world import MARK, ROTATION, SECRET, World

SPEC: dict[str, Any] = {
    "type": "Generic",
    "secretRef": {"name": SECRET, "key": "jwt"},
    "generator": {"length": 20, "alphabet": "hex"},
}


async def test_the_key_gets_another_value_and_the_rest_stays() -> None:
    world = World(**SPEC)
    await world.turns()
    world.clock.advance(days=31)
    await world.turns()
    assert world.past() == ["Rotated"]
    after = world.secret()
    assert len(after["jwt"]) == 20
    assert set(after["jwt"]) <= set("0123456789abcdef")
    assert after["other"] == "left alone"
    assert all(keys == after for keys in world.pods.values())
    assert world.said() == "True Rotated"
    assert world.said("OldCredentialRevoked") == "Unknown NotProvable"
    assert world.revisions() == []


@pytest.mark.parametrize(("status", "end"), [(200, "Rotated"), (500, "RolledBack VerificationFailed"),
                                             (None, "RolledBack VerificationFailed")])  # fmt: skip
async def test_it_stays_only_if_the_application_answers(
    monkeypatch: pytest.MonkeyPatch, status: int | None, end: str
) -> None:
    asked = []

    async def answer(url: str) -> int | None:
        asked.append(url)
        return status

    monkeypatch.setattr(generic, "status_of", answer)
    world = World(**SPEC, verify={"component": "backend", "path": "/health"})
    await world.turns()
    world.clock.advance(days=31)
    await world.turns(120, seconds=30)
    assert world.past() == [end]
    assert set(asked) == {"http://aada-backend.school.svc:8000/health"}
    assert (world.secret()["jwt"] == "first-key") == (status != 200)
    assert all(keys == world.secret() for keys in world.pods.values())


async def test_two_keys_of_one_secret_have_rotations_of_their_own() -> None:
    world = World(**SPEC)
    other = dict(world.rotation["spec"]) | {"secretRef": {"name": SECRET, "key": "other"}}
    world.server.add(SECRET_ROTATIONS, custom_resource("SecretRotation", "another", other), age=timedelta(days=1))
    await world.turns()
    world.clock.advance(days=31)
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_the_way_back_leaves_other_keys_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_: str) -> int | None:
        live = world.server.read(SECRETS, SECRET)
        live["data"]["other"], live["metadata"]["resourceVersion"] = "bWVhbndoaWxl", f"{len(world.server.writes)}-x"
        return 500

    monkeypatch.setattr(generic, "status_of", answer)
    world = World(**SPEC, verify={"component": "backend"})
    await world.turns()
    world.clock.advance(days=31)
    await world.turns(120, seconds=30)
    assert world.past() == ["RolledBack VerificationFailed"]
    assert (world.secret()["jwt"], world.secret()["other"]) == ("first-key", "meanwhile")


async def test_a_component_that_is_not_there_leads_back() -> None:
    world = World(**SPEC, verify={"component": "nobody"})
    await world.turns()
    world.clock.advance(days=31)
    await world.turns()
    assert world.past() == ["RolledBack ComponentNotFound"]


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(moment: str, restart: bool) -> None:
    world = World(**SPEC, restart=restart)
    await world.turns()
    world.clock.advance(days=31)
    begun = len(world.server.writes)
    await world.turns()
    for number in range(len(world.server.writes) - begun):
        again = World(**SPEC, restart=restart)
        await again.turns()
        again.clock.advance(days=31)
        setattr(again.server, f"crash_{moment}", len(again.server.writes) + number)
        await again.turn()
        await again.turns()
        assert again.past() == ["Rotated"], number
        assert again.revisions() == []
        assert again.secret()["jwt"] != "first-key"


async def test_further_consumers_are_restarted_once_the_lms_has_changed_over() -> None:
    """On a small server a start of everything at once would take the processors from those who serve."""
    world = World(**SPEC, consumers=[{"kind": "Deployment", "name": "reports"}])
    source = {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "jwt"}}}]}
    template = {"spec": {"containers": [{"name": "reports"} | source]}}
    world.server.add(DEPLOYMENTS, {"metadata": {"name": "reports"}, "spec": {"replicas": 0, "template": template}})
    await world.turns()
    world.stuck = True
    world.clock.advance(days=31)
    await world.turns(until="Converge")
    await world.turn()
    assert MARK not in _annotations(world)
    world.stuck = False
    await world.turn()
    await world.turn()
    assert _annotations(world)[MARK] == f"{ROTATION}-r1"
    assert all(keys == world.secret() for keys in world.pods.values())


def _annotations(world: World) -> dict[str, str]:
    template = world.server.read(DEPLOYMENTS, "reports")["spec"]["template"]
    return dict((template.get("metadata") or {}).get("annotations") or {})


def started_with(world: World) -> tuple[str | None, dict[str, str]]:
    """What the AadaLms reads from the Secret for its pods: they are restarted when any of it is another."""
    live = world.server.read(SECRETS, SECRET)
    marks = live["metadata"].get("annotations") or {}
    return version_for_pods(live), {name: value for name, value in marks.items() if name.startswith(REVISION_PREFIX)}


async def test_without_a_restart_the_value_is_published_and_pods_keep_theirs() -> None:
    world = World(**SPEC, restart=False)
    await world.turns()
    before = started_with(world)
    for number in (1, 2):
        world.clock.advance(days=31)
        await world.turns()
        assert world.status["revision"] == number
        assert started_with(world) == before
    assert world.past() == ["Rotated", "Rotated"]
    assert world.status["strategy"] == "ReplaceOnly"
    assert "Converge" not in {step["name"] for step in world.status["steps"]}
    assert len(world.secret()["jwt"]) == 20
    assert {keys["jwt"] for keys in world.pods.values()} == {"first-key"}


async def test_without_a_restart_it_is_told_who_keeps_the_old_value() -> None:
    world = World(**SPEC, restart=False)
    await world.turns()
    assert world.told().startswith(f"key jwt of Secret {SECRET} is in use, not rotated yet")
    world.clock.advance(days=31)
    await world.turns()
    for kind, said in (("Ready", "True Rotated"), ("ConsumersConverged", "Unknown NotRestarted")):
        assert world.said(kind) == said
        assert "an environment keeps the old one until its pod restarts" in world.told(kind)


async def test_without_a_restart_the_way_back_restarts_nobody_either(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_: str) -> int | None:
        return 500

    monkeypatch.setattr(generic, "status_of", answer)
    world = World(**SPEC, restart=False, verify={"component": "backend"})
    await world.turns()
    before = started_with(world)
    world.clock.advance(days=31)
    await world.turns(120, seconds=30)
    assert world.past() == ["RolledBack VerificationFailed"]
    assert world.secret()["jwt"] == "first-key"
    assert started_with(world) == before


async def test_what_was_begun_without_a_restart_ends_so_and_the_next_one_restarts() -> None:
    world = World(**SPEC, restart=False)
    await world.turns()
    before = started_with(world)
    world.clock.advance(days=31)
    await world.turns(until="Generate")
    world.rotation["spec"]["restart"] = True
    await world.turns()
    assert started_with(world) == before
    world.clock.advance(days=31)
    await world.turns()
    assert (world.past(), world.status["strategy"]) == (["Rotated", "Rotated"], "Replace")
    assert started_with(world)[1] == {MARK: f"{ROTATION}-r2"}
    assert all(keys == world.secret() for keys in world.pods.values())
    world.rotation["spec"]["restart"] = False
    after = started_with(world)
    world.clock.advance(days=31)
    await world.turns()
    assert (world.status["revision"], started_with(world)) == (3, after)
