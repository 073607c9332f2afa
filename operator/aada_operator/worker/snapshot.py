"""One consistent view of a database, held while several sessions read it, and given up rather than be in the way."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from aada_operator.adapters.postgres_errors import Place
from aada_operator.api.task import DUMP_FAILED, LOCK_TIMEOUT, SNAPSHOT_FAILED
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.worker.catalog import TableName, list_tables, refuse_unreadable
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.tools import Tool

_TRIES = 5
_LOOK_SECONDS = 1.0

# Someone waits for a lock that only we could be in the way of. The lock queue is fair, so behind such a waiter every
# query on the table waits as well: the application would stand still until the dump ends.
_WAITING_BEHIND_US = """
    SELECT c.relname FROM pg_locks w
    JOIN pg_locks h ON h.locktype = 'relation' AND h.database = w.database AND h.relation = w.relation
                   AND h.granted AND h.pid = pg_backend_pid()
    JOIN pg_class c ON c.oid = w.relation
    WHERE w.locktype = 'relation' AND NOT w.granted AND w.mode = 'AccessExclusiveLock' LIMIT 1
"""


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot and the tables in it, all of them locked against DDL by ``connection``."""

    connection: Connection
    identifier: str
    taken_at: str
    tables: list[TableName]


@dataclass(frozen=True)
class Source:
    """How programs of PostgreSQL are led to a snapshot."""

    snapshot: Snapshot
    programs: Path
    environment: dict[str, str]
    place: Place

    def program(self, name: str, *arguments: str) -> Tool:
        """A program that reads from a pipe and writes to one, not started yet."""
        argv = [str(self.programs / name), *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return Tool(argv, self.environment, self.place, DUMP_FAILED, **pipes, buffered=False)


@contextmanager
def hold_snapshot(server: Server, database: str, lock_timeout: int) -> Iterator[Snapshot]:
    """Take and hold a snapshot in which no table can have been emptied or rewritten between lock and snapshot.

    LOCK TABLE is a utility statement: it takes no snapshot of its own, so the view begins after all locks are held.
    Taken the other way round, a TRUNCATE in between would make count and dump agree on zero rows.
    ``lock_timeout`` is in seconds.

    Raises:
        Stalled: InsufficientPrivilege.
        Waiting: LockTimeout; SnapshotFailed when tables come and go too fast; database failures.
    """
    with closing(server.connect(database)) as connection:
        with statement_failures(server.place(database), SNAPSHOT_FAILED):
            refuse_unreadable(connection)
            snapshot = _take(connection, lock_timeout)
        yield snapshot


def _take(connection: Connection, lock_timeout: int) -> Snapshot:
    for _ in range(_TRIES):
        wanted = list_tables(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(f"SET LOCAL lock_timeout = '{lock_timeout:d}s'".encode())
        try:
            lock_tables(connection, wanted)
        except psycopg.errors.UndefinedTable:
            connection.execute("ROLLBACK")
            continue
        row = connection.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        if row and list_tables(connection) == wanted:
            connection.execute("SET LOCAL lock_timeout = 0")
            return Snapshot(connection, row[0], to_rfc3339(row[1]), wanted)
        connection.execute("ROLLBACK")
    raise Waiting(SNAPSHOT_FAILED, "tables are made or dropped all the time: back up while no migration runs")


def lock_tables(connection: Connection, tables: list[TableName], *, nowait: bool = False) -> None:
    """Keep DDL away from the tables until the end of the transaction; reading and writing go on."""
    if tables:
        connection.execute(lock_statement(tables, nowait=nowait).encode())


def lock_statement(tables: list[TableName], *, nowait: bool = False) -> str:
    """The LOCK TABLE for one or more tables; nothing for none."""
    if not tables:
        return ""
    names = sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(table.schema, table.name)) for table in tables)
    statement = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE {}").format(names, sql.SQL("NOWAIT" if nowait else ""))
    return statement.as_string()


@contextmanager
def joined(server: Server, database: str, snapshot: Snapshot) -> Iterator[Connection]:
    """A second session that sees the same snapshot."""
    with closing(server.connect(database)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot.identifier))
        # Without NOWAIT this session could queue behind DDL that itself waits for the snapshot's holder.
        lock_tables(connection, snapshot.tables, nowait=True)
        yield connection


@contextmanager
def guarded(snapshot: Snapshot, max_age: float, place: Place, give_up: Callable[[], None]) -> Iterator[None]:
    """Watch over a held snapshot meanwhile: too old, in the way of DDL, or lost with its session, it is given up.

    The snapshot and its locks are released at once. ``give_up`` is called from a thread; it must end the other
    sessions and make the body fail, and the reason is raised in place of that failure.

    Raises:
        Waiting: SnapshotFailed, LockTimeout or a database failure.
    """
    guard = _Guard(snapshot, place, time.monotonic() + max_age, give_up)
    thread = threading.Thread(target=guard.watch, name="snapshot-guard", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        # A body that succeeded all the same has everything: then there is nothing to give up.
        guard.end(thread)
        if guard.failure:
            raise guard.failure from None
        raise
    finally:
        guard.end(thread)


class _Guard:
    def __init__(self, snapshot: Snapshot, place: Place, deadline: float, give_up: Callable[[], None]) -> None:
        self._snapshot = snapshot
        self._place = place
        self._deadline = deadline
        self._give_up = give_up
        self._ended = threading.Event()
        self.failure: OperatorError | None = None

    def end(self, thread: threading.Thread) -> None:
        self._ended.set()
        thread.join()

    def watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                with statement_failures(self._place, SNAPSHOT_FAILED):
                    self._look()
            except OperatorError as failure:
                self.failure = failure
                # The body may hang in a request to the storage for minutes: the locks do not wait for that.
                self._snapshot.connection.close()
                self._give_up()
                return

    def _look(self) -> None:
        if time.monotonic() > self._deadline:
            raise Waiting(
                SNAPSHOT_FAILED, "the dump took longer than maxSnapshotAge: raise it, or back up in quiet hours"
            )
        blocked = self._snapshot.connection.execute(_WAITING_BEHIND_US).fetchone()
        if blocked:
            message = f"a change of table {blocked[0]} waits for the backup, which gave way: tried again"
            raise Waiting(LOCK_TIMEOUT, message)
