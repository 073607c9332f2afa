"""A key that leaked is forgotten at once: the overlap of the three phases is left out, on demand only."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import SECRETS
from tests.unit.rotations.test_three_phase import Tokens, watched
from tests.unit.rotations.world import World


async def leaked(**spec: Any) -> World:
    """A rotation that is asked for, an hour after the last one that could be."""
    world = World(**{"type": "JwtSigningKey", "emergency": True} | spec)
    await world.turns()
    world.clock.advance(hours=1)
    world.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(world.clock.now())}
    return world


def forgotten(world: World) -> None:
    """No pod accepts the old key, and the Secret has the new one alone."""
    assert world.past() == ["Rotated"]
    after = world.secret()
    assert after["jwt"] != "first-key"
    assert after["accepted"] == ""
    assert all(keys == after for keys in world.pods.values())
    assert world.revisions() == []
    assert world.said("OldCredentialRevoked") == "True Rotated"


async def test_a_leaked_key_is_forgotten_within_a_minute_whatever_the_grace_period() -> None:
    world = await leaked(gracePeriod="24h")
    await world.turns(30, seconds=2)
    forgotten(world)
    assert world.status["history"][0]["emergency"] is True
    assert world.status["nextRotation"] == "2026-03-01T04:00:00Z", "the schedule goes on as it was"


async def test_no_publication_has_both_keys() -> None:
    world = await leaked()
    for _ in range(30):
        await world.turn()
        keys = world.secret()
        assert "first-key" not in keys["accepted"]
        assert keys["accepted"] == ""
        world.clock.advance(seconds=2)
    forgotten(world)


async def test_a_rotation_of_the_schedule_is_as_ever() -> None:
    world = World(type="JwtSigningKey", emergency=True)
    await world.turns()
    tokens = Tokens(world)
    world.clock.advance(days=31)
    await watched(world, tokens, 160, 10)
    assert world.past() == ["Rotated"]
    assert tokens.refused == []
    assert world.status["history"][0]["emergency"] is False


async def test_one_that_waits_for_tokens_to_end_is_cut_short() -> None:
    world = await leaked(emergency=False, gracePeriod="24h")
    await world.turns(until="Grace")
    world.rotation["spec"]["emergency"] = True
    await world.turns(20)
    forgotten(world)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(moment: str) -> None:
    world = await leaked()
    begun = len(world.server.writes)
    await world.turns()
    writes = len(world.server.writes) - begun
    assert writes >= 12
    for number in range(writes):
        again = await leaked()
        setattr(again.server, f"crash_{moment}", begun + number)
        await again.turn()  # one that is killed at its first write has nothing yet, and looks as if it were at rest
        await again.turns()
        assert getattr(again.server, f"crash_{moment}") is None, "it was killed"
        forgotten(again)
        assert again.server.claims() == []


async def test_pods_that_do_not_come_up_lead_back_as_ever() -> None:
    """Half of the pods with one key and half with the other would serve nobody."""
    world = await leaked()
    await world.turns(until="Converge")
    world.stuck = True
    for _ in range(70):
        await world.turn()
        world.clock.advance(seconds=10)
    world.stuck = False
    for _ in range(10):
        await world.turn()
    assert world.past() == ["RolledBack Converging"]
    assert world.secret()["jwt"] == "first-key"
    assert world.status["history"][0]["emergency"] is True


async def test_the_key_before_the_last_is_not_brought_back_by_a_kept_annotation() -> None:
    """One annotation is one rotation."""
    world = await leaked()
    await world.turns()
    key = world.secret()["jwt"]
    for _ in range(5):
        await world.turn()
        world.clock.advance(minutes=5)
    assert world.secret()["jwt"] == key
    assert [n for n in world.server.names(SECRETS) if n.startswith("keys-r")] == []
