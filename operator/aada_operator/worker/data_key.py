"""The application's own key, tried on a value of the backup before anything is restored.

The value is read and decrypted on a scratch server in the Job: nothing of the backup's schema is run there, only its
bytes are loaded, and the declared SQL is asked by a role that may only read.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby

import psycopg
from psycopg import sql

from aada_operator.adapters.sealed import parse_identities
from aada_operator.api.data_key import DataKey
from aada_operator.api.manifest import Manifest, Table
from aada_operator.api.task import CHECK_INVALID, DATA_KEY_MISMATCH, RESTORE_FAILED, Check
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.tables import choose_tables
from aada_operator.worker.checks import as_reader, make_reader, read_only
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.parallel import GiveUp
from aada_operator.worker.progress import Reporter
from aada_operator.worker.refill import RowLoader, TableQueue
from aada_operator.worker.scratch import ScratchServer
from aada_operator.worker.server import Connection
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.stored import StoredBackup

_DATABASE = "postgres"
# COPY in binary gives the bytes of any type to a bytea; as text they are those of a bytea, or of the text itself.
_TYPES = {"binary": "bytea", "text": "text"}
_VALUES = {
    "binary": sql.SQL("SELECT {0} FROM {1} WHERE {0} IS NOT NULL LIMIT 1"),
    "text": sql.SQL(
        "SELECT CASE WHEN {0} LIKE E'\\\\\\\\x%' THEN {0}::bytea ELSE convert_to({0}, 'UTF8') END "
        "FROM {1} WHERE {0} IS NOT NULL LIMIT 1"
    ),
}


def demand_decrypts(wanted: DataKey, backup: StoredBackup, settings: WorkerSettings, reporter: Reporter) -> Check:
    """Prove that the mounted key decrypts a value of the backup; what has none needs no key.

    Raises:
        Stalled: DataKeyMismatch, it does not; CheckInvalid, the declared SQL cannot be asked.
        Waiting: the bucket or room was missing.
    """
    tables = _tables(backup.manifest, wanted)
    if not tables:
        return _told(f"not asked: what is restored has no {wanted.where}")
    with ScratchServer(settings.scratch_dir, settings.programs) as scratch:
        try:
            value = _Reading(wanted, backup, settings, scratch, reporter).value(tables)
            if value is None:
                return _told(f"not asked: no row has a {wanted.where}")
            _demand(scratch, wanted, value, settings.data_key())
        except Waiting as failure:
            raise scratch.explain(failure) from None
    return _told(f"decrypts {wanted.where}")


def _told(message: str) -> Check:
    return Check(name="data key", ok=True, message=message)


def _tables(manifest: Manifest, wanted: DataKey) -> list[Table]:
    """Those that the name means and that have the column: an older backup may be of a schema without it."""
    try:
        chosen = choose_tables(manifest, [wanted.table]).tables
    except Stalled:
        return []
    return [table for table in chosen if wanted.column in table.columns]


@dataclass(frozen=True)
class _Reading:
    """Reads a value of the backup on the scratch server."""

    wanted: DataKey
    backup: StoredBackup
    settings: WorkerSettings
    scratch: ScratchServer
    reporter: Reporter

    def value(self, tables: list[Table]) -> bytes | None:
        """The first value that is not NULL."""
        server = self.scratch.server
        with (
            closing(server.connect(_DATABASE)) as connection,
            statement_failures(server.place(_DATABASE), RESTORE_FAILED),
        ):
            make_reader(connection)
            connection.execute("CREATE EXTENSION pgcrypto SCHEMA public")
            found = (self._in(connection, table) for table in tables)
            return next((value for value in found if value is not None), None)

    def _in(self, connection: Connection, table: Table) -> bytes | None:
        encrypted = self.backup.manifest.encryption.mode == "Age"
        identities = parse_identities(self.settings.identity()) if encrypted else []
        server, name = self.scratch.server, sql.Identifier(table.schema_, table.name)
        _make(connection, table)
        query = _VALUES[table.format].format(sql.Identifier(self.wanted.column), name)
        loader = RowLoader(self.backup, identities, server, _DATABASE, self.reporter, GiveUp())
        for piece in _pieces(self.backup.manifest, table):
            loader.load(TableQueue(piece))
            if row := connection.execute(query).fetchone():
                return bytes(row[0])
        return None


def _make(connection: Connection, table: Table) -> None:
    """A table for the bytes of its columns, whatever their types are."""
    kind = sql.SQL(_TYPES[table.format])
    columns = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(column), kind) for column in table.columns)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(table.schema_)))
    name = sql.Identifier(table.schema_, table.name)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, columns))


def _pieces(manifest: Manifest, table: Table) -> Iterator[Manifest]:
    """The manifest as it would be of one piece of the table's rows after the other: mostly the first one is enough."""
    parts = [p for p in manifest.parts if p.kind == "copy" and (p.schema_, p.table) == (table.schema_, table.name)]
    for _, piece in groupby(parts, key=lambda part: part.piece):
        yield manifest.model_copy(update={"parts": list(piece)})


def _demand(scratch: ScratchServer, wanted: DataKey, value: bytes, key: str) -> None:
    secret = f"key {wanted.secret_ref.key} of Secret {wanted.secret_ref.name}"
    try:
        with closing(as_reader(scratch.server, _DATABASE)) as connection, read_only(connection):
            # With parameters it is one statement, and no log of the server quotes them.
            row = psycopg.RawCursor(connection).execute(wanted.sql.encode(), [value, key]).fetchone()
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate.startswith("42"):
            state = error.sqlstate or "(it is no query)"
            message = f"database.dataKey.sql fails with SQLSTATE {state}: correct it in the AadaLms"
            raise Stalled(CHECK_INVALID, message) from None
        row = None
    if row is None or row[0] is None:
        message = f"{secret} does not decrypt {wanted.where} of this backup; nothing was touched"
        fix = "put back the key that was in use when it was taken, which its bundle has, or restore another backup"
        raise Stalled(DATA_KEY_MISMATCH, f"{message}: {fix}")
