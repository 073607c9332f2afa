"""What is in a database: rows and digests of tables, sequences, schema revision; the same question before and after."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from psycopg import sql

from aada_operator.api.manifest import Table
from aada_operator.worker.catalog import TableName, list_sequences, list_tables
from aada_operator.worker.server import Connection

LARGE_OBJECTS = ("pg_catalog", "pg_largeobject")
_REVISION_COLUMN = "version_num"


@dataclass(frozen=True)
class SequenceState:
    """Where a sequence is."""

    last_value: int
    is_called: bool


SequenceName = tuple[str, str]


@dataclass(frozen=True)
class Contents:
    """Everything of a database that a manifest names and a restored copy must equal."""

    tables: list[Table]
    sequences: dict[SequenceName, SequenceState]
    revision: str | None


def read_contents(
    connection: Connection, revision_table: str | None, measured: Callable[[], None] = lambda: None
) -> Contents:
    """The contents of a database that nobody writes to; ``measured`` is called after each table."""
    tables = measure_tables(connection, list_tables(connection), measured)
    return Contents(tables, read_sequences(connection), read_revision(connection, revision_table))


def measure_tables(
    connection: Connection, tables: Iterable[TableName], measured: Callable[[], None] = lambda: None
) -> list[Table]:
    """Rows and content digest of every table with rows of its own, and of all large objects together.

    The digest is the sum of a 64-bit hash of each row's text. A sum does not depend on the order of rows, and counts
    duplicates, which an XOR would cancel; PostgreSQL adds in 128 bits, so it never overflows. The columns are taken
    in alphabetical order, because a restored child of an inherited table may have them in another physical order.
    The hash is PostgreSQL's own and equal on all servers of the same byte order; session settings must be pinned.
    """
    found = []
    for table in tables:
        if table.stored:
            found.append(_measure(connection, table))
            measured()
    large_objects = _measure_large_objects(connection)
    return [*found, large_objects] if large_objects.rows else found


def _measure(connection: Connection, table: TableName) -> Table:
    columns = sql.SQL(", ").join(sql.Identifier("x", name) for name in table.columns)
    query = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({})::text, 0)), 0)::text FROM ONLY {} AS x"
    ).format(columns, sql.Identifier(table.schema, table.name))
    rows, digest = connection.execute(query).fetchall()[0]
    return Table(schema_=table.schema, name=table.name, rows=rows, digest=digest)


def _measure_large_objects(connection: Connection) -> Table:
    rows, digest = connection.execute(
        """
        SELECT count(*), coalesce(sum(hashtextextended(oid::text || encode(sha256(lo_get(oid)), 'hex'), 0)), 0)::text
        FROM pg_largeobject_metadata
        """
    ).fetchall()[0]
    schema, name = LARGE_OBJECTS
    return Table(schema_=schema, name=name, rows=rows, digest=digest)


def read_sequences(connection: Connection) -> dict[SequenceName, SequenceState]:
    """Where every sequence is now, whatever the snapshot: sequences do not follow transactions."""
    states = {}
    for name in list_sequences(connection):
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(*name))
        last_value, is_called = connection.execute(query).fetchall()[0]
        states[name] = SequenceState(last_value, is_called)
    return states


def read_revision(connection: Connection, table: str | None) -> str | None:
    """The schema's revision in ``table`` (``name`` in public, or ``schema.name``); several heads joined by commas."""
    if table is None:
        return None
    schema, _, name = table.rpartition(".")
    found = connection.execute(
        "SELECT FROM information_schema.columns WHERE (table_schema, table_name, column_name) = (%s, %s, %s)",
        [schema or "public", name, _REVISION_COLUMN],
    )
    if not found.rowcount:
        return None
    query = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
        sql.Identifier(_REVISION_COLUMN), sql.Identifier(schema or "public", name)
    )
    return ",".join(str(revision) for (revision,) in connection.execute(query)) or None
