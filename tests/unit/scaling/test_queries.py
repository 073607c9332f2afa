"""A ScalingPolicy that asks Prometheus: the size follows, a lost query changes nothing, a restart forgets nothing."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AUTOSCALERS
from tests.unit.scaling.prometheus import PROMETHEUS, Prometheus, metric
from tests.unit.scaling.world import POLICY, Make, scaling

REQUESTS = {"prometheus": PROMETHEUS, "metrics": [{"cpu": "70%"}, metric()]}
ALONE = {"prometheus": PROMETHEUS, "metrics": [metric()]}


async def test_the_size_follows_the_query_at_once_and_falls_after_the_window(make: Make, server: Prometheus) -> None:
    world = await scaling(make, **REQUESTS)
    server.value = 190
    await world.turns(2)
    assert (world.bounds, world.pods) == ((4, 5), 4)
    assert world.status["metrics"] == [{"name": "requests", "pods": 4, "reason": "Followed"}]
    server.value = 60
    await world.turns(15)
    assert world.pods == 4
    await world.until(lambda: world.pods == 2, count=10)
    assert world.bounds == (2, 5)


async def test_a_query_alone_sizes_a_cluster_without_metrics_server(make: Make, server: Prometheus) -> None:
    world = await scaling(make, **ALONE)
    world.load = None
    server.value = 190
    await world.turns(2)
    assert (world.bounds, world.pods) == ((4, 4), 4)
    assert (world.status["min"], world.status["max"]) == (4, 5), "what may be is told, not what the autoscaler is told"
    assert world.said("MetricsAvailable") == "True Followed"
    server.value = 0
    await world.until(lambda: world.pods == 2)
    assert world.said("ScalingLimited") == "True AtMinimum"


async def test_the_database_comes_before_the_query(make: Make, server: Prometheus) -> None:
    for wanted in (REQUESTS, ALONE):
        world = await scaling(make, maxReplicas=20, **wanted)
        server.value = 900
        await world.turns(3)
        assert (world.bounds, world.pods, world.status["limitedBy"]) == ((5, 5), 5, "ConnectionBudget")
        assert world.said("ScalingLimited") == "True AtMaximum"


async def test_a_database_that_is_away_does_not_hold_a_size_that_queries_alone_choose(
    make: Make, server: Prometheus
) -> None:
    """Two pods are there; five had been found to be borne."""
    world = await scaling(make, **ALONE)
    world.away = Waiting("ConnectionRefused", "nothing listens at db:5432")
    server.value = 190
    await world.turns(3)
    assert (world.pods, world.status["max"], world.status["limitedBy"]) == (4, 5, "DatabaseUnreachable")


@pytest.mark.parametrize("wanted", [REQUESTS, ALONE], ids=["with cpu", "alone"])
async def test_a_query_that_is_lost_changes_nothing_and_is_told(
    make: Make, server: Prometheus, wanted: dict[str, Any]
) -> None:
    world = await scaling(make, **wanted)
    server.value = world.load = 190
    await world.turns(3)
    pods = world.pods
    world.load = 2
    server.fails = Waiting("PrometheusUnreachable", "nobody answers at prometheus.url: is it right?")
    await world.turns(60)
    assert world.pods == pods
    assert world.said("MetricsAvailable") == "False PrometheusUnreachable"
    assert world.told("MetricsAvailable").startswith("requests: nobody answers at prometheus.url")
    assert world.status["metrics"] == [{"name": "requests", "reason": "PrometheusUnreachable"}]
    server.fails, server.value = None, 0
    await world.turns(2)
    assert (world.said("MetricsAvailable"), world.pods) == ("True Followed", pods)
    await world.until(lambda: world.pods == 2)


async def test_a_restart_and_a_lost_status_forget_nothing(make: Make, server: Prometheus) -> None:
    """Four minutes of fewer requests, then the operator begins anew: one more minute is enough, and needed."""
    world = await scaling(make, **REQUESTS)
    server.value = 190
    await world.turns(2)
    server.value = 60
    await world.turns(16)
    world.restart()
    del world.policy["status"]
    await world.turns(2)
    assert world.pods == 4
    await world.until(lambda: world.pods == 2, count=6)


async def test_a_quiet_policy_that_asks_costs_no_write(make: Make, server: Prometheus) -> None:
    world = await scaling(make, **REQUESTS)
    await world.turns(40)
    for value in (100, 101, 99):
        server.value = value
        assert await world.visit() == []


async def test_no_queries_any_more_leave_no_trace(make: Make, server: Prometheus) -> None:
    world = await scaling(make, **REQUESTS)
    world.edit(metrics=[{"cpu": "70%"}])
    await world.turns(24)
    assert set(world.server.read(AUTOSCALERS, POLICY)["metadata"]["annotations"]) == {"lms.aada.edu/applied-hash"}
    assert "metrics" not in world.status


async def test_the_token_is_read_from_its_secret_at_each_look(make: Make, server: Prometheus) -> None:
    where = PROMETHEUS | {"bearerTokenSecretRef": {"name": "prometheus", "key": "token"}, "timeout": "2s"}
    world = await scaling(make, prometheus=where, metrics=[metric()])
    assert world.said("MetricsAvailable") == "False SecretMissing"
    for text, token in (("first\n", "first"), ("second", "second")):
        world.server.secret("prometheus", token=text)
        await world.turns(1)
        place, query = server.asked[-1]
        assert (place.token, place.timeout, query) == (token, 2, "sum(rate(http_requests_total[2m]))")
        assert token not in repr(place)
    world.server.secret("prometheus", token="two\nlines")
    await world.turns(1)
    assert world.said("MetricsAvailable") == "False PrometheusUnauthorized"


async def test_metrics_lost_for_long_mean_the_fallback_until_they_are_back(make: Make) -> None:
    """Of metrics-server alone; the operator begins anew meanwhile."""
    world = await scaling(make, fallback={"replicas": 4, "after": "3m"})
    assert world.said("Fallback") == "False NotNeeded"
    world.load = None
    await world.turns(8)
    assert (world.pods, world.said("MetricsAvailable")) == (2, "False MetricsMissing")
    world.restart()
    await world.until(lambda: world.pods == 4, count=6)
    assert (world.bounds, world.said("Fallback")) == ((4, 5), "True MetricsLost")
    assert "4 pods at least" in world.told("Fallback")
    world.load = 2
    await world.turns(3)
    assert (world.pods, world.said("Fallback")) == (4, "False NotNeeded"), "nobody leaves at once"
    await world.until(lambda: world.pods == 2)


async def test_the_database_comes_before_the_fallback(make: Make) -> None:
    world = await scaling(make, maxReplicas=20, fallback={"replicas": 9, "after": "1m"})
    world.load = None
    await world.turns(8)
    assert (world.pods, world.bounds) == (5, (5, 5))


async def test_a_pause_ends_the_fallback(make: Make) -> None:
    world = await scaling(make, fallback={"replicas": 4, "after": "1m"})
    world.load = None
    await world.turns(8)
    world.edit(suspend=True)
    await world.turns(2)
    assert (world.pods, world.said("Fallback")) == (4, "Unknown Suspended")
