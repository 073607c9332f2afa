"""The operator really killed before and after each step of a rotation: it ends where it should, and nothing is left."""

from __future__ import annotations

import pytest

from tests.service.rotation_kills import WAYS, Way, acting
from tests.service.rotation_siege import besieged
from tests.service.servers import PostgresServer


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_killed_at_every_step_of_one_rotation_it_ends_as_if_it_were_not(
    postgres: PostgresServer, way: Way
) -> None:
    """All of them in one: `make show-rotation` has a rotation for each."""
    (found,) = await besieged(postgres, way, [way.points()])
    assert found.trouble == []


def test_every_step_that_does_something_is_on_a_way() -> None:
    for strategy in {way.strategy for way in WAYS}:
        for back, emergency in ((False, False), (False, True), (True, False)):
            ways = [way for way in WAYS if way.strategy is strategy and way.back == back]
            gone = {step for way in ways for step in way.steps()}
            assert set(acting(strategy, back=back, emergency=emergency)) <= gone
