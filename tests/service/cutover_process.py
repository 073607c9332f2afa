"""The operator in a process of its own that is really killed, while the API server in memory lives on in a file."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

from aada_operator.adapters import storage
from aada_operator.core import failpoints
from aada_operator.core.controller import Controller
from aada_operator.core.resources import RESTORES
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.core.workqueue import Key
from aada_operator.restores.reconcile import capability
from tests.service.lms_world import LmsServer
from tests.unit.backups.api_server import NAMESPACE, Crash, NoEvents
from tests.unit.backups.school import Bucket

# Processes of it begin in milliseconds, and have nothing of the threads of the test's own.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclass
class FiledServer(LmsServer):
    """What was written is in ``file`` before the operator gets the answer; its killer kills the process."""

    file: Path = Path()

    @classmethod
    def load(cls, file: Path) -> Self:
        """The server as it was when it last answered."""
        found = pickle.loads(file.read_bytes())
        assert isinstance(found, cls)
        return found

    def save(self) -> None:
        """All or nothing."""
        half = self.file.with_suffix(".half")
        half.write_bytes(pickle.dumps(self))
        half.replace(self.file)

    def _write(self, what: str, act: Callable[[], Any]) -> Any:
        try:
            result = super()._write(what, act)
        except Crash:
            self.save()
            os.kill(os.getpid(), signal.SIGKILL)
            raise
        self.save()
        return result


class _Armed:
    """The fail-points that are set: to ``kill`` where the killer was not yet."""

    def __init__(self, server: FiledServer) -> None:
        self._server = server

    def get(self, point: str) -> str | None:
        try:
            if self._server.killer:
                self._server.killer.at(point)
        except Crash:
            self._server.save()
            return "kill"
        return None


def visit_restore(file: Path, bucket: Bucket, name: str) -> bool:
    """One visit of a Restore by an operator that has just started; False: it was killed in the middle.

    Raises:
        RuntimeError: it ended in another way; its traceback is in the output.
    """
    process = _PROCESSES.Process(target=_visit, args=(file, bucket, name))
    process.start()
    process.join(60)
    if process.exitcode not in (0, -signal.SIGKILL):
        process.kill()
        raise RuntimeError(f"the visit ended with {process.exitcode}")
    return process.exitcode == 0


def _visit(file: Path, bucket: Bucket, name: str) -> None:
    server = FiledServer.load(file)
    with (
        patch.object(storage, "ObjectStore", bucket.opened),
        patch.object(failpoints, "_armed", lambda: _Armed(server)),
    ):
        kind = capability(server, WorkerImage("operator:1"), allow_local=True)  # type: ignore[arg-type]
        controller = Controller(kind, server, NoEvents(), server.clock)
        asyncio.run(controller.visit(Key(RESTORES.plural, NAMESPACE, name)))
    server.save()
