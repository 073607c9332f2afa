"""/healthz, /readyz and /metrics on one port.

The server runs on the same event loop as the reconcilers: a loop that is stuck does not answer, and the kubelet's
probe times out. A single visit that hangs is seen by its age.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from aada_operator.core import metrics
from aada_operator.core.workqueue import WorkQueue

_TEXT = CONTENT_TYPE_LATEST


class Endpoints:
    """The three routes; ``ready`` tells whether the process did what it must before it is of use."""

    def __init__(self, queue: WorkQueue, ready: Callable[[], bool], stuck_after: float) -> None:
        self._queue = queue
        self._ready = ready
        self._stuck_after = stuck_after

    async def healthz(self, _: web.Request) -> web.Response:
        age = self._queue.longest_visit()
        if age > self._stuck_after:
            return web.Response(status=500, text=f"a visit has been at work for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._ready() else web.Response(status=503, text="starting\n")

    async def metrics(self, _: web.Request) -> web.Response:
        metrics.QUEUE_DEPTH.set(self._queue.depth())
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": _TEXT})


async def serve(endpoints: Endpoints, port: int) -> web.AppRunner:
    """Listen on all addresses; the runner's ``cleanup`` stops it."""
    app = web.Application()
    app.router.add_get("/healthz", endpoints.healthz)
    app.router.add_get("/readyz", endpoints.readyz)
    app.router.add_get("/metrics", endpoints.metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
