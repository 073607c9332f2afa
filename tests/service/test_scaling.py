"""A ScalingPolicy against a real PostgreSQL: what its settings say, and what the limit of the roles does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from aada_operator.adapters import postgres as adapter
from aada_operator.adapters import postgres_limits
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.core.controller import Controller
from aada_operator.core.database import UNLIMITED, role_mark
from aada_operator.core.managed_fields import SCALING_MANAGER
from aada_operator.core.resources import AADA_LMS, AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES, ApiResource, Object
from aada_operator.core.workqueue import Key
from aada_operator.scaling import reconcile
from aada_operator.scaling.rush import Rush
from tests.service.lms_world import LmsServer, LmsWorld
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, NoEvents, custom_resource

POLICY = "backend"
KEY = Key(SCALING_POLICIES.plural, NAMESPACE, POLICY)
COMPONENT: dict[str, Any] = {
    "name": "backend", "role": "api", "image": "lms", "replicas": 2, "command": ["serve"],
    "connections": {"workers": 2, "poolSize": 3, "maxOverflow": 2},
}  # fmt: skip


class Server(LmsServer):
    """Adds what a policy applies, one field of a Deployment that is there, and that nobody else resets it."""

    async def apply(self, resource: ApiResource, body: Object, manager: str = "") -> Object:
        if manager != SCALING_MANAGER:
            if resource == DEPLOYMENTS and "replicas" not in body["spec"]:
                kept = self.read(resource, body["metadata"]["name"])["spec"]["replicas"]
                body = body | {"spec": body["spec"] | {"replicas": kept}}
            return await super().apply(resource, body)
        live = self.read(resource, body["metadata"]["name"])
        live["spec"] |= body["spec"]
        fields: Object = {"f:spec": {"f:replicas": {}}}
        live["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": fields}]
        return live


class World(LmsWorld):
    """An AadaLms that is ready, and a policy for its backend."""

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        super().__init__(postgres, database)
        self.server = Server(self.clock)
        self.server.secret("db-admin", username=postgres.user, password=postgres.password)
        self.restart()

    def restart(self) -> None:
        super().restart()
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.scaling = Controller(capability, self.server, NoEvents(), self.clock)

    def declare(self, **spec: Any) -> None:
        target = {"lmsRef": {"name": "aada"}, "component": "backend"}
        self.server.add(SCALING_POLICIES, custom_resource("ScalingPolicy", POLICY, {"target": target} | spec))

    async def turns(self) -> None:
        """The AadaLms and the policy take turns until nothing is left to do."""
        for _ in range(4):
            await self.settle()
            await self.look()

    async def look(self) -> None:
        """The policy's next visit."""
        await self.scaling.visit(KEY)

    @property
    def status(self) -> Object:
        return dict(self.server.read(SCALING_POLICIES, POLICY)["status"])

    def said(self, kind: str) -> str:
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def limit(self, role: str = "a") -> int:
        """CONNECTION LIMIT of a role of the application."""
        query = f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{self.database}_{role}'"
        return int(self.postgres.value(query))

    def log_in(self) -> psycopg.Connection[Any]:
        """A session of the application."""
        secret = self.secret()
        return psycopg.connect(host=self.postgres.host, port=self.postgres.port, dbname=self.database,
                               user=secret["username"], password=secret["password"])  # fmt: skip


@pytest.fixture
async def world(postgres: PostgresServer) -> AsyncIterator[World]:
    name = f"lms_{os.urandom(4).hex()}"
    made = World(postgres, name)
    made.create(components=[COMPONENT])
    await made.settle()
    yield made
    postgres.dropdb(name)
    for role in (f"{name}_a", f"{name}_b", f"{name}_owner"):
        if postgres.value(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            postgres.execute(f'DROP OWNED BY "{role}"')
            postgres.execute(f'DROP ROLE "{role}"')


async def test_the_servers_settings_and_the_roles_are_read(postgres: PostgresServer, world: World) -> None:
    endpoint = Endpoint(postgres.host, postgres.port, "disable", allow_local=True)
    admin = Login(postgres.user, postgres.password, "Secret db-admin")
    mark = role_mark(world.lms["metadata"]["uid"])
    role = f"{world.database}_a"
    postgres.execute(f'ALTER DATABASE "{world.database}" CONNECTION LIMIT 40')
    with world.log_in(), psycopg.connect(host=postgres.host, port=postgres.port, dbname="postgres",
                                         user=postgres.user, password=postgres.password):  # fmt: skip
        async with adapter.session(endpoint, admin, adapter.MAINTENANCE) as session:
            found = await postgres_limits.look(session, world.database, [role, "no_such_role"], mark)
    assert (found.max_connections, found.superusers, found.database_limit) == (100, 3, 40)
    assert [(one.name, one.limit, one.ours) for one in found.roles] == [(role, UNLIMITED, True)]
    assert found.others >= 1, "the admin's session is somebody else's, the application's is not"


async def test_the_application_is_limited_and_others_still_get_in(world: World) -> None:
    """Everything that the application may have is open: the next session of it is refused, the admin's is not."""
    world.declare(reservedConnections=85)
    await world.turns()
    assert world.status["budget"]["available"] == 12
    assert world.said("ConnectionsFenced") == "False OverBudget", "two pods may open more than that"
    world.server.read(SCALING_POLICIES, POLICY)["spec"]["reservedConnections"] = 37
    await world.turns()
    assert (world.limit(), world.status["budget"]["connectionLimit"]) == (63, 63)
    assert world.status["budget"]["maxPods"] == 3
    sessions = [world.log_in() for _ in range(63)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            world.log_in()
        world.postgres.admin().close()
    finally:
        for session in sessions:
            session.close()


async def test_deletion_lifts_the_limit_and_leaves_the_size(world: World) -> None:
    world.declare()
    await world.turns()
    assert world.limit() == 91
    world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] = 4
    world.server.remove(SCALING_POLICIES, POLICY)
    await world.scaling.visit(KEY)
    assert (world.limit(), world.server.names(SCALING_POLICIES), world.server.names(AUTOSCALERS)) == (-1, [], [])
    await world.settle()
    assert world.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] == 4


async def test_a_pause_lifts_the_limit(world: World) -> None:
    world.declare()
    await world.turns()
    world.server.read(SCALING_POLICIES, POLICY)["spec"]["suspend"] = True
    await world.turns()
    assert (world.limit(), world.said("Paused")) == (-1, "True Suspended")


async def test_a_limit_of_the_database_counts(world: World) -> None:
    world.postgres.execute(f'ALTER DATABASE "{world.database}" CONNECTION LIMIT 63')
    world.declare()
    await world.turns()
    budget = world.status["budget"]
    assert (budget["maxPods"], budget["limitingTerm"], world.limit()) == (3, "DatabaseLimit", 63)


async def test_an_unchanged_policy_costs_no_write(world: World) -> None:
    world.declare()
    await world.turns()
    before = len(world.server.writes)
    await world.scaling.visit(KEY)
    assert world.server.writes[before:] == []


class Watched(Rush):
    """Tells when somebody is about to wait for the others."""

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self.waiting = asyncio.Event()

    async def over(self) -> None:
        self.waiting.set()
        await super().over()


@pytest.mark.parametrize(("patience", "meanwhile"), [("FOR_LOOKS", 2), ("FOR_DECISIONS", 3)])
async def test_a_size_waits_for_those_who_look_and_the_rest_for_those_who_decide(
    world: World, monkeypatch: pytest.MonkeyPatch, patience: str, meanwhile: int
) -> None:
    world.declare()
    await world.turns()
    made: dict[float, Watched] = {}
    monkeypatch.setattr(reconcile, "Rush", lambda seconds: made.setdefault(seconds, Watched(seconds)))
    monkeypatch.setattr(reconcile, patience, 60.0)
    world.restart()
    deployment = world.server.read(DEPLOYMENTS, "aada-backend")
    world.server.read(SCALING_POLICIES, POLICY)["spec"]["minReplicas"] = 3
    with made[60.0].part():
        visit = asyncio.create_task(world.scaling.visit(KEY))
        await asyncio.wait_for(made[60.0].waiting.wait(), 30)
        assert (deployment["spec"]["replicas"], world.status["min"]) == (meanwhile, 2)
    await visit
    assert (deployment["spec"]["replicas"], world.status["min"]) == (3, 3)


async def test_a_rotation_in_the_same_moment_is_waited_for(world: World) -> None:
    """Both change roles; whoever comes second tries again at its next visit."""
    world.declare()
    with world.postgres.admin() as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"lms.aada.edu/{world.database}"])
        await world.turns()
        assert (world.limit(), world.said("ConnectionsFenced")) == (-1, "Unknown OperationInProgress")
        assert world.said("Ready") == "True Scaling"
    await world.turns()
    assert (world.limit(), world.said("ConnectionsFenced")) == (91, "True Limited")


async def test_an_aadalms_that_is_gone_holds_no_deletion(world: World) -> None:
    world.declare()
    await world.turns()
    world.server.remove(AADA_LMS, "aada")
    world.server.remove(SCALING_POLICIES, POLICY)
    await world.scaling.visit(KEY)
    assert world.server.names(SCALING_POLICIES) == []


async def test_a_server_with_other_settings_is_noticed(world: World) -> None:
    """They need a restart; nobody tells the operator of it."""
    world.declare(maxReplicas=20)
    await world.turns()
    assert (world.status["budget"]["maxPods"], world.limit()) == (5, 91)
    settings = ("max_connections = 80", "superuser_reserved_connections = 5")
    for setting in settings:
        world.postgres.execute(f"ALTER SYSTEM SET {setting}")
    try:
        world.postgres.restart()
        await world.turns()
        budget = world.status["budget"]
        assert (budget["maxConnections"], budget["reserved"], budget["maxPods"]) == (80, 14, 3)
        assert world.status["max"] == 3
        assert world.limit() == 69
        assert world.condition("CapacitySafe") == "True WithinBudget"
    finally:
        world.postgres.execute("ALTER SYSTEM RESET ALL")
        world.postgres.restart()


async def test_a_limit_that_somebody_gave_our_role_is_put_back(world: World) -> None:
    world.declare()
    await world.turns()
    world.postgres.execute(f'ALTER ROLE "{world.database}_a" CONNECTION LIMIT 5')
    await world.turns()
    assert (world.limit(), world.said("ConnectionsFenced")) == (91, "True Limited")
