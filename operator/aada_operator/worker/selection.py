"""Some tables of a backup: which of its objects and entries they need, and what a restored database must hold then."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from aada_operator.api.manifest import Manifest
from aada_operator.core.tables import TableChoice, choose_tables, only_tables
from aada_operator.worker.content import Contents
from aada_operator.worker.contents_list import Chosen, Known, Name, choose, parse
from aada_operator.worker.server import Connection
from aada_operator.worker.stored import StoredBackup


@dataclass(frozen=True)
class Selection:
    """The tables ``choice`` of the backup that ``manifest`` describes."""

    manifest: Manifest
    choice: TableChoice

    def narrowed(self, backup: StoredBackup) -> StoredBackup:
        """The backup as if it held these tables alone: nothing else of it is read."""
        return replace(backup, manifest=only_tables(self.manifest, self.choice))

    def entries(self, listing: str) -> Chosen:
        """What of an archive is for these tables; raises as `contents_list.choose`."""
        tables = self.manifest.tables
        above = {(one.schema_, one.name) for table in tables for one in table.ancestors}
        known = Known(
            tables={(table.schema_, table.name) for table in tables} | above,
            sequences={(sequence.schema_, sequence.name) for sequence in self.manifest.sequences},
            roles={role.name for role in self.manifest.roles},
        )
        return choose(parse(listing), self.choice.names, known)

    def expected(self, chosen: Chosen) -> Manifest:
        """What the restored database must equal."""
        along = [one for one in self.manifest.sequences if (one.schema_, one.name) in chosen.sequences]
        return only_tables(self.manifest, self.choice).model_copy(update={"sequences": along})

    def set_sequences(self, connection: Connection, chosen: Chosen) -> None:
        """Bring the sequences that came along to where they were."""
        for one in self.expected(chosen).sequences:
            name = sql.Identifier(one.schema_, one.name).as_string()
            connection.execute("SELECT setval(%s::regclass, %s, %s)", [name, one.last_value_after, one.is_called_after])


def select(manifest: Manifest, wanted: Sequence[str]) -> Selection | None:
    """The tables that a Restore names, None when it wants everything; raises as `core.tables.choose_tables`."""
    return Selection(manifest, choose_tables(manifest, wanted)) if wanted else None


def without(contents: Contents, helpers: Collection[Name]) -> Contents:
    """What is to be compared: tables that had to be made, and hold nothing, are left aside."""
    tables = [table for table in contents.tables if table.rows or (table.schema_, table.name) not in helpers]
    return replace(contents, tables=tables)
