"""What is in a database: rows and digests of tables, sequences, schema revision; the same question before and after."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from aada_operator.api.manifest import Ancestor, Manifest, Sample, Table
from aada_operator.worker.catalog import Extent, TableName, list_sequences, list_tables
from aada_operator.worker.server import Connection

LARGE_OBJECTS = ("pg_catalog", "pg_largeobject")
_REVISION_COLUMN = "version_num"
# Hashing all rows of a large table takes longer than copying it; its chunks have hashes of their own.
_LARGE = 64 * 2**20
_ONE_IN = 64
Name = tuple[str, str]


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


def read_contents(connection: Connection, manifest: Manifest, measured: Callable[[], None] = lambda: None) -> Contents:
    """The contents of a database that nobody writes to, measured as those of ``manifest`` were.

    ``measured`` is called after each table.
    """
    samples = {(table.schema_, table.name): table.sample for table in manifest.tables if table.sample}
    tables = measure_tables(connection, list_tables(connection), samples, measured)
    return Contents(tables, read_sequences(connection), read_revision(connection, manifest.revision_table))


def choose_samples(tables: Iterable[TableName], extents: Mapping[int, Extent]) -> dict[Name, Sample]:
    """For which tables not all rows are hashed: large ones whose primary key tells which rows are."""
    return {
        (table.schema, table.name): Sample(one_in=_ONE_IN, key=list(table.key))
        for table in tables
        if table.stored and table.key and extents[table.oid].size >= _LARGE
    }


def measure_tables(
    connection: Connection,
    tables: Iterable[TableName],
    samples: Mapping[Name, Sample],
    measured: Callable[[], None] = lambda: None,
) -> list[Table]:
    """Rows and content digest of every table with rows of its own, and of all large objects together.

    For tables in ``samples`` all rows are counted and some are hashed.

    The digest is the sum of a 64-bit hash of each row's text. A sum does not depend on the order of rows, and counts
    duplicates, which an XOR would cancel; PostgreSQL adds in 128 bits, so it never overflows. The columns are taken
    in alphabetical order, because a restored child of an inherited table may have them in another physical order.
    The hash is PostgreSQL's own and equal on all servers of the same byte order; session settings must be pinned.
    """
    found = []
    for table in tables:
        if table.stored:
            found.append(_measure(connection, table, samples.get((table.schema, table.name))))
            measured()
    large_objects = _measure_large_objects(connection)
    return [*found, large_objects] if large_objects.rows else found


def _measure(connection: Connection, table: TableName, sample: Sample | None) -> Table:
    # What a filter leaves out is not even read from where it is stored out of line.
    chosen = sql.SQL(" FILTER (WHERE {} % {} = 0)").format(_hash(sample.key), sample.one_in) if sample else sql.SQL("")
    query = sql.SQL("SELECT count(*), coalesce(sum({}){}, 0)::text FROM ONLY {} AS x").format(
        _hash(table.columns), chosen, sql.Identifier(table.schema, table.name)
    )
    rows, digest = connection.execute(query).fetchall()[0]
    ancestors = [Ancestor(schema_=schema, name=name) for schema, name in table.ancestors]
    return Table(schema_=table.schema, name=table.name, rows=rows, digest=digest, sample=sample, ancestors=ancestors)


def _hash(columns: Iterable[str]) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier("x", name) for name in columns)
    return sql.SQL("hashtextextended(ROW({})::text, 0)").format(names)


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
