"""A ScalingPolicy that asks a real HTTP server: followed, refused, killed, and on with it after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aada_operator.core.resources import AUTOSCALERS
from tests.service.servers import free_port
from tests.service.test_prometheus import answer, series
from tests.service.test_scaling import POLICY, World, world

__all__ = ["world"]

TOKEN = "canary-token"


class Prometheus:
    """Wants a token, and answers every query with ``value``; it can be killed and started again on its port."""

    def __init__(self) -> None:
        self.value, self.port = 100.0, free_port()
        self._server: TestServer | None = None

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/api/v1/query", self._query)])
        self._server = TestServer(app, port=self.port)
        await self._server.start_server()

    async def kill(self) -> None:
        if self._server:
            await self._server.close()
            self._server = None

    async def _query(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        return answer("vector", [series(str(self.value))])


@pytest.fixture
async def prometheus(world: World) -> AsyncIterator[Prometheus]:
    made = Prometheus()
    await made.start()
    world.server.secret("prometheus", token=TOKEN)
    yield made
    await made.kill()


def declare(world: World, prometheus: Prometheus, **patch: Any) -> None:
    url = f"http://127.0.0.1:{prometheus.port}"
    world.declare(
        prometheus={"url": url, "bearerTokenSecretRef": {"name": "prometheus", "key": "token"}, "timeout": "1s"},
        metrics=[{"prometheus": {"name": "requests", "query": "sum(rate(http_requests_total[2m]))", "target": 50}}],
        **patch,
    )


def bounds(world: World) -> tuple[int, int]:
    spec = world.server.read(AUTOSCALERS, POLICY)["spec"]
    return spec["minReplicas"], spec["maxReplicas"]


async def test_the_size_follows_what_the_server_says(world: World, prometheus: Prometheus) -> None:
    prometheus.value = 190
    declare(world, prometheus)
    await world.turns()
    assert (bounds(world), world.said("MetricsAvailable")) == ((4, 4), "True Followed")
    prometheus.value = 10
    await world.turns()
    assert bounds(world) == (4, 4), "fewer were not enough for five minutes yet"
    world.restart()
    world.clock.advance(minutes=5, seconds=1)
    await world.turns()
    assert bounds(world) == (2, 2)


async def test_prometheus_killed_lets_nobody_leave_and_falls_back(world: World, prometheus: Prometheus) -> None:
    prometheus.value = 140
    declare(world, prometheus, fallback={"replicas": 4, "after": "3m"})
    await world.turns()
    await prometheus.kill()
    await world.turns()
    assert (bounds(world), world.said("MetricsAvailable")) == ((3, 3), "False PrometheusUnreachable")
    world.restart()
    world.clock.advance(minutes=3, seconds=1)
    await world.turns()
    assert (bounds(world), world.said("Fallback")) == ((4, 4), "True MetricsLost")
    await prometheus.start()
    await world.turns()
    assert (bounds(world), world.said("Fallback")) == ((4, 4), "False NotNeeded")
    world.clock.advance(minutes=5, seconds=1)
    await world.turns()
    assert bounds(world) == (3, 3)


async def test_a_wrong_token_is_told_and_another_is_used_without_a_restart(
    world: World, prometheus: Prometheus
) -> None:
    world.server.secret("prometheus", token="old-canary")
    declare(world, prometheus)
    await world.turns()
    assert world.said("MetricsAvailable") == "False PrometheusUnauthorized"
    assert "canary" not in str(world.status)
    world.server.secret("prometheus", token=TOKEN)
    await world.turns()
    assert world.said("MetricsAvailable") == "True Followed"
