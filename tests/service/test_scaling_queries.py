"""A ScalingPolicy that asks a real Prometheus: followed, refused, killed, and on with it after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aada_operator.adapters.prometheus import Server, ask
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AUTOSCALERS, SCALING_POLICIES
from tests.service.prometheus_server import PrometheusServer, SchoolMetrics, TokenProxy
from tests.service.scaling_world import POLICY, ScalingWorld

TOKEN = "canary-token"
QUERY = "sum(http_requests_in_flight)"


@dataclass(frozen=True)
class School:
    """Pods with a load, the Prometheus that scrapes them, and the address at which it wants a token."""

    pods: SchoolMetrics
    prometheus: PrometheusServer
    url: str

    async def has(self, load: float) -> None:
        """Change the load, and wait until Prometheus has seen it."""
        self.pods.load = load
        deadline = time.monotonic() + 30
        while await self._seen() != load:
            assert time.monotonic() < deadline, f"Prometheus has not scraped {load}"
            await asyncio.sleep(0.05)

    async def _seen(self) -> float | None:
        try:
            return await ask(Server(self.prometheus.url, allow_local=True), QUERY)
        except Waiting:
            return None


@pytest.fixture(scope="module")
def scraped() -> Iterator[tuple[SchoolMetrics, PrometheusServer]]:
    with SchoolMetrics() as pods, PrometheusServer(pods.port) as prometheus:
        yield pods, prometheus


@pytest.fixture
async def school(scaled: ScalingWorld, scraped: tuple[SchoolMetrics, PrometheusServer]) -> AsyncIterator[School]:
    async with TokenProxy(scraped[1], TOKEN) as proxy:
        scaled.server.secret("prometheus", token=TOKEN)
        yield School(*scraped, proxy.url)


def declare(scaled: ScalingWorld, url: str, query: str = QUERY, **patch: Any) -> None:
    scaled.declare(
        prometheus={"url": url, "bearerTokenSecretRef": {"name": "prometheus", "key": "token"}, "timeout": "1s"},
        metrics=[{"prometheus": {"name": "requests", "query": query, "target": 50}}],
        **patch,
    )


def bounds(scaled: ScalingWorld) -> tuple[int, int]:
    spec = scaled.server.read(AUTOSCALERS, POLICY)["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


async def test_the_size_follows_what_the_server_says(scaled: ScalingWorld, school: School) -> None:
    await school.has(190)
    declare(scaled, school.url)
    await scaled.turns()
    assert (bounds(scaled), scaled.said("MetricsAvailable")) == ((4, 4), "True Followed")
    await school.has(10)
    await scaled.look()
    assert bounds(scaled) == (4, 4), "fewer were not enough for five minutes yet"
    scaled.restart()
    scaled.clock.advance(minutes=5, seconds=1)
    await scaled.look()
    assert bounds(scaled) == (2, 2)


async def test_prometheus_killed_lets_nobody_leave_and_falls_back(scaled: ScalingWorld, school: School) -> None:
    await school.has(140)
    # Past the proxy: what is lost is Prometheus itself.
    declare(scaled, school.prometheus.url, fallback={"replicas": 4, "after": "3m"})
    await scaled.turns()
    assert (bounds(scaled), scaled.said("MetricsAvailable")) == ((3, 3), "True Followed")
    with school.prometheus.killed():
        await scaled.look()
        assert (bounds(scaled), scaled.said("MetricsAvailable")) == ((3, 3), "False PrometheusUnreachable")
        scaled.restart()
        scaled.clock.advance(minutes=3, seconds=1)
        await scaled.look()
        assert (bounds(scaled), scaled.said("Fallback")) == ((4, 4), "True MetricsLost")
    await scaled.look()
    assert (bounds(scaled), scaled.said("Fallback")) == ((4, 4), "False NotNeeded")
    scaled.clock.advance(minutes=5, seconds=1)
    await scaled.look()
    assert bounds(scaled) == (3, 3)


NO_NUMBERS = {
    "http_requests_in_flight_of_nobody": "QueryEmpty",
    "http_requests_in_flight": "QueryNotOneNumber",
    "sum(http_requests_in_flight": "QueryRefused",
    "sum(0 * http_requests_in_flight) / sum(0 * http_requests_in_flight)": "QueryNotANumber",
}


async def test_what_gives_no_number_is_a_metric_that_is_lost(scaled: ScalingWorld, school: School) -> None:
    """Whatever the reason, the size stays, and after ``after`` the fallback holds."""
    await school.has(140)
    declare(scaled, school.url, fallback={"replicas": 4, "after": "3m"})
    await scaled.turns()
    spec = scaled.server.read(SCALING_POLICIES, POLICY)["spec"]
    for query, reason in NO_NUMBERS.items():
        spec["metrics"][0]["prometheus"]["query"] = query
        await scaled.look()
        assert (bounds(scaled), scaled.said("MetricsAvailable")) == ((3, 3), f"False {reason}")
    with school.prometheus.frozen():
        await scaled.look()
        assert (bounds(scaled), scaled.said("MetricsAvailable")) == ((3, 3), "False PrometheusUnreachable")
        scaled.clock.advance(minutes=3, seconds=1)
        await scaled.look()
        assert (bounds(scaled), scaled.said("Fallback")) == ((4, 4), "True MetricsLost")


async def test_a_wrong_token_is_told_and_another_is_used_without_a_restart(
    scaled: ScalingWorld, school: School
) -> None:
    scaled.server.secret("prometheus", token="old-canary")
    await school.has(100)
    declare(scaled, school.url)
    await scaled.turns()
    assert scaled.said("MetricsAvailable") == "False PrometheusUnauthorized"
    assert "canary" not in str(scaled.status)
    scaled.server.secret("prometheus", token=TOKEN)
    await scaled.look()
    assert scaled.said("MetricsAvailable") == "True Followed"
