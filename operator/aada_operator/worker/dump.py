"""pg_dump | zstd | age -> objects, while a second session of the same snapshot counts and hashes every table."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import psycopg

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.postgres_errors import Place
from aada_operator.api.manifest import Part, Table
from aada_operator.api.task import DUMP_FAILED, BackupTask
from aada_operator.core.errors import OperatorError
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import pack, parse_recipients
from aada_operator.worker.content import measure_tables
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.progress import Reporter
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.snapshot import Snapshot, guarded, joined
from aada_operator.worker.streams import Limited, Observed, Pump
from aada_operator.worker.tools import Tool


class GiveUp:
    """What has to be done for giving up, which may be called for at any time and by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._called = False

    def by(self, action: Callable[[], None]) -> None:
        """Add an action; it is done at once when it is called for already."""
        with self._lock:
            self._actions.append(action)
            late = self._called
        if late:
            action()

    def __call__(self) -> None:
        with self._lock:
            self._called = True
            actions = list(self._actions)
        for action in actions:
            action()


@dataclass
class Dump:
    """One dump of one snapshot into the objects ``<prefix>dump-00000…`` of the task's folder."""

    task: BackupTask
    store: ObjectStore
    server: Server
    snapshot: Snapshot
    programs: Path
    prefix: str
    reporter: Reporter
    _plain_bytes: int = 0
    _reads: int = 0

    def run(self) -> tuple[list[Part], list[Table]]:
        """The objects, and what the tables in them hold.

        Raises:
            OperatorError: nothing of it counts; uploads that were begun are aborted.
        """
        database, snapshot = self.task.database.name, self.snapshot
        place = self.server.place(database)
        give_up = GiveUp()
        with (
            self.server.tool_environment(snapshot.connection.info.server_version, database) as environment,
            Tool(self._arguments(), environment, place, DUMP_FAILED, stdout=subprocess.PIPE) as pg_dump,
            guarded(snapshot, self.task.max_snapshot_age_seconds, place, give_up),
            joined(self.server, database, snapshot) as reader,
            in_background(partial(self._measure, reader, place), reader, pg_dump.kill) as tables,
            Pump(partial(self._produce, pg_dump), pg_dump.kill) as stream,
        ):
            give_up.by(pg_dump.kill)
            give_up.by(partial(_cancel, tables, reader))
            return self._upload(stream), tables.result()

    def _arguments(self) -> list[str]:
        return [
            str(self.programs / "pg_dump"),
            "--format=custom",
            "--compress=0",
            "--no-password",
            f"--snapshot={self.snapshot.identifier}",
            f"--lock-wait-timeout={self.task.lock_timeout_seconds * 1000}",
        ]

    def _produce(self, pg_dump: Tool, sink: IO[bytes]) -> None:
        recipients = parse_recipients(self.task.recipients)
        pack(Observed(pg_dump.stdout, self._dumped), sink, self.task.compression_level, recipients)
        pg_dump.finish()

    def _dumped(self, count: int) -> None:
        self._plain_bytes += count
        self.reporter.add(count)

    def _measure(self, connection: Connection, place: Place) -> list[Table]:
        with statement_failures(place, DUMP_FAILED):
            tables = measure_tables(connection, self.snapshot.tables, lambda: self.reporter.add(tables=1))
            # The locks go as soon as they can.
            connection.execute("ROLLBACK")
        return tables

    def _upload(self, stream: Pump) -> list[Part]:
        """Cut the stream into objects of a bounded size: S3 limits the parts of one upload."""
        parts: list[Part] = []
        while not parts or not stream.exhausted:
            key = f"{self.prefix}dump-{len(parts):05d}.pgc.zst{'.age' if self.task.recipients else ''}"
            plain_before = self._plain_bytes
            piece = Observed(Limited(stream, self.task.object_bytes), self._read)
            stored = self.store.upload(f"{self.task.folder}/{key}", piece)
            parts.append(
                Part(
                    key=key,
                    encryption="age" if self.task.recipients else "none",
                    size=stored.size,
                    sha256=stored.sha256,
                    plain_size=self._plain_bytes - plain_before,
                )
            )
        return parts

    def _read(self, _: int) -> None:
        self._reads += 1
        failpoint(f"worker.backup.read-{self._reads}")


@contextmanager
def in_background(
    work: Callable[[], list[Table]], connection: Connection, give_up: Callable[[], None]
) -> "Iterator[Future[list[Table]]]":
    """Run ``work``, which uses ``connection``, beside the body.

    When it fails, ``give_up`` makes the body fail, and its own error is raised instead of the body's. When the body
    fails first, its statement is cancelled.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="measure") as executor:
        future = executor.submit(work)
        future.add_done_callback(lambda done: give_up() if done.exception() else None)
        try:
            yield future
        except BaseException:
            cause = future.exception() if future.done() else None
            _cancel(future, connection)
            if isinstance(cause, OperatorError):
                raise cause from None
            raise


def _cancel(future: "Future[Any]", connection: Connection) -> None:
    # A cancellation that arrives between two statements hits none of them, so it is repeated.
    while not future.done():
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=5)
        wait([future], timeout=1)
