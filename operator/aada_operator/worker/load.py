"""A backup into an empty database: what describes the tables, their rows in parallel streams, then indexes and keys.

Every byte is hashed on the way, and believed only when its hash was right. Of chosen tables alone only these entries
of the archive are restored, and only their chunks are read.
"""

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO

from psycopg import conninfo

from aada_operator.adapters.postgres_errors import Place
from aada_operator.adapters.sealed import Identity, parse_identities
from aada_operator.api.manifest import Part
from aada_operator.api.task import CORRUPT, RESTORE_FAILED, WRONG_KEY
from aada_operator.core.errors import OperatorError
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import unpack
from aada_operator.worker.contents_list import Chosen
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.parallel import GiveUp, run_all
from aada_operator.worker.progress import Reporter
from aada_operator.worker.refill import RowLoader, TableQueue
from aada_operator.worker.selection import Selection
from aada_operator.worker.server import Server
from aada_operator.worker.stored import StoredBackup
from aada_operator.worker.streams import HashingSink, Pump
from aada_operator.worker.tools import Tool

STREAMS = 2
_UNLOGGED = """
SELECT format('ALTER TABLE %I.%I SET UNLOGGED', nspname, relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence = 'p' AND nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_class WHERE relkind = 'p')
"""
# Takes a fraction of the time of PostgreSQL's own; not every build has it.
_FAST_COMPRESSION = """
SELECT format('ALTER DATABASE %I SET default_toast_compression = lz4', current_database())
FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
"""
# Damaged objects make each later stage fail in a way of its own, so the hashes have the first word.
_MAYBE_DAMAGE = {CORRUPT, WRONG_KEY, RESTORE_FAILED}


@dataclass(frozen=True)
class Load:
    """The content of a backup into the database ``name`` of a server.

    ``passing``: nobody keeps that database, so its tables need no WAL. ``selection``: only these tables, to
    which ``backup`` is narrowed.
    """

    backup: StoredBackup
    identity: str | None
    server: Server
    server_version: int
    name: str
    programs: Path
    reporter: Reporter
    passing: bool = False
    selection: Selection | None = None

    def run(self) -> Chosen | None:
        """Load everything, or the chosen tables; returns what came with these.

        Raises:
            Stalled: Corrupt, WrongKey, RestoreFailed, InsufficientPrivilege or VersionUnsupported.
            Waiting: the storage or the server went away.
        """
        with (
            self.server.tool_environment(self.server_version) as environment,
            tempfile.TemporaryDirectory(prefix="aada-schema-") as folder,
        ):
            schema = Path(folder) / "schema.pgc"
            with schema.open("wb") as file:
                self._unpack("schema", file)
            chosen, only = self._choose(environment, self.selection, schema) if self.selection else (None, [])
            self._restore(environment, "--section=pre-data", *only, str(schema))
            if self.passing:
                self._hasten()
            self._rows()
            if self.selection and chosen:
                self._sequences(self.selection, chosen)
            else:
                self._rest(environment)
            # Indexes and keys: several at once, for which pg_restore needs a file.
            self._restore(environment, "--section=post-data", f"--jobs={STREAMS}", *only, str(schema))
            return chosen

    def _choose(self, environment: dict[str, str], selection: Selection, schema: Path) -> tuple[Chosen, list[str]]:
        """What of the archive is for the chosen tables, and how pg_restore is told."""
        argv = [str(self.programs / "pg_restore"), "--list", "--verbose", str(schema)]
        with Tool(argv, environment, self._place, RESTORE_FAILED, stdout=subprocess.PIPE) as pg_restore:
            listing = pg_restore.stdout.read().decode()
            pg_restore.finish()
        chosen = selection.entries(listing)
        lines = schema.with_suffix(".list")
        lines.write_text("".join(f"{line}\n" for line in chosen.lines))
        return chosen, [f"--use-list={lines}"]

    def _sequences(self, selection: Selection, chosen: Chosen) -> None:
        with closing(self.server.connect(self.name)) as connection, statement_failures(self._place, RESTORE_FAILED):
            selection.set_sequences(connection, chosen)

    def _rest(self, environment: dict[str, str]) -> None:
        """What COPY could not write, and where sequences are."""
        with self._pg_restore(environment, "--section=data") as pg_restore:
            # When pg_restore has ended early, its exit code tells more than the broken pipe.
            with suppress(BrokenPipeError):
                self._unpack("rest", pg_restore.stdin)
                pg_restore.stdin.close()
            pg_restore.finish()

    def _hasten(self) -> None:
        """Make the empty tables unlogged, unless a partitioned table is there: it cannot be, nor refer to them then.

        Values are compressed in a faster way.
        """
        with closing(self.server.connect(self.name)) as connection, statement_failures(self._place, RESTORE_FAILED):
            for (statement,) in connection.execute(f"{_UNLOGGED} UNION ALL {_FAST_COMPRESSION}").fetchall():
                connection.execute(statement.encode())

    @property
    def _place(self) -> Place:
        return self.server.place(self.name)

    @cached_property
    def _identities(self) -> "list[Identity]":
        return parse_identities(self.identity) if self.backup.manifest.encryption.mode == "Age" else []

    def _parts(self, kind: str) -> list[Part]:
        return [part for part in self.backup.manifest.parts if part.kind == kind]

    def _restore(self, environment: dict[str, str], *arguments: str) -> None:
        with self._pg_restore(environment, *arguments) as pg_restore:
            pg_restore.stdin.close()
            pg_restore.finish()

    def _pg_restore(self, environment: dict[str, str], *arguments: str) -> Tool:
        argv = [
            str(self.programs / "pg_restore"),
            "--exit-on-error",
            "--no-password",
            "--no-tablespaces",
            "--no-subscriptions",
            # An unlogged table cannot be published.
            *(["--no-publications"] if self.passing else []),
            f"--dbname={conninfo.make_conninfo(dbname=self.name)}",
            *arguments,
        ]
        return Tool(argv, environment, self._place, RESTORE_FAILED, stdin=subprocess.PIPE)

    def _unpack(self, kind: str, sink: IO[bytes]) -> None:
        """An archive as pg_dump wrote it."""
        with (
            Pump(partial(self._download, kind)) as stored,
            # Not in this thread: the decrypting library would take a signal's exception for damaged data.
            ThreadPoolExecutor(1, thread_name_prefix="unpack") as executor,
        ):
            try:
                executor.submit(unpack, stored, sink, self._identities).result()
            except OperatorError as error:
                if error.reason in _MAYBE_DAMAGE:
                    stored.drain()
                raise
            stored.drain()

    def _download(self, kind: str, sink: IO[bytes]) -> None:
        for number, part in enumerate(self._parts(kind), 1):
            hashing = HashingSink(sink, self.reporter.add)
            self.backup.store.download(self.backup.key(part), hashing)
            self.backup.demand_hash(part, hashing.digest.hexdigest())
            failpoint(f"worker.load.{kind}-{number}")

    def _rows(self) -> None:
        queue = TableQueue(self.backup.manifest)
        give_up = GiveUp()
        loader = RowLoader(self.backup, self._identities, self.server, self.name, self.reporter, give_up)
        run_all([partial(loader.load, queue)] * STREAMS, give_up)
