"""Workers killed at random moments leave no torn backup, lose none, and nothing of theirs outlives the clean-up."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.service.kills import LARGE_OBJECT, Assault
from tests.service.servers import PostgresServer
from tests.service.worker_harness import Job

KILLS = 15


@pytest.fixture
def school(postgres: PostgresServer) -> Iterator[str]:
    """Rows for several chunks, and a large object that takes an upload in parts."""
    name = postgres.createdb()
    postgres.execute(LARGE_OBJECT, name)
    postgres.execute(
        """
        CREATE TABLE pages (id bigint PRIMARY KEY, body text);
        INSERT INTO pages SELECT i, encode(gen_random_bytes(500), 'hex') FROM generate_series(1, 15000) i;
        """,
        name,
    )
    yield name
    postgres.dropdb(name)


def test_kills_tear_lose_and_leave_nothing(job: Job, postgres: PostgresServer, school: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    tally = Assault(job, postgres, school, random.Random(seed)).run(KILLS)
    print(tally)
    assert tally.kills == KILLS
    assert (tally.torn, tally.lost, tally.leaked) == (set(), set(), [])
