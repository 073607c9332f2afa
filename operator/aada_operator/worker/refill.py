"""Rows of a backup into empty tables, by several streams that keep out of each other's way."""

import hashlib
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from psycopg import sql

from aada_operator.adapters.sealed import Identity, open_sealed
from aada_operator.api.manifest import Manifest, Part
from aada_operator.api.task import RESTORE_FAILED, TERMINATED
from aada_operator.core.errors import Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.formats import FRAMES, Frame
from aada_operator.worker.parallel import GiveUp, one_ahead
from aada_operator.worker.progress import Reporter
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.stored import StoredBackup

Name = tuple[str, str]


@dataclass(frozen=True)
class Target:
    """A table, and how COPY reads its rows."""

    name: Name
    columns: tuple[str, ...]
    frame: Frame

    def statement(self) -> sql.Composed:
        """The COPY that reads them."""
        columns, option = sql.SQL(", ").join(map(sql.Identifier, self.columns)), sql.SQL(self.frame.option)
        return sql.SQL("COPY {} ({}) FROM STDIN{}").format(sql.Identifier(*self.name), columns, option)


class TableQueue:
    """The rows of a backup: each stream stays with its table, because two in one table wait for each other.

    Streams that share a table take it by pieces: a row may begin in one part of a piece and end in the next.
    """

    def __init__(self, manifest: Manifest) -> None:
        tables = {(table.schema_, table.name): table for table in manifest.tables}
        self._lock = threading.Lock()
        self._users: Counter[Target] = Counter()
        self._left: defaultdict[Target, deque[list[Part]]] = defaultdict(deque)
        copied = (part for part in manifest.parts if part.kind == "copy")
        for (schema, name, _), parts in groupby(copied, key=lambda part: (part.schema_, part.table, part.piece)):
            table = tables[str(schema), str(name)]
            target = Target((table.schema_, table.name), tuple(table.columns), FRAMES[table.format])
            self._left[target].append(list(parts))

    def take(self) -> Iterator[tuple[Target, Part]]:
        """Parts for one stream, until none is left for any; those of one table in a row belong into one COPY."""
        while (target := self._enter()) is not None:
            try:
                while piece := self._next(target):
                    yield from ((target, part) for part in piece)
            finally:
                self._leave(target)

    def _enter(self) -> Target | None:
        with self._lock:
            targets = [target for target, pieces in self._left.items() if pieces]
            if not targets:
                return None
            # Alone in a table is best, then the one with most to do.
            chosen = min(targets, key=lambda target: (self._users[target], -len(self._left[target])))
            self._users[chosen] += 1
            return chosen

    def _next(self, target: Target) -> list[Part] | None:
        with self._lock:
            return self._left[target].popleft() if self._left[target] else None

    def _leave(self, target: Target) -> None:
        with self._lock:
            self._users[target] -= 1


@dataclass(frozen=True)
class RowLoader:
    """Loads rows into the database ``name``; any number of threads may do so."""

    backup: StoredBackup
    identities: "list[Identity]"
    server: Server
    name: str
    reporter: Reporter
    give_up: GiveUp

    def load(self, queue: TableQueue) -> None:
        """Rows until none are left.

        Raises:
            OperatorError: the tables hold a part of the rows.
        """
        with (
            closing(self.server.connect(self.name)) as connection,
            statement_failures(self.server.place(self.name), RESTORE_FAILED),
            # The server takes the rows of one part while the next one is fetched and opened.
            one_ahead(self._read, queue.take()) as read,
        ):
            for target, rows in groupby(read, key=itemgetter(0)):
                self._copy(connection, target, map(itemgetter(1), rows))

    def _copy(self, connection: Connection, target: Target, rows: Iterable[bytes]) -> None:
        with connection.cursor() as cursor, cursor.copy(target.statement()) as copy:
            copy.write(target.frame.header)
            for some in rows:
                copy.write(some)
            copy.write(target.frame.trailer)

    def _read(self, taken: tuple[Target, Part]) -> tuple[Target, bytes]:
        if self.give_up.called:
            raise Waiting(TERMINATED, "another stream of the load failed")
        target, part = taken
        return target, self._rows(part)

    def _rows(self, part: Part) -> bytes:
        sealed = self.backup.store.read(self.backup.key(part))
        self.backup.demand_hash(part, hashlib.sha256(sealed).hexdigest())
        self.reporter.add(len(sealed))
        failpoint("worker.load.copy")
        return open_sealed(sealed, part.plain_size, self.identities)
