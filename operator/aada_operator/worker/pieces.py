"""Tables cut into pieces that several sessions read at once; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import LiteralString

from psycopg import sql

from aada_operator.worker.catalog import Extent, TableName

# 2 MiB of rows. A piece that did not change gives the same bytes again, whatever happened to the rest of its table.
PIECE_PAGES = 256
# A larger table has larger pieces: what is appended costs one piece, which is then less than 1 % of it.
_MOST_SMALL_PIECES = 128
_PAGE_BYTES = 8192
# Before, a condition on ctid read the whole table.
_TID_RANGE_SCANS = 140000


@dataclass(frozen=True)
class Piece:
    """The rows of a table from ``begin`` up to ``end``, without an end or a beginning where these are missing.

    Both are values of the integer column ``key``, in whose order the rows are read, or without one numbers of pages.
    """

    table: TableName
    number: int
    begin: int | None = None
    end: int | None = None
    key: str | None = None

    @property
    def place(self) -> "dict[str, str | int]":
        """The fields of a part that say where its rows belong."""
        return {"schema_": self.table.schema, "table": self.table.name, "piece": self.number}

    def statement(self) -> str:
        """The COPY that writes these rows."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.table.given))
        rows = sql.SQL("SELECT {} FROM ONLY {}").format(columns, sql.Identifier(self.table.schema, self.table.name))
        limits = [
            self._limit(sign, limit) for sign, limit in ((">=", self.begin), ("<", self.end)) if limit is not None
        ]
        where = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(limits)) if limits else sql.SQL("")
        order = sql.SQL(" ORDER BY {}").format(sql.Identifier(self.key)) if self.key else sql.SQL("")
        option = sql.SQL(self.table.frame.option)
        return sql.SQL("COPY ({}{}{}) TO STDOUT{}").format(rows, where, order, option).as_string()

    def _limit(self, sign: LiteralString, limit: int) -> sql.Composed:
        if self.key:
            return sql.SQL("{} " + sign + " {}").format(sql.Identifier(self.key), limit)
        return sql.SQL("ctid " + sign + " '({},0)'").format(limit)


def by_copy(table: TableName) -> bool:
    """Whether the rows of a table can be written by COPY and read by it again."""
    return table.stored and bool(table.given)


def cut(tables: list[TableName], extents: Mapping[int, Extent], server_version: int) -> list[Piece]:
    """The pieces of all tables whose rows COPY can write, those of the largest tables first."""
    largest = sorted(filter(by_copy, tables), key=lambda table: extents[table.oid].size, reverse=True)
    return [piece for table in largest for piece in _cut(table, extents[table.oid], server_version)]


def piece_pages(pages: int) -> int:
    """How many pages a piece of a table has; doubled as the table doubles, so that it rarely changes as it grows."""
    size = PIECE_PAGES
    while pages > _MOST_SMALL_PIECES * size:
        size *= 2
    return size


def key_step(span: int, size: int) -> int:
    """How many values of its key a piece of a table of ``size`` bytes has: a power of two, for the same reason.

    ``span`` is the number of values between the lowest and the highest key. A piece has as many bytes as one that is
    cut by pages, or up to twice that; where the keys have large gaps some pieces have more and others none.
    """
    pages = max(1, size // _PAGE_BYTES)
    wanted = max(1, span * piece_pages(pages) // pages)
    return 1 << (wanted - 1).bit_length()


def _cut(table: TableName, extent: Extent, server_version: int) -> list[Piece]:
    if keys := extent.keys:
        # New rows have new keys and go into the last pieces, also those that fill holes between old rows on disk.
        step = key_step(keys.high - keys.low + 1, extent.size)
        return _pieces(table, range(keys.low // step * step, keys.high + 1, step), keys.column)
    if server_version < _TID_RANGE_SCANS:
        return [Piece(table, 0)]
    return _pieces(table, range(0, max(extent.pages, 1), piece_pages(extent.pages)))


def _pieces(table: TableName, begins: range, key: str | None = None) -> list[Piece]:
    """One piece for each beginning; the first and the last are open, so that every row is in exactly one."""
    # After the last, for example: pages that were added meanwhile hold nothing that the snapshot sees.
    limits = [None, *begins[1:], None]
    return [Piece(table, number, begin, end, key) for number, (begin, end) in enumerate(pairwise(limits))]
