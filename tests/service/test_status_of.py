"""A request to the application of which only the status counts, against a real HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from aada_operator.adapters.http import status_of
from tests.service.servers import free_port


@pytest.fixture
async def server() -> AsyncIterator[BaseTestServer]:
    """Answers /well with 200, /ill with 503, and sends /elsewhere to /well."""

    async def well(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    async def ill(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("/well")

    app = web.Application()
    app.add_routes([web.get("/well", well), web.get("/ill", ill), web.get("/elsewhere", elsewhere)])
    async with TestServer(app) as running:
        yield running


@pytest.mark.parametrize(("path", "status"), [("/well", 200), ("/ill", 503), ("/elsewhere", 302), ("/nowhere", 404)])
async def test_the_status_is_told_and_redirects_are_not_followed(
    server: BaseTestServer, path: str, status: int
) -> None:
    assert await status_of(str(server.make_url(path))) == status


async def test_nobody_there_is_no_answer() -> None:
    assert await status_of(f"http://127.0.0.1:{free_port()}/") is None
    assert await status_of("http://no-such-host.invalid/") is None
