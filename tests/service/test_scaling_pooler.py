"""A ScalingPolicy behind a real PgBouncer: its pools are what the server sees, the pods are its clients."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from aada_operator.adapters import pgbouncer
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.core.database import PoolerLimits
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import SCALING_POLICIES, Object
from tests.service.poolers import CONSOLE, PoolerServer
from tests.service.scaling_world import COMPONENT, ScalingWorld
from tests.service.servers import PostgresServer, wait_for

ADMIN = Login(CONSOLE["username"], CONSOLE["password"], "Secret pooler-admin")


class PooledSchool(ScalingWorld):
    """Its application connects through the pooler, which starts once the database is there."""

    def __init__(self, pooler: PoolerServer) -> None:
        super().__init__(pooler.postgres, pooler.database)
        self.pooler = pooler
        self.server.secret("pooler-admin", **CONSOLE)

    async def install(self, **policy: Any) -> None:
        made = self.create(components=[COMPONENT])
        place = {"host": self.pooler.host, "port": self.pooler.port, "adminSecretRef": {"name": "pooler-admin"}}
        made["spec"]["database"]["pooler"] = place
        await self.settle()
        self.pooler.prepare()
        self.pooler.start()
        self.declare(**policy)
        await self.turns()

    async def pooler_has(self, settings: str) -> None:
        """Somebody gives the pooler other settings."""
        self.pooler.stop()
        self.pooler.settings = settings
        self.pooler.start()
        await self.turns()

    @property
    def budget(self) -> Object:
        return dict(self.status["budget"])

    def told(self, kind: str) -> str:
        return str(next(c for c in self.status["conditions"] if c["type"] == kind)["message"])

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.pooler.host, self.pooler.port, "disable", allow_local=True, field="database.pooler")


@pytest.fixture
async def school(postgres: PostgresServer) -> AsyncIterator[PooledSchool]:
    with PoolerServer(postgres, f"lms_{os.urandom(4).hex()}") as pooler:
        made = PooledSchool(pooler)
        yield made
        pooler.stop()
    made.drop(pooler.role)


async def test_the_poolers_console_tells_what_it_may_open(school: PooledSchool) -> None:
    await school.install()
    assert await pgbouncer.limits(school.endpoint, ADMIN, school.database) == PoolerLimits(20, 100)
    more = "default_pool_size = 12\nreserve_pool_size = 3\nmax_db_connections = 25\nmax_user_connections = 9"
    await school.pooler_has(f"{more}\nmax_client_conn = 300")
    found = await pgbouncer.limits(school.endpoint, ADMIN, school.database)
    assert found == PoolerLimits(12, 300, reserve=3, most=25, per_login=9)
    with pytest.raises(Waiting, match=r"name it in \[databases\]") as refused:
        await pgbouncer.limits(school.endpoint, ADMIN, "another")
    assert refused.value.reason == "PoolerCommandRefused"


async def test_max_is_what_the_pooler_lets_in_and_other_settings_are_noticed(school: PooledSchool) -> None:
    await school.install(maxReplicas=50)
    assert (school.budget["maxPods"], school.budget["limitingTerm"]) == (6, "PoolerClients")
    assert "max_client_conn 539 of the pooler" in school.told("ConnectionBudgetExceeded")
    assert school.condition("CapacitySafe") == "True WithinBudget"
    await school.pooler_has("max_client_conn = 1000")
    assert (school.status["max"], school.said("ConnectionBudgetExceeded")) == (50, "False WithinBudget")
    await school.pooler_has("max_client_conn = 1000\ndefault_pool_size = 40")
    assert (school.status["max"], school.budget["limitingTerm"]) == (2, "PoolerPools")
    assert school.said("ConnectionBudgetExceeded") == "True TooFewConnections"
    assert "default_pool_size 29 of the pooler: its 120 sessions must fit 88" in school.told("ConnectionBudgetExceeded")


async def test_a_pooler_that_is_away_leaves_max_as_it_was(school: PooledSchool) -> None:
    await school.install()
    assert school.status["max"] == 5
    school.pooler.stop()
    await school.turns()
    assert (school.status["max"], school.status["limitedBy"]) == (5, "DatabaseUnreachable")
    assert school.said("ConnectionBudgetExceeded") == "Unknown ConnectionRefused"
    assert school.condition("CapacitySafe") == "Unknown BehindPooler"
    assert CONSOLE["password"] not in str(school.server.read(SCALING_POLICIES, "backend"))


async def test_at_full_scale_the_server_never_has_more_sessions_than_were_counted(school: PooledSchool) -> None:
    """More clients than the pools have sessions, all at once and all at work: they wait, and nobody is refused."""
    await school.install()
    await school.pooler_has("default_pool_size = 8\nreserve_pool_size = 2\nreserve_pool_timeout = 1")
    pods = school.budget["maxPods"]
    clients = int((pods + 3) * school.budget["perPod"])
    assert clients == 90
    crowd = _Crowd(school, clients)
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{school.database}'"
    with crowd:
        most = [0]

        def all_have_worked() -> bool:
            most.append(int(school.postgres.value(query)))
            return crowd.served == clients

        wait_for(all_have_worked, "every client to be served", 60)
    assert crowd.refused == []
    assert 8 <= max(most) <= 30, "three pools of ten"


class _Crowd:
    """Clients that all begin at once, and each of which works for a moment."""

    def __init__(self, school: PooledSchool, clients: int) -> None:
        self.served = 0
        self.refused: list[str] = []
        self._secret, self._pooler = school.secret(), school.pooler
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(clients)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            with self._pooler.connect(self._secret["username"], self._secret["password"]) as session:
                session.execute("SELECT pg_sleep(0.2)")
                with self._lock:
                    self.served += 1
                self._over.wait(60)
        except psycopg.Error as error:
            with suppress(ValueError), self._lock:
                self.refused.append(str(error))
