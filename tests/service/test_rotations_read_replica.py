"""A rotation of the login where the application reads with a URL of its own: it is never left with the old login."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from aada_operator.core.resources import AADA_LMS, SECRETS
from tests.service.rotation_world import RotationWorld, installed
from tests.service.servers import free_port

READ_URL = "READ_DATABASE_URL"


def reader(school: RotationWorld) -> tuple[str, str]:
    """The login in the URL that the application reads with."""
    url = urlsplit(school.secret()[READ_URL])
    assert url.hostname == "aada-db-read"
    return unquote(url.username or ""), unquote(url.password or "")


def declare_replica(school: RotationWorld) -> None:
    """A replica that is away: reads go to the primary."""
    replica = {"host": school.postgres.host, "port": free_port()}
    school.server.read(AADA_LMS, "aada")["spec"]["database"]["readReplica"] = replica


@pytest.mark.parametrize("stuck", [False, True])
async def test_the_url_to_read_with_has_the_same_login_all_the_time(school: RotationWorld, stuck: bool) -> None:
    """Forth, and back when the rotation fails."""
    await installed(school)
    declare_replica(school)
    await school.settle()
    assert school.may_log_in(*reader(school))
    school.clock.advance(days=31)
    school.stuck = stuck
    await school.turns(until="Converge")
    school.clock.advance(minutes=11 if stuck else 0)
    await school.turn()
    school.stuck = False
    for _ in range(40):
        await school.turn()
        held = school.secret()
        assert reader(school) == (held["username"], held["password"])
        assert school.may_log_in(*reader(school))
        school.clock.advance(seconds=30)
    assert school.past() == ["RolledBack Converging" if stuck else "Rotated"]


async def test_a_url_that_is_declared_during_a_rotation_waits_for_its_end(school: RotationWorld) -> None:
    """The copies that the rotation has of the Secret would bring it back with a retired login."""
    await installed(school)
    school.clock.advance(days=31)
    school.stuck = True
    await school.turns(until="Converge")
    declare_replica(school)
    await school.turn()
    assert READ_URL not in school.server.read(SECRETS, "aada-db")["data"]
    school.stuck = False
    await school.turns(until="Grace")
    school.clock.advance(minutes=16)
    await school.turns()
    await school.settle()
    held = school.secret()
    assert reader(school) == (held["username"], held["password"])
