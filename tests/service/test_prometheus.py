"""A query asked of a real Prometheus, and of a server that answers as none should: a number, or what to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from aada_operator.adapters import prometheus
from aada_operator.adapters.prometheus import Server, ask
from aada_operator.core.errors import Waiting
from tests.service.prometheus_server import PrometheusServer
from tests.service.servers import free_port
from tests.testbed.pki import Authority, Identity

# What a server may hold that is nobody's business.
CANARY = "canary-of-another-server"


def answer(kind: str, result: Any) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


def series(value: str) -> dict[str, Any]:
    return {"metric": {"pod": CANARY}, "value": [1772337600.1, value]}


def error(status: int, kind: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": kind, "error": CANARY}, status=status)


# What Prometheus says to a query of this name.
ANSWERS: dict[str, Callable[[], web.Response]] = {
    "one": lambda: answer("vector", [series("12.5")]),
    "scalar": lambda: answer("scalar", [1772337600.1, "3"]),
    "nothing": lambda: answer("vector", []),
    "several": lambda: answer("vector", [series("1"), series("2")]),
    "thousands": lambda: answer("vector", [series(str(number)) for number in range(50_000)]),
    "range": lambda: answer("matrix", [{"metric": {}, "values": [[1, "1"]]}]),
    "text": lambda: answer("string", [1, CANARY]),
    "odd": lambda: answer("vector", [{"metric": {}, "histogram": [1, {"count": "3"}]}]),
    "division by none": lambda: answer("vector", [series("NaN")]),
    "endless": lambda: answer("vector", [series("+Inf")]),
    "no PromQL": lambda: error(400, "bad_data"),
    "too much": lambda: error(422, "execution"),
    "overloaded": lambda: error(503, "unavailable"),
    "page": lambda: web.Response(text=f"<html>{CANARY}</html>", content_type="text/html"),
    "moved": lambda: web.Response(status=302, headers={"Location": "/prometheus/api/v1/query?query=one"}),
    "crash": lambda: web.Response(status=500, text=CANARY),
}


async def answered(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Authorization") not in (None, "Bearer right"):
        return web.Response(status=401, text=CANARY)
    query = request.query["query"]
    if query == "slow":
        await asyncio.sleep(30)
    return await endless(request) if query == "without end" else ANSWERS[query]()


async def endless(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse()
    await stream.prepare(request)
    while True:
        await stream.write(b" " * 65_536)


def application() -> web.Application:
    app = web.Application()
    app.add_routes([web.get("/prometheus/api/v1/query", answered)])
    return app


@pytest.fixture
async def running() -> AsyncIterator[BaseTestServer]:
    async with TestServer(application()) as server:
        yield server


def place(running: BaseTestServer, path: str = "/prometheus", **patch: Any) -> Server:
    return Server(str(running.make_url(path)), allow_local=True, **patch)


async def refusal(server: Server, query: str) -> Waiting:
    with pytest.raises(Waiting) as caught:
        await ask(server, query)
    assert CANARY not in caught.value.message
    return caught.value


async def test_a_number_is_read(running: BaseTestServer) -> None:
    assert await ask(place(running), "one") == 12.5
    assert await ask(place(running, "/prometheus/"), "scalar") == 3
    assert await ask(place(running, token="right"), "one") == 12.5


@pytest.mark.parametrize(
    ("query", "reason", "says"),
    [
        ("nothing", prometheus.EMPTY, "or vector(0)"),
        ("several", prometheus.SEVERAL, "2 series: make one number of it, as sum(…) does"),
        ("thousands", prometheus.SEVERAL, "far too much"),
        ("without end", prometheus.SEVERAL, "far too much"),
        ("range", prometheus.SEVERAL, "no numbers of this moment"),
        ("text", prometheus.SEVERAL, "no numbers of this moment"),
        ("odd", prometheus.SEVERAL, "no number"),
        ("division by none", prometheus.NOT_A_NUMBER, "division by none"),
        ("endless", prometheus.NOT_A_NUMBER, "no finite number"),
        ("no PromQL", prometheus.REFUSED, "(400): correct it"),
        ("too much", prometheus.REFUSED, "(422): correct it"),
        ("overloaded", prometheus.UNREACHABLE, "gave up on the query (503)"),
        ("crash", prometheus.UNREACHABLE, "(500) is not Prometheus at work"),
        ("page", prometheus.UNREACHABLE, "(200) is not Prometheus at work"),
        ("moved", prometheus.UNREACHABLE, "(302) is not Prometheus at work"),
    ],
)
async def test_what_is_no_number_is_told_with_the_way_out(
    running: BaseTestServer, query: str, reason: str, says: str
) -> None:
    """And nothing of what the server said: a spec can name any server of the cluster."""
    refused = await refusal(place(running), query)
    assert (refused.reason, says in refused.message) == (reason, True), refused.message


# --- the real one ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[PrometheusServer]:
    with PrometheusServer() as server:
        yield server


async def asked(real: PrometheusServer, query: str, seconds: float = 5.0) -> float | tuple[str, str]:
    try:
        return await ask(Server(real.url, timeout=seconds, allow_local=True), query)
    except Waiting as waiting:
        return waiting.reason, waiting.message


# Not by `rate`, which falls once the recording has ended; pods a and b have 30 and 60 requests per second.
RATE = "irate(http_requests_total[30m])"
SHARE = 'sum(irate(http_requests_total{pod="idle"}[30m]))'


async def test_a_real_query_gives_what_was_recorded(real: PrometheusServer) -> None:
    assert await asked(real, f"sum({RATE})") == pytest.approx(90)
    assert await asked(real, 'irate(http_requests_total{pod="a"}[30m])') == pytest.approx(30)
    assert await asked(real, f"scalar(max({RATE}))") == pytest.approx(60)
    assert await asked(real, "sum(requests_of_nobody) or vector(0)") == 0


@pytest.mark.parametrize(
    ("query", "reason", "says"),
    [
        ("requests_of_nobody", prometheus.EMPTY, "or vector(0)"),
        (RATE, prometheus.SEVERAL, "3 series: make one number of it"),
        ("http_requests_total[30m]", prometheus.SEVERAL, "no numbers of this moment"),
        ("'many'", prometheus.SEVERAL, "no numbers of this moment"),
        (f"{SHARE} / {SHARE}", prometheus.NOT_A_NUMBER, "division by none"),
        (f"sum({RATE}) / {SHARE}", prometheus.NOT_A_NUMBER, "no finite number"),
        ("sum(", prometheus.REFUSED, "(400): correct it"),
        (f"{RATE} * on(job) {RATE}", prometheus.REFUSED, "(422): correct it"),
    ],
)
async def test_what_it_says_instead_of_a_number_is_told(
    real: PrometheusServer, query: str, reason: str, says: str
) -> None:
    found = await asked(real, query)
    assert isinstance(found, tuple), found
    assert (found[0], says in found[1]) == (reason, True), found


async def test_one_that_hangs_is_not_waited_for(real: PrometheusServer) -> None:
    with real.frozen():
        assert "within 0.2 s" in str(await asked(real, "vector(1)", seconds=0.2))
    assert await asked(real, "vector(1)") == 1


async def test_one_that_gives_up_on_a_query_is_no_wrong_address(real: PrometheusServer) -> None:
    real.kill()
    real.start("--query.timeout=100ms")
    found = await asked(real, f"max_over_time(sum({RATE})[50m:2ms])")
    real.kill()
    real.start()
    assert isinstance(found, tuple), found
    assert (found[0], "gave up on the query (503)" in found[1]) == (prometheus.UNREACHABLE, True), found


async def test_one_that_was_killed_is_nobody_and_answers_again_once_it_is_back(real: PrometheusServer) -> None:
    with real.killed():
        assert "nobody answers" in str(await asked(real, "vector(1)"))
    assert await asked(real, f"sum({RATE})") == pytest.approx(90)


# --- addresses, tokens, certificates ---------------------------------------------------------------------------------


async def test_a_wrong_token_is_told_and_not_repeated(running: BaseTestServer) -> None:
    refused = await refusal(place(running, token="wrong-canary"), "one")
    assert refused.reason == prometheus.UNAUTHORIZED
    assert "bearerTokenSecretRef" in refused.message
    assert "wrong-canary" not in refused.message


async def test_an_answer_that_takes_too_long_is_not_waited_for(running: BaseTestServer) -> None:
    refused = await refusal(place(running, timeout=0.2), "slow")
    assert refused.reason == prometheus.UNREACHABLE
    assert "within 0.2 s" in refused.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://no-such-host.invalid", "http://[::1"])
async def test_nobody_there_is_told(url: str) -> None:
    refused = await refusal(Server(url.format(port=free_port()), allow_local=True), "one")
    assert (refused.reason, "nobody answers" in refused.message) == (prometheus.UNREACHABLE, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"])
async def test_the_node_and_the_pod_itself_are_not_asked(running: BaseTestServer, host: str) -> None:
    refused = await refusal(Server(f"http://{host}:{running.port}/prometheus"), "one")
    assert (refused.reason, "loopback" in refused.message) == (prometheus.UNREACHABLE, True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    Authority(folder).issue("server", Identity("server", addresses=("127.0.0.1",)))
    return folder


async def test_the_certificate_is_verified(authority: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    running = TestServer(application())
    await running.start_server(ssl=context)
    try:
        assert await ask(place(running, ca=(authority / "ca.crt").read_text()), "one") == 12.5
        for authority_text in (None, "no certificate"):
            refused = await refusal(place(running, ca=authority_text), "one")
            assert (refused.reason, "caSecretRef" in refused.message) == (prometheus.UNREACHABLE, True)
    finally:
        await running.close()
