"""The Events of a SecretRotation: each thing that somebody would look for once, and no secret in any of them."""

from __future__ import annotations

import json
from typing import Any

from aada_operator.adapters.cluster_events import EVENTS, ClusterEvents
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Controller
from aada_operator.core.resources import SECRETS
from aada_operator.rotations import reconcile
from tests.unit.rotations.world import SECRET, World


class Told(World):
    """Events go where the operator sends them; ``keys`` are all values that the Secret ever had."""

    def __init__(self, **spec: Any) -> None:
        self.keys: set[str] = set()
        super().__init__(**{"type": "JwtSigningKey"} | spec)

    def restart(self) -> None:
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        events = ClusterEvents(self.server, self.clock)  # type: ignore[arg-type]
        self.controller = Controller(capability, self.server, events, self.clock)

    async def turn(self) -> None:
        await super().turn()
        self.keys |= {key for value in self.secret().values() for key in value.split(",") if key}

    def events(self) -> list[str]:
        """Type, reason and what it is about, the oldest first; makes sure that no secret is in them."""
        found = [self.server.read(EVENTS, name) for name in self.server.names(EVENTS)]
        assert not [key for key in self.keys if key in json.dumps(found)]
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [f"{one['type']} {one['reason']} {one['message'].split(':')[0]}" for one in found]

    def words(self, reason: str) -> str:
        """The message of the newest Event of a reason."""
        found = [self.server.read(EVENTS, name) for name in self.server.names(EVENTS)]
        return str([event for event in found if event["reason"] == reason][-1]["message"])


BEGUN = "Normal UnderWay Rotating"
BEFORE = ["Normal NotDueYet Ready"]


async def begun(**spec: Any) -> Told:
    """A rotation that has come to where pods change over."""
    world = Told(**spec)
    await world.turns()
    assert world.events() == BEFORE
    world.clock.advance(days=31)
    world.stuck = True
    await world.turns(until="ConvergeVerifiers")
    return world


async def linger(world: Told, step: str) -> None:
    """Many visits in a step."""
    for _ in range(5):
        await world.turn()
        world.clock.advance(seconds=30)
    assert world.status["step"] == step


async def test_a_rotation_tells_that_it_begins_what_it_proved_and_how_it_ended() -> None:
    world = await begun()
    await linger(world, "ConvergeVerifiers")
    assert world.events() == [*BEFORE, BEGUN]
    world.stuck = False
    await world.turns(until="Grace")
    await linger(world, "Grace")
    assert world.events() == [
        *BEFORE,
        BEGUN,
        "Normal ConvergeVerifiers NewCredentialVerified",
        "Normal Published Rotating",
        "Normal Converge ConsumersConverged",
    ]
    world.clock.advance(minutes=20)
    await world.turns()
    for _ in range(3):
        await world.turn()
        world.clock.advance(minutes=5)
    assert world.past() == ["Rotated"]
    told = world.events()
    assert told[5:7] == ["Normal ProveOld OldCredentialRevoked", "Normal Rotated Ready"]
    assert len(told) == len({*told}), "nothing is repeated"
    assert not [event for event in told if event.startswith("Warning")]
    assert len(world.keys) > 2, "the new key was there to be told"


async def test_one_that_goes_back_tells_so_and_why_once() -> None:
    world = await begun()
    world.clock.advance(minutes=11)
    await world.turns(until="Reconverge")
    await linger(world, "Reconverge")
    world.stuck = False
    await world.turns()
    for _ in range(3):
        await world.turn()
        world.clock.advance(minutes=5)
    assert world.past() == ["RolledBack Converging"]
    assert world.events() == [*BEFORE, BEGUN, "Normal RollingBack Rotating", "Warning RolledBack Ready"]
    assert "not everybody verifies the new key yet: pods backend-1, backend-2" in world.words("RolledBack")


async def test_one_that_needs_somebody_tells_so_once() -> None:
    world = Told()
    await world.turns()
    world.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": "as soon as you can"}
    for _ in range(3):
        await world.turn()
        world.clock.advance(minutes=5)
    assert world.events() == [*BEFORE, "Warning InvalidAnnotation Stalled"]
    assert "as soon as" not in world.words("InvalidAnnotation")
    world.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(world.clock.now())}
    await world.turn()
    assert world.events()[-1] == BEGUN


async def test_a_secret_that_somebody_changed_meanwhile_is_told_once_without_what_is_in_it() -> None:
    world = await begun()
    live = world.server.read(SECRETS, SECRET)
    live["data"]["accepted"] = live["data"]["other"]
    live["metadata"]["resourceVersion"] = "by-hand"
    world.keys.add("left alone")
    world.stuck = False
    await world.turns()
    for _ in range(3):
        await world.turn()
        world.clock.advance(minutes=5)
    assert world.past() == ["RolledBack SecretDataDrift"]
    assert world.events() == [*BEFORE, BEGUN, "Normal RollingBack Rotating", "Warning RolledBack Ready"]
    assert "somebody else changed Secret lms-keys during the rotation" in world.words("RolledBack")
