"""The key that signs tokens is replaced, and at every moment every pod accepts every token that is not too old."""

from __future__ import annotations

import pytest

from aada_operator.core.resources import AADA_LMS, PODS, SECRET_ROTATIONS, SECRETS
from tests.unit.rotations.world import LMS, ROTATION, SECRET, World

LIFE = 15 * 60.0


def accepted(keys: dict[str, str]) -> set[str]:
    return {keys["jwt"], *filter(None, keys["accepted"].split(","))}


class Tokens:
    """What the pods signed, and when; ``refused`` are those that another pod would not accept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signed: dict[str, float] = {}
        self.refused: list[str] = []

    def look(self) -> None:
        """Every pod signs one, and every pod is shown all that have not ended."""
        now = self._world.clock.now().timestamp()
        for keys in self._world.pods.values():
            self._signed[keys["jwt"]] = now
        alive = {key for key, at in self._signed.items() if now - at < LIFE}
        for name, keys in self._world.pods.items():
            self.refused += [f"{name} refuses {key}" for key in alive - accepted(keys)]


async def watched(world: World, tokens: Tokens, turns: int, seconds: float) -> None:
    for _ in range(turns):
        await world.turn()
        tokens.look()
        world.clock.advance(seconds=seconds)


@pytest.fixture
def world() -> World:
    return World(type="JwtSigningKey")


async def test_no_token_is_refused_before_its_end_and_the_old_key_is_forgotten(world: World) -> None:
    await world.turns()
    tokens = Tokens(world)
    world.clock.advance(days=31)
    await watched(world, tokens, 160, 10)
    assert world.past() == ["Rotated"]
    assert tokens.refused == []
    after = world.secret()
    assert after["jwt"] != "first-key"
    assert len(after["jwt"]) == 43
    assert after["accepted"] == ""
    assert after["other"] == "left alone"
    assert all(keys == after for keys in world.pods.values())
    assert world.revisions() == []
    assert world.said() == "True Rotated"
    assert world.said("OldCredentialRevoked") == "True Rotated"
    assert (world.status["strategy"], world.status["revision"]) == ("ThreePhase", 3)
    assert "first-key" not in f"{world.status} {world.server.writes}"


async def test_the_harness_sees_a_key_that_is_replaced_in_one_go(world: World) -> None:
    """Otherwise the test before would prove nothing."""
    tokens = Tokens(world)
    tokens.look()
    world.pods["backend-1"] = {"jwt": "another", "accepted": ""}
    tokens.look()
    assert tokens.refused


async def test_a_second_rotation_follows(world: World) -> None:
    await world.turns()
    for _ in range(2):
        world.clock.advance(days=31)
        await world.turns(200, seconds=10)
    assert world.past() == ["Rotated", "Rotated"]
    assert world.status["revision"] == 6


@pytest.mark.parametrize("step", ["ConvergeVerifiers", "Converge"])
async def test_pods_that_do_not_come_up_lead_back_and_no_token_is_refused(world: World, step: str) -> None:
    await world.turns()
    tokens = Tokens(world)
    world.clock.advance(days=31)
    while world.status.get("step") != step:
        await watched(world, tokens, 1, 1)
    world.stuck = True
    await watched(world, tokens, 70, 10)
    world.stuck = False
    await watched(world, tokens, 160, 10)
    assert world.past() == ["RolledBack Converging"]
    assert tokens.refused == []
    assert world.secret() == {"jwt": "first-key", "accepted": "", "other": "left alone"}
    assert all(keys == world.secret() for keys in world.pods.values())
    assert world.revisions() == []


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leads_to_the_same_end(moment: str) -> None:
    async def rotate(one: World) -> Tokens:
        await one.turns()
        tokens = Tokens(one)
        one.clock.advance(days=31)
        await watched(one, tokens, 170, 10)
        return tokens

    world = World(type="JwtSigningKey")
    begun = len(world.server.writes)
    await rotate(world)
    writes = len(world.server.writes) - begun
    assert writes > 15
    for number in range(writes):
        again = World(type="JwtSigningKey")
        setattr(again.server, f"crash_{moment}", number)
        tokens = await rotate(again)
        assert again.past() == ["Rotated"], number
        assert tokens.refused == []
        assert again.secret()["jwt"] != "first-key"
        assert again.secret()["accepted"] == ""
        assert again.revisions() == []
        assert again.server.claims() == []


async def test_keys_that_were_accepted_before_are_so_until_the_old_one_is_forgotten(world: World) -> None:
    world.server.read(SECRETS, SECRET)["data"]["accepted"] = "ZWFybGllcg=="
    await world.turns()
    world.clock.advance(days=31)
    await world.turns(until="Grace")
    assert "earlier" in world.secret()["accepted"].split(",")


async def test_somebody_who_changes_the_key_meanwhile_has_his_way(world: World) -> None:
    await world.turns()
    world.clock.advance(days=31)
    world.stuck = True
    await world.turns(until="ConvergeVerifiers")
    live = world.server.read(SECRETS, SECRET)
    live["data"]["jwt"], live["metadata"]["resourceVersion"] = "Ynkt aGFuZA==".replace(" ", ""), "by-hand"
    world.stuck = False
    await world.turns()
    assert world.past() == ["RolledBack SecretDataDrift"]
    assert world.secret()["jwt"] == "by-hand"


async def test_one_that_is_deleted_half_way_goes_back_first(world: World) -> None:
    await world.turns()
    tokens = Tokens(world)
    world.clock.advance(days=31)
    while world.status.get("step") != "Grace":
        await watched(world, tokens, 1, 1)
    world.server.remove(SECRET_ROTATIONS, ROTATION)
    for _ in range(160):
        if ROTATION not in world.server.names(SECRET_ROTATIONS):
            break
        await watched(world, tokens, 1, 10)
    assert ROTATION not in world.server.names(SECRET_ROTATIONS)
    assert world.secret()["jwt"] == "first-key"
    assert tokens.refused == []
    assert world.revisions() == []


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [([], "NoSigningKey"), (LMS["secrets"][:1], "NoAcceptedKeys")],
)
async def test_an_application_that_accepts_one_key_only_is_refused(
    world: World, secrets: list[object], reason: str
) -> None:
    world.server.read(AADA_LMS, "aada")["spec"] = LMS | {"secrets": secrets}
    await world.turn()
    assert world.said("Stalled") == f"True {reason}"
    assert world.secret()["jwt"] == "first-key"
    assert len(world.server.names(PODS)) == 2
