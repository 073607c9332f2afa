"""What a real PostgreSQL says its sessions do: locks, computing, connections; nothing to an admin who may not see."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest

from aada_operator.adapters import postgres as adapter
from aada_operator.adapters import postgres_activity
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.core.database import Activity
from tests.service.scaling_world import ScalingWorld
from tests.service.servers import PostgresServer

COMPUTES = "SELECT count(*) FROM generate_series(1, 1000000000)"


@contextmanager
def at_work(server: PostgresServer, database: str, sessions: int, statement: str) -> Iterator[None]:
    """So many sessions that run a statement until the end of the block."""

    def run(connection: psycopg.Connection) -> None:
        with suppress(psycopg.Error):
            connection.execute(statement.encode())

    with ExitStack() as stack:
        connections = [stack.enter_context(server.admin(database)) for _ in range(sessions)]
        threads = [threading.Thread(target=run, args=[connection]) for connection in connections]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            # By the server: a session that waits for a lock reads no more of its line.
            server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{statement}'")
            for thread in threads:
                thread.join(20)


async def look(server: PostgresServer, login: Login | None = None) -> Activity:
    endpoint = Endpoint(server.host, server.port, "disable", allow_local=True)
    admin = login or Login(server.user, server.password, "Secret db-admin")
    async with adapter.session(endpoint, admin, adapter.MAINTENANCE) as session:
        return await postgres_activity.look(session)


async def until(server: PostgresServer, holds: Callable[[Activity], bool]) -> Activity:
    """Look until something holds."""
    deadline = time.monotonic() + 20
    while not holds(found := await look(server)):
        assert time.monotonic() < deadline, found
    return found


async def test_a_quiet_server_has_room(postgres: PostgresServer) -> None:
    found = await until(postgres, lambda seen: seen.active == 0)
    assert (found.slots, found.hidden, found.locked, found.computing) == (97, 0, 0, 0)


async def test_sessions_that_wait_for_a_lock_are_counted(postgres: PostgresServer, database: str) -> None:
    postgres.execute("CREATE TABLE seats AS SELECT 1 AS id, 0 AS taken", database)
    update = "UPDATE seats SET taken = taken + 1"
    with postgres.admin(database) as holder, holder.transaction():
        holder.execute("LOCK TABLE seats")
        with at_work(postgres, database, 6, update):
            found = await until(postgres, lambda seen: seen.locked == 6)
            assert (found.active, found.computing) == (6, 0), "who holds the lock is idle in its transaction"
            assert found.sessions == 7


async def test_sessions_that_compute_are_counted(postgres: PostgresServer, database: str) -> None:
    with at_work(postgres, database, 3, COMPUTES):
        found = await until(postgres, lambda seen: seen.computing >= 2.5)
        assert (found.active, found.locked) == (3, 0)


async def test_who_sleeps_neither_waits_nor_computes(postgres: PostgresServer, database: str) -> None:
    with at_work(postgres, database, 2, "SELECT pg_sleep(60)"):
        found = await until(postgres, lambda seen: seen.active == 2)
        assert (found.locked, found.reading, found.computing) == (0, 0, 0)


@pytest.fixture
def stranger(postgres: PostgresServer) -> Iterator[Login]:
    """An admin who may make roles, and no more."""
    name, password = f"admin_{os.urandom(3).hex()}", os.urandom(9).hex()
    postgres.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")
    yield Login(name, password, "Secret db-admin")
    postgres.execute(f"DROP ROLE {name}")


async def test_an_admin_who_may_not_see_is_noticed(postgres: PostgresServer, database: str, stranger: Login) -> None:
    with postgres.admin(database):
        assert (await look(postgres, stranger)).hidden == 1
        postgres.execute(f"GRANT pg_read_all_stats TO {stranger.username}")
        assert (await look(postgres, stranger)).hidden == 0


async def test_a_policy_adds_no_pods_while_sessions_wait(scaled: ScalingWorld) -> None:
    """A login that takes a lock, and eight others behind it, for a minute."""
    scaled.declare(maxReplicas=4)
    await scaled.turns()
    assert scaled.said("DatabaseBound") == "False HasRoom"
    with scaled.postgres.admin(scaled.database) as holder, holder.transaction():
        holder.execute("CREATE TABLE seats (id int)")
        holder.execute("SELECT pg_advisory_xact_lock(7)")
        with at_work(scaled.postgres, scaled.database, 8, "SELECT pg_advisory_lock(7)"):
            await until(scaled.postgres, lambda seen: seen.locked == 8)
            await scaled.turns()
            assert scaled.said("DatabaseBound") == "False HasRoom", "a moment proves nothing"
            scaled.clock.advance(seconds=61)
            await scaled.turns()
            assert scaled.said("DatabaseBound") == "True SessionsWait"
            assert (scaled.status["max"], scaled.status["limitedBy"]) == (2, "DatabaseBound")
    await until(scaled.postgres, lambda seen: seen.active == 0)
    await scaled.turns()
    assert scaled.said("DatabaseBound") == "True Recovering"
    scaled.clock.advance(minutes=5, seconds=1)
    await scaled.turns()
    assert (scaled.said("DatabaseBound"), scaled.status["max"]) == ("False HasRoom", 4)


async def test_connections_in_use_are_told(scaled: ScalingWorld) -> None:
    scaled.declare(connectionBudget="Warn")
    with ExitStack() as stack:
        for _ in range(88):
            stack.enter_context(scaled.postgres.admin())
        await scaled.turns()
        scaled.clock.advance(seconds=61)
        await scaled.turns()
        assert scaled.said("DatabaseBound") == "True ConnectionsInUse"
