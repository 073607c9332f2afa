"""A real Prometheus with a recorded hour of requests and a school that it scrapes, and a proxy that wants a token."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from tests.service.servers import free_port, stopped, wait_for
from tests.testbed.layout import Layout
from tests.testbed.programs import unpack_package

PROGRAMS = unpack_package(Layout.current(), "prometheus") / "usr" / "bin"
# Requests per second of each pod in the recording; `idle` had none, so its share of errors is a division by none.
REQUESTS = {"a": 30.0, "b": 60.0, "idle": 0.0}
RECORDED, STEP = 3600, 15
CONFIGURATION = """
scrape_configs:
- job_name: school
  scrape_interval: 100ms
  scrape_timeout: 100ms
  static_configs: [{{targets: ['127.0.0.1:{target}']}}]
"""


class PrometheusServer:
    """One Prometheus. ``target`` is the loopback port that it scrapes; it can be killed and started again."""

    def __init__(self, target: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aada-prometheus-"))
        self.port, self._target = free_port(), target
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.folder / "prometheus.yml").write_text(CONFIGURATION.format(target=self._target))
        (self.folder / "requests").write_text(recording(time.time()))
        argv = [str(PROGRAMS / "promtool"), "tsdb", "create-blocks-from", "openmetrics", "requests", "data"]
        subprocess.run(argv, check=True, capture_output=True, cwd=self.folder)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: str) -> None:
        """Start it, with the series that it had, and wait until it answers queries."""
        argv = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            str(PROGRAMS / "prometheus"),
            "--config.file=prometheus.yml",
            *options,
        ]
        argv += ["--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{self.port}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
        wait_for(self._is_ready, "Prometheus to be ready")

    def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"Prometheus ended: {(self.folder / 'log').read_text()[-2000:]}")
        with suppress(URLError, TimeoutError, ConnectionError):
            return bool(urlopen(f"{self.url}/-/ready", timeout=1).status == 200)
        return False

    @contextmanager
    def killed(self) -> Iterator[None]:
        """It is gone, as with its node, and comes back with the series that it had."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def frozen(self) -> AbstractContextManager[None]:
        """It accepts connections and answers none."""
        return stopped(self._process)


def recording(now: float) -> str:
    """OpenMetrics text of `REQUESTS`, in the hour before ``now``: nothing older than a recording is scraped."""
    first = int(now) - RECORDED
    lines = ["# TYPE http_requests counter"]
    for pod, rate in REQUESTS.items():
        lines += [
            f'http_requests_total{{pod="{pod}"}} {rate * second} {first + second}'
            for second in range(0, RECORDED, STEP)
        ]
    return "\n".join([*lines, "# EOF", ""])


class SchoolMetrics:
    """What the pods of a school expose: ``load`` requests under way, of all of them."""

    def __init__(self) -> None:
        self.load = 0.0
        self.port = free_port()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        school = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(school.text().encode())

            def log_message(self, *_: object) -> None:
                """Ten lines a second tell nothing."""

        return Handler

    def text(self) -> str:
        """The page that is scraped."""
        lines = [f'http_requests_in_flight{{pod="{pod}"}} {self.load / 2}\n' for pod in ("a", "b")]
        return "".join(["# TYPE http_requests_in_flight gauge\n", *lines])


class TokenProxy:
    """Passes on what comes with the right bearer token: Prometheus itself knows none."""

    def __init__(self, prometheus: PrometheusServer, token: str) -> None:
        self._prometheus, self._token = prometheus, token
        app = web.Application()
        app.add_routes([web.get("/api/v1/query", self._pass)])
        self._server = TestServer(app, port=free_port())

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def _pass(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        async with ClientSession() as session, session.get(f"{self._prometheus.url}{request.path_qs}") as found:
            return web.Response(body=await found.read(), status=found.status, content_type=found.content_type)
