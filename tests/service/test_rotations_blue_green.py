"""BlueGreen beside the AadaLms itself, which points its Service at the pods that the rotation says."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from aada_operator.core.resources import AADA_LMS, DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, SERVICES
from tests.service.operator_kills import Killer
from tests.service.rotation_world import RotationWorld

KEYS, GREEN = "lms-keys", "login-green-backend"
MARK = "rotation.lms.aada.edu/login"


async def school_with_one_key(school: RotationWorld, **spec: Any) -> None:
    """An LMS whose application knows one key only, and a rotation that is due."""
    school.server.secret(KEYS, jwt="first-key")
    connections = {"workers": 1, "poolSize": 5, "maxOverflow": 0}
    component = {"name": "backend", "role": "api", "image": "lms", "command": ["serve"], "connections": connections}
    variable = {"name": "JWT_SECRET_KEY", "secretRef": {"name": KEYS, "key": "jwt"}}
    school.create(secrets=[variable], components=[component])
    await school.settle()
    school.declare(type="JwtSigningKey", strategy="BlueGreen", **spec)
    school.run_pods()
    await school.turns()
    school.clock.advance(days=31)


def met(school: RotationWorld) -> list[str]:
    """The revisions of the key that users meet now, by the pods that the Service selects."""
    selector = school.server.read(SERVICES, "aada-backend")["spec"]["selector"].items()
    pods = [school.server.read(PODS, name) for name in school.server.names(PODS)]
    found = [pod["metadata"] for pod in pods if selector <= pod["metadata"]["labels"].items()]
    return [metadata["annotations"].get(MARK, "the first") for metadata in found]


async def watched(school: RotationWorld, turns: int = 40, until: str = "") -> list[str]:
    """The revisions that users met, each once until it changed; at every moment there is exactly one pod of one."""
    seen: list[str] = []
    for _ in range(turns):
        await school.turn()
        (revision,) = met(school)
        seen += [revision] if seen[-1:] != [revision] else []
        if (until and school.status["step"] == until) or (not until and school.is_at_rest()):
            return seen
        school.clock.advance(seconds=1)
    raise AssertionError(f"not there after {turns} turns: {school.status['step']}, {school.told()}")


def nothing_is_left(school: RotationWorld) -> None:
    assert GREEN not in school.server.names(DEPLOYMENTS)
    for resource, path in ((SERVICES, "selector"), (DISRUPTION_BUDGETS, "selector")):
        spec = school.server.read(resource, "aada-backend")["spec"]
        labels = spec[path].get("matchLabels", spec[path])
        assert labels == {"lms.aada.edu/lms": "aada", "lms.aada.edu/component": "backend"}
    assert school.revisions() == []


async def test_the_service_goes_to_the_new_key_once_and_stays_there(school: RotationWorld) -> None:
    await school_with_one_key(school)
    revision = f"login-r{school.status['revision'] + 1}"
    assert await watched(school) == ["the first", revision]
    assert school.past() == ["Rotated"]
    assert school.secret(KEYS)["jwt"] != "first-key"
    nothing_is_left(school)
    assert school.condition("Ready") == "True Ready"


async def test_the_budget_for_drains_of_nodes_goes_where_the_users_are(school: RotationWorld) -> None:
    await school_with_one_key(school)
    await watched(school, until="Converge")
    labels = school.server.read(DISRUPTION_BUDGETS, "aada-backend")["spec"]["selector"]["matchLabels"]
    assert labels.items() <= school.server.read(PODS, GREEN)["metadata"]["labels"].items()


async def test_pods_of_users_are_restarted_once(school: RotationWorld) -> None:
    """What is written to say where the users are restarts nobody."""
    await school_with_one_key(school)
    uids = set()
    for _ in range(40):
        await school.turn()
        uids.add(school.server.read(PODS, "aada-backend")["metadata"]["uid"])
        school.clock.advance(seconds=1)
    assert school.past() == ["Rotated"]
    assert len(uids) == 2


@pytest.mark.parametrize("step", ["StartGreen", "SwitchToGreen", "Converge"])
async def test_another_version_waits_with_its_migration_and_nobody_waits_for_each_other(
    school: RotationWorld, step: str
) -> None:
    await school_with_one_key(school)
    await watched(school, until=step)
    lms = school.server.read(AADA_LMS, "aada")
    lms["spec"]["version"], lms["metadata"]["generation"] = "v2", lms["metadata"]["generation"] + 1
    await watched(school)
    assert school.past() == ["Rotated"]
    await school.settle()
    assert school.lms["status"]["version"] == "v2"
    nothing_is_left(school)


async def test_without_the_second_deployment_users_are_sent_to_the_first(school: RotationWorld) -> None:
    await school_with_one_key(school)
    await watched(school, until="Publish")
    school.server.remove(DEPLOYMENTS, GREEN)
    await school.settle()
    assert met(school) == ["the first"]
    await watched(school)
    assert school.past() == ["Rotated"]
    nothing_is_left(school)


async def test_a_kill_at_any_write_leads_to_the_same_end(school: RotationWorld) -> None:
    """Killed before a write: what the server was told since the one before is done, and nobody has noted it."""
    await school_with_one_key(school)
    killer = school.server.killer = Killer("before")
    await killer.learn(partial(watched, school))
    assert len(killer.left) > 20
    for _ in killer.goes():
        old, revision = school.secret(KEYS)["jwt"], school.status["revision"]
        school.clock.advance(days=31)
        await school.turn()  # one that is killed at its first write has nothing yet, and looks as if it were at rest
        seen = await watched(school, 60)
        assert seen == [f"login-r{revision}", f"login-r{revision + 1}"]
        assert school.past()[0] == "Rotated"
        assert school.secret(KEYS)["jwt"] != old
        nothing_is_left(school)
        assert school.condition("Ready") == "True Ready"
