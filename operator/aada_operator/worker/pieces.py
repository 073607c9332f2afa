"""Tables cut into pieces that several sessions read at once; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from aada_operator.worker.catalog import Extent, TableName

# 2 MiB of rows. A piece that did not change gives the same bytes again, whatever happened to the rest of its table.
PIECE_PAGES = 256
# A larger table has larger pieces: what is appended costs one piece, which is then less than 1 % of it.
_MOST_SMALL_PIECES = 128
# Before, a condition on ctid read the whole table.
_TID_RANGE_SCANS = 140000


@dataclass(frozen=True)
class Piece:
    """The rows of a table from page ``first`` up to page ``end``, or to the end of the table."""

    table: TableName
    number: int
    first: int = 0
    end: int | None = None

    @property
    def place(self) -> "dict[str, str | int]":
        """The fields of a part that say where its rows belong."""
        return {"schema_": self.table.schema, "table": self.table.name, "piece": self.number}

    def statement(self) -> str:
        """The COPY that writes these rows."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.table.given))
        rows = sql.SQL("SELECT {} FROM ONLY {}").format(columns, sql.Identifier(self.table.schema, self.table.name))
        limits = [sql.SQL("ctid >= '({},0)'").format(self.first)] if self.first else []
        if self.end is not None:
            limits.append(sql.SQL("ctid < '({},0)'").format(self.end))
        where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(limits)) if limits else sql.SQL("")
        return sql.SQL("COPY ({}{}) TO STDOUT").format(rows, where).as_string()


def by_copy(table: TableName) -> bool:
    """Whether the rows of a table can be written by COPY and read by it again."""
    return table.stored and bool(table.given)


def cut(tables: list[TableName], extents: Mapping[int, Extent], server_version: int) -> list[Piece]:
    """The pieces of all tables whose rows COPY can write, those of the largest tables first."""
    largest = sorted(filter(by_copy, tables), key=lambda table: extents[table.oid].size, reverse=True)
    return [piece for table in largest for piece in _cut(table, extents[table.oid].pages, server_version)]


def piece_pages(pages: int) -> int:
    """How many pages a piece of a table has; doubled as the table doubles, so that it rarely changes as it grows."""
    size = PIECE_PAGES
    while pages > _MOST_SMALL_PIECES * size:
        size *= 2
    return size


def _cut(table: TableName, pages: int, server_version: int) -> list[Piece]:
    if server_version < _TID_RANGE_SCANS:
        return [Piece(table, 0)]
    # The last piece has no end: pages that were added meanwhile hold nothing that the snapshot sees.
    size = piece_pages(pages)
    begins = range(0, max(pages, 1), size)
    return [
        Piece(table, number, first, first + size if number + 1 < len(begins) else None)
        for number, first in enumerate(begins)
    ]
