"""A snapshot into objects: archives of pg_dump for what describes the tables, streams of COPY for their rows.

Another session of the same snapshot counts and hashes the tables meanwhile.
"""

from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aada_operator.adapters.postgres_errors import Place
from aada_operator.api.manifest import Part, Table
from aada_operator.api.task import DUMP_FAILED
from aada_operator.core.errors import Waiting
from aada_operator.worker.archives import archive
from aada_operator.worker.catalog import Extent, TableName
from aada_operator.worker.chunks import Copied, copy_pieces
from aada_operator.worker.content import choose_samples, measure_tables
from aada_operator.worker.destination import Destination
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.parallel import GiveUp, in_background, run_all
from aada_operator.worker.pieces import by_copy, cut
from aada_operator.worker.server import Connection, Server
from aada_operator.worker.snapshot import Snapshot, Source, guarded, joined


@dataclass(frozen=True)
class Dumped:
    """The objects of a dump, and what the tables in them hold."""

    parts: list[Part]
    tables: list[Table]
    new_bytes: int


@dataclass(frozen=True)
class Dump:
    """One dump of one snapshot, whose tables have the sizes ``extents``."""

    server: Server
    programs: Path
    snapshot: Snapshot
    extents: dict[int, Extent]
    destination: Destination

    def run(self) -> Dumped:
        """Everything.

        Raises:
            OperatorError: nothing of it counts; uploads that were begun are aborted.
        """
        task, snapshot = self.destination.task, self.snapshot
        place = self.server.place(task.database.name)
        give_up = GiveUp()
        with (
            self.server.tool_environment(self._server_version, task.database.name) as environment,
            guarded(snapshot, task.max_snapshot_age_seconds, place, give_up),
            joined(self.server, task.database.name, snapshot) as reader,
            in_background(partial(self._measure, reader, place), reader, give_up) as tables,
        ):
            source = Source(snapshot, self.programs, environment, place)
            archives, copied = self._read(source, give_up)
            measured = [self._described(table) for table in tables.result()]
        _demand_all_rows(measured, copied)
        parts = [*archives, *_in_order(copied)]
        known = {part.key for part in self.destination.base.parts.values()}
        new = {part.key: part.size for part in parts if part.key not in known}
        return Dumped(parts, measured, sum(new.values()))

    @property
    def _server_version(self) -> int:
        return self.snapshot.connection.info.server_version

    @property
    def _by_copy(self) -> list[TableName]:
        return [table for table in self.snapshot.tables if by_copy(table)]

    def _read(self, source: Source, give_up: GiveUp) -> tuple[list[Part], list[Copied]]:
        pieces = deque(cut(self._by_copy, self.extents, self._server_version))
        copied: list[list[Copied]] = []
        archives: list[Part] = []

        def read_archives() -> None:
            # Not --schema-only, which leaves out that there are large objects.
            sections = ("--section=pre-data", "--section=post-data")
            archives.extend(archive(source, self.destination, give_up, "schema", *sections))
            left_out = [f"--exclude-table-data={_pattern(table)}" for table in self._by_copy]
            archives.extend(archive(source, self.destination, give_up, "rest", "--section=data", *left_out))

        def read_rows() -> None:
            copied.append(copy_pieces(source, self.destination, give_up, pieces))

        streams = min(self.destination.task.streams, len(pieces))
        run_all([read_archives, *[read_rows] * streams], give_up)
        return archives, [piece for pieces in copied for piece in pieces]

    def _measure(self, connection: Connection, place: Place) -> list[Table]:
        with statement_failures(place, DUMP_FAILED):
            measured = partial(self.destination.reporter.add, tables=1)
            samples = choose_samples(self.snapshot.tables, self.extents)
            tables = measure_tables(connection, self.snapshot.tables, samples, measured)
            # The locks go as soon as they can.
            connection.execute("ROLLBACK")
        return tables

    def _described(self, table: Table) -> Table:
        """With the columns and the format that its rows were copied with."""
        names = {(name.schema, name.name): name for name in self._by_copy}
        if name := names.get((table.schema_, table.name)):
            return table.model_copy(update={"columns": list(name.given), "format": name.frame.format})
        return table


def _pattern(table: TableName) -> str:
    """A table as pg_dump's patterns name it: nothing inside quotes is special but the quote itself."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in (table.schema, table.name))


def _in_order(copied: list[Copied]) -> list[Part]:
    """The parts by table and piece, as they are to be read."""
    ordered = sorted(copied, key=lambda one: (one.piece.table.schema, one.piece.table.name, one.piece.number))
    return [part for one in ordered for part in one.parts]


def _demand_all_rows(tables: list[Table], copied: list[Copied]) -> None:
    """Make sure that as many rows were copied as were counted.

    Raises:
        Waiting: DumpFailed.
    """
    rows: Counter[tuple[str, str]] = Counter()
    for one in copied:
        rows[one.piece.table.schema, one.piece.table.name] += one.rows
    for table in tables:
        found = rows[table.schema_, table.name]
        if table.columns and found != table.rows:
            message = f"{found} rows of {table.schema_}.{table.name} were copied and {table.rows} were counted"
            raise Waiting(DUMP_FAILED, f"{message}: tried again")
