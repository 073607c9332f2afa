"""The operator in a process of its own, which a fail-point really kills; its API server stays with the test.

A process costs a few milliseconds: it is forked from one that has imported everything and has done nothing yet.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aada_operator.__main__ import configure_logging
from aada_operator.core.controller import Capability, Controller
from aada_operator.core.failpoints import VARIABLE
from aada_operator.core.resources import AADA_LMS, SECRET_ROTATIONS
from aada_operator.core.workqueue import Key
from aada_operator.lms import reconcile as lms
from aada_operator.rotations import reconcile as rotations
from tests.service.lms_world import LmsServer
from tests.unit.backups.api_server import Crash, SetClock

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
_CAPABILITIES: dict[str, Callable[..., Capability[Any]]] = {
    AADA_LMS.plural: lms.capability,
    SECRET_ROTATIONS.plural: rotations.capability,
}


class OperatorProcess:
    """Has a `Controller`'s visit for AadaLms and SecretRotation; it logs everything into a file, as JSON.

    ``killed`` says whether a fail-point has killed it.
    """

    def __init__(self, server: LmsServer, clock: SetClock, log: Path, failpoints: str = "") -> None:
        self._server, self._clock, self.killed = server, clock, False
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_operate, args=(theirs, str(log), failpoints), daemon=True)
        self._process.start()
        theirs.close()

    async def visit(self, key: Key) -> float | None:
        """One visit, whose requests are answered here.

        Raises:
            Crash: it was killed.
            Exception: as the visit did.
        """
        try:
            self._pipe.send((key, self._clock.now()))
            while (said := self._pipe.recv())[0] == "ask":
                self._pipe.send(await _outcome(lambda call=said: getattr(self._server, call[1])(*call[2], **call[3])))  # type: ignore[misc]
        except (EOFError, ConnectionError):
            self._process.join(10)
            assert self._process.exitcode == -signal.SIGKILL, f"the operator ended with {self._process.exitcode}"
            self.killed = True
            raise Crash(str(key)) from None
        return _unpacked(said)  # type: ignore[no-any-return]

    def end(self) -> None:
        """It goes in whatever it does."""
        self._process.kill()
        self._process.join(10)
        self._pipe.close()


def _operate(pipe: Connection, log: str, failpoints: str) -> None:
    os.environ[VARIABLE] = failpoints
    with Path(log).open("a", buffering=1) as sys.stdout:
        configure_logging("json", "DEBUG")
        asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    """Visits, one after the other, until the test ends."""
    server, clock = _Server(pipe), SetClock()
    controllers: dict[str, Controller[Any]] = {
        plural: Controller(capability(server, allow_local=True), server, server, clock)  # type: ignore[arg-type]
        for plural, capability in _CAPABILITIES.items()
    }
    while True:
        try:
            key, clock.moment = pipe.recv()
        except EOFError:
            return
        pipe.send(await _outcome(lambda key=key: controllers[key.plural].visit(key)))  # type: ignore[misc]


class _Server:
    """The API server at the other end, and where Events go."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            self._pipe.send(("ask", name, args, kwargs))
            return _unpacked(self._pipe.recv())

        return ask


async def _outcome(act: Callable[[], Awaitable[Any]]) -> tuple[str, Any]:
    try:
        return "done", await act()
    except Exception as error:
        return "failed", error


def _unpacked(outcome: tuple[str, Any]) -> Any:
    how, what = outcome
    if how == "failed":
        raise what
    return what
