"""Rows of a backup into empty tables, by several streams that keep out of each other's way."""

import hashlib
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

from psycopg import sql

from aada_operator.adapters.sealed import Identity, open_sealed
from aada_operator.api.manifest import Manifest, Part
from aada_operator.api.task import RESTORE_FAILED, TERMINATED
from aada_operator.core.errors import Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.formats import FRAMES, Frame
from aada_operator.worker.parallel import GiveUp
from aada_operator.worker.progress import Reporter
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.stored import StoredBackup

Name = tuple[str, str]


@dataclass(frozen=True)
class Batch:
    """Parts that are one COPY into one table."""

    table: Name
    columns: list[str]
    frame: Frame
    parts: list[Part]

    def statement(self) -> sql.Composed:
        """The COPY that reads them."""
        columns, option = sql.SQL(", ").join(map(sql.Identifier, self.columns)), sql.SQL(self.frame.option)
        return sql.SQL("COPY {} ({}) FROM STDIN{}").format(sql.Identifier(*self.table), columns, option)


class TableQueue:
    """The batches of a backup: each stream stays with its table, because two in one table wait for each other."""

    def __init__(self, manifest: Manifest) -> None:
        tables = {(table.schema_, table.name): table for table in manifest.tables}
        self._lock = threading.Lock()
        self._users: Counter[Name] = Counter()
        self._left: defaultdict[Name, deque[Batch]] = defaultdict(deque)
        copied = (part for part in manifest.parts if part.kind == "copy")
        for (schema, name, _), parts in groupby(copied, key=lambda part: (part.schema_, part.table, part.piece)):
            table = (str(schema), str(name))
            columns, frame = tables[table].columns, FRAMES[tables[table].format]
            self._left[table].append(Batch(table, columns, frame, list(parts)))

    def take(self) -> Iterator[Batch]:
        """Batches for one stream, until none is left for any."""
        while (table := self._enter()) is not None:
            try:
                while batch := self._next(table):
                    yield batch
            finally:
                self._leave(table)

    def _enter(self) -> Name | None:
        with self._lock:
            tables = [table for table, batches in self._left.items() if batches]
            if not tables:
                return None
            # Alone in a table is best, then the one with most to do.
            chosen = min(tables, key=lambda table: (self._users[table], -len(self._left[table])))
            self._users[chosen] += 1
            return chosen

    def _next(self, table: Name) -> Batch | None:
        with self._lock:
            return self._left[table].popleft() if self._left[table] else None

    def _leave(self, table: Name) -> None:
        with self._lock:
            self._users[table] -= 1


@dataclass(frozen=True)
class RowLoader:
    """Loads batches into the database ``name``; any number of threads may do so."""

    backup: StoredBackup
    identities: "list[Identity]"
    server: Server
    name: str
    reporter: Reporter
    give_up: GiveUp

    def load(self, queue: TableQueue) -> None:
        """Batches until none is left.

        Raises:
            OperatorError: the tables hold a part of the rows.
        """
        with (
            closing(self.server.connect(self.name)) as connection,
            statement_failures(self.server.place(self.name), RESTORE_FAILED),
        ):
            for batch in queue.take():
                self._copy(connection, batch)

    def _copy(self, connection: Connection, batch: Batch) -> None:
        with connection.cursor() as cursor, cursor.copy(batch.statement()) as copy:
            copy.write(batch.frame.header)
            for part in batch.parts:
                if self.give_up.called:
                    raise Waiting(TERMINATED, "another stream of the load failed")
                copy.write(self._rows(part))
            copy.write(batch.frame.trailer)

    def _rows(self, part: Part) -> bytes:
        sealed = self.backup.store.read(self.backup.key(part))
        self.backup.demand_hash(part, hashlib.sha256(sealed).hexdigest())
        self.reporter.add(len(sealed))
        failpoint("worker.load.copy")
        return open_sealed(sealed, part.plain_size, self.identities)
