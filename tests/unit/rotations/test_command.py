"""A command in a pod of its own says whether the application is well with a new value; else the old one comes back."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.resources import DEPLOYMENTS, PODS, SECRET_ROTATIONS, Object
from aada_operator.lms import manifests as lms_manifests
from tests.unit.lms import samples as lms
from tests.unit.rotations.world import KEY, MARK, ROTATION, SECRET, VERIFYING, World

COMMAND = ["python", "-m", "app.check_mail"]
SPEC: dict[str, Any] = {
    "type": "Generic",
    "secretRef": {"name": SECRET, "key": "jwt"},
    "verify": {"component": "backend", "command": COMMAND},
}
APP = lms.spec({"components": [{"name": "backend", "args": ["--serve"]}]})


def serving() -> Object:
    """The Deployment of component backend as the AadaLms makes it, with a sidecar."""
    made = lms_manifests.deployment(lms.owner(), APP, APP.api_component(), {MARK: f"{ROTATION}-r0"})
    made["spec"]["template"]["spec"]["containers"].append({"name": "mesh", "args": ["proxy"]})
    return made


async def due(**spec: Any) -> World:
    """A rotation that begins now."""
    world = World(**SPEC | spec)
    world.server.add(DEPLOYMENTS, serving())
    await world.turns()
    world.clock.advance(days=31)
    return world


async def test_a_command_that_succeeds_keeps_the_new_value() -> None:
    world = await due()
    world.exit_code = 0
    await world.turns()
    assert world.past() == ["Rotated"]
    assert world.secret()["jwt"] != "first-key"
    assert world.status["proof"]["by"] == "command in a pod of backend: exit code 0"
    assert VERIFYING not in world.server.names(PODS)


async def test_it_runs_beside_the_pods_that_serve_with_the_new_value_and_without_users() -> None:
    world = await due()
    world.exit_code = 0
    await world.turns()
    (pod,) = world.commands
    assert pod["secret"] == world.secret()
    assert LABEL_COMPONENT not in pod["metadata"]["labels"], "a Service would find it"
    assert pod["metadata"]["labels"][LABEL_LMS] == "aada"
    assert pod["spec"]["restartPolicy"] == "Never"
    template = serving()["spec"]["template"]["spec"]
    backend, mesh = pod["spec"]["containers"]
    left = {"args", "ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"}
    assert left < template["containers"][0].keys()
    kept = {name: value for name, value in template["containers"][0].items() if name not in left}
    assert backend == kept | {"command": COMMAND}
    assert mesh == template["containers"][1], "what stands beside it may be needed"


@pytest.mark.parametrize("code", [1, 137])
async def test_a_command_that_fails_brings_the_old_value_back_and_tells_the_exit_code(code: int) -> None:
    world = await due()
    world.exit_code = code
    await world.turns()
    assert world.past() == ["RolledBack VerificationFailed"]
    assert f"exit code {code}" in world.told()
    assert world.secret()["jwt"] == "first-key"
    assert all(keys == world.secret() for keys in world.pods.values())
    assert VERIFYING not in world.server.names(PODS)
    assert "canary-output" not in f"{world.rotation} {world.server.writes}", "what it prints may hold a secret"


async def test_a_command_that_does_not_end_brings_the_old_value_back() -> None:
    world = await due(drainTimeout="5m")
    await world.turns(until="VerifyNew")
    await world.turn()
    assert world.said() == "Unknown VerifyNew"
    await world.turns(120, seconds=10)
    assert world.past() == ["RolledBack VerificationFailed"]
    assert "drainTimeout" in world.told()
    assert VERIFYING not in world.server.names(PODS)


async def verifying(status: Object) -> World:
    """A rotation whose pod with the command has that status."""
    world = await due()
    await world.turns(until="VerifyNew")
    await world.turn()
    world.server.read(PODS, VERIFYING)["status"] = status
    return world


async def test_a_pod_that_does_not_start_is_told_with_its_cause() -> None:
    world = await verifying(starting_with("RunContainerError"))
    await world.turns()
    assert world.past() == ["RolledBack VerificationFailed"]
    assert "container backend cannot start" in world.told()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [("ErrImagePull", "image lms"), ("CreateContainerConfigError", "container backend cannot start")],
)
async def test_an_image_or_a_secret_that_cannot_be_had_for_a_moment_is_waited_for_and_told(
    trouble: str, words: str
) -> None:
    world = await verifying(starting_with(trouble))
    await world.turn()
    assert (world.past(), words in world.told()) == ([], True)
    world.clock.advance(minutes=11)
    await world.turns()
    assert world.past() == ["RolledBack VerificationFailed"]
    assert words in world.told()


def starting_with(trouble: str) -> Object:
    """The status of a pod whose container waits for that."""
    return {"containerStatuses": [{"name": "backend", "image": "lms", "state": {"waiting": {"reason": trouble}}}]}


async def test_a_pod_that_its_node_lost_is_started_again() -> None:
    world = await verifying({"phase": "Failed", "reason": "Evicted"})
    world.exit_code = None
    await world.turn()
    assert VERIFYING not in world.server.names(PODS)
    world.exit_code = 0
    await world.turns()
    assert world.past() == ["Rotated"]


async def test_a_pod_of_somebody_else_is_left_alone() -> None:
    world = await due()
    world.server.add(PODS, {"metadata": {"name": VERIFYING}, "spec": {"containers": []}, "status": {}})
    await world.turns(until="VerifyNew")
    await world.turn()
    assert world.said() == "False NameTaken"
    await world.turns(120, seconds=10)
    assert VERIFYING in world.server.names(PODS)
    assert world.secret()["jwt"] == "first-key"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("code", "end"), [(0, "Rotated"), (3, "RolledBack VerificationFailed")])
async def test_a_kill_at_any_write_leads_to_the_same_end(moment: str, code: int, end: str) -> None:
    world = await due()
    world.exit_code = code
    begun = len(world.server.writes)
    await world.turns()
    for number in range(len(world.server.writes) - begun):
        again = await due()
        again.exit_code = code
        setattr(again.server, f"crash_{moment}", len(again.server.writes) + number)
        await again.turn()
        await again.turns()
        assert again.past() == [end], number
        assert VERIFYING not in again.server.names(PODS)
        assert (again.secret()["jwt"] == "first-key") == (code != 0)


async def test_a_lost_status_makes_it_run_again() -> None:
    world = await due()
    await world.turns(until="VerifyNew")
    world.exit_code = 0
    for _ in range(6):
        world.rotation.pop("status", None)
        await world.turn()
    await world.turns()
    assert world.past()[0] == "Rotated"
    assert VERIFYING not in world.server.names(PODS)


async def test_a_rotation_that_is_deleted_meanwhile_takes_its_pod_along() -> None:
    world = await due()
    await world.turns(until="VerifyNew")
    await world.turn()
    assert VERIFYING in world.server.names(PODS)
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    for _ in range(20):
        world.run_pods()
        await world.controller.visit(KEY)
    assert ROTATION not in world.server.names(SECRET_ROTATIONS)
    assert VERIFYING not in world.server.names(PODS)
    assert world.secret()["jwt"] == "first-key"
