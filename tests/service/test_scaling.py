"""A ScalingPolicy against a real PostgreSQL: what its settings say, and what the limit of the roles does."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from aada_operator.adapters import postgres as adapter
from aada_operator.adapters import postgres_limits
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.core.database import UNLIMITED, role_mark
from aada_operator.core.resources import AADA_LMS, AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES
from aada_operator.scaling import reconcile
from aada_operator.scaling.rush import Rush
from tests.service.scaling_world import KEY, POLICY, ScalingWorld
from tests.service.servers import PostgresServer


async def test_the_servers_settings_and_the_roles_are_read(postgres: PostgresServer, scaled: ScalingWorld) -> None:
    endpoint = Endpoint(postgres.host, postgres.port, "disable", allow_local=True)
    admin = Login(postgres.user, postgres.password, "Secret db-admin")
    mark = role_mark(scaled.lms["metadata"]["uid"])
    role = f"{scaled.database}_a"
    postgres.execute(f'ALTER DATABASE "{scaled.database}" CONNECTION LIMIT 40')
    with scaled.log_in(), psycopg.connect(host=postgres.host, port=postgres.port, dbname="postgres",
                                         user=postgres.user, password=postgres.password):  # fmt: skip
        async with adapter.session(endpoint, admin, adapter.MAINTENANCE) as session:
            found = await postgres_limits.look(session, scaled.database, [role, "no_such_role"], mark)
    assert (found.max_connections, found.superusers, found.database_limit) == (100, 3, 40)
    assert [(one.name, one.limit, one.ours) for one in found.roles] == [(role, UNLIMITED, True)]
    assert found.others >= 1, "the admin's session is somebody else's, the application's is not"


async def test_the_application_is_limited_and_others_still_get_in(scaled: ScalingWorld) -> None:
    """Everything that the application may have is open: the next session of it is refused, the admin's is not."""
    scaled.declare(reservedConnections=85)
    await scaled.turns()
    assert scaled.status["budget"]["available"] == 12
    assert scaled.said("ConnectionsFenced") == "False OverBudget", "two pods may open more than that"
    scaled.server.read(SCALING_POLICIES, POLICY)["spec"]["reservedConnections"] = 37
    await scaled.turns()
    assert (scaled.limit(), scaled.status["budget"]["connectionLimit"]) == (63, 63)
    assert scaled.status["budget"]["maxPods"] == 3
    sessions = [scaled.log_in() for _ in range(63)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            scaled.log_in()
        scaled.postgres.admin().close()
    finally:
        for session in sessions:
            session.close()


async def test_deletion_lifts_the_limit_and_leaves_the_size(scaled: ScalingWorld) -> None:
    scaled.declare()
    await scaled.turns()
    assert scaled.limit() == 91
    scaled.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] = 4
    scaled.server.remove(SCALING_POLICIES, POLICY)
    await scaled.scaling.visit(KEY)
    assert (scaled.limit(), scaled.server.names(SCALING_POLICIES), scaled.server.names(AUTOSCALERS)) == (-1, [], [])
    await scaled.settle()
    assert scaled.server.read(DEPLOYMENTS, "aada-backend")["spec"]["replicas"] == 4


async def test_a_pause_lifts_the_limit(scaled: ScalingWorld) -> None:
    scaled.declare()
    await scaled.turns()
    scaled.server.read(SCALING_POLICIES, POLICY)["spec"]["suspend"] = True
    await scaled.turns()
    assert (scaled.limit(), scaled.said("Paused")) == (-1, "True Suspended")


async def test_a_limit_of_the_database_counts(scaled: ScalingWorld) -> None:
    scaled.postgres.execute(f'ALTER DATABASE "{scaled.database}" CONNECTION LIMIT 63')
    scaled.declare()
    await scaled.turns()
    budget = scaled.status["budget"]
    assert (budget["maxPods"], budget["limitingTerm"], scaled.limit()) == (3, "DatabaseLimit", 63)


async def test_an_unchanged_policy_costs_no_write(scaled: ScalingWorld) -> None:
    scaled.declare()
    await scaled.turns()
    before = len(scaled.server.writes)
    await scaled.scaling.visit(KEY)
    assert scaled.server.writes[before:] == []


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
    scaled: ScalingWorld, monkeypatch: pytest.MonkeyPatch, patience: str, meanwhile: int
) -> None:
    scaled.declare()
    await scaled.turns()
    made: dict[float, Watched] = {}
    monkeypatch.setattr(reconcile, "Rush", lambda seconds: made.setdefault(seconds, Watched(seconds)))
    monkeypatch.setattr(reconcile, patience, 60.0)
    scaled.restart()
    deployment = scaled.server.read(DEPLOYMENTS, "aada-backend")
    scaled.server.read(SCALING_POLICIES, POLICY)["spec"]["minReplicas"] = 3
    with made[60.0].part():
        visit = asyncio.create_task(scaled.scaling.visit(KEY))
        await asyncio.wait_for(made[60.0].waiting.wait(), 30)
        assert (deployment["spec"]["replicas"], scaled.status["min"]) == (meanwhile, 2)
    await visit
    assert (deployment["spec"]["replicas"], scaled.status["min"]) == (3, 3)


async def test_a_rotation_in_the_same_moment_is_waited_for(scaled: ScalingWorld) -> None:
    """Both change roles; whoever comes second tries again at its next visit."""
    scaled.declare()
    with scaled.postgres.admin() as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"lms.aada.edu/{scaled.database}"])
        await scaled.turns()
        assert (scaled.limit(), scaled.said("ConnectionsFenced")) == (-1, "Unknown OperationInProgress")
        assert scaled.said("Ready") == "True Scaling"
    await scaled.turns()
    assert (scaled.limit(), scaled.said("ConnectionsFenced")) == (91, "True Limited")


async def test_an_aadalms_that_is_gone_holds_no_deletion(scaled: ScalingWorld) -> None:
    scaled.declare()
    await scaled.turns()
    scaled.server.remove(AADA_LMS, "aada")
    scaled.server.remove(SCALING_POLICIES, POLICY)
    await scaled.scaling.visit(KEY)
    assert scaled.server.names(SCALING_POLICIES) == []


async def test_a_server_with_other_settings_is_noticed(scaled: ScalingWorld) -> None:
    """They need a restart; nobody tells the operator of it."""
    scaled.declare(maxReplicas=20)
    await scaled.turns()
    assert (scaled.status["budget"]["maxPods"], scaled.limit()) == (5, 91)
    settings = ("max_connections = 80", "superuser_reserved_connections = 5")
    for setting in settings:
        scaled.postgres.execute(f"ALTER SYSTEM SET {setting}")
    try:
        scaled.postgres.restart()
        await scaled.turns()
        budget = scaled.status["budget"]
        assert (budget["maxConnections"], budget["reserved"], budget["maxPods"]) == (80, 14, 3)
        assert scaled.status["max"] == 3
        assert scaled.limit() == 69
        assert scaled.condition("CapacitySafe") == "True WithinBudget"
    finally:
        scaled.postgres.execute("ALTER SYSTEM RESET ALL")
        scaled.postgres.restart()


async def test_a_limit_that_somebody_gave_our_role_is_put_back(scaled: ScalingWorld) -> None:
    scaled.declare()
    await scaled.turns()
    scaled.postgres.execute(f'ALTER ROLE "{scaled.database}_a" CONNECTION LIMIT 5')
    await scaled.turns()
    assert (scaled.limit(), scaled.said("ConnectionsFenced")) == (91, "True Limited")
