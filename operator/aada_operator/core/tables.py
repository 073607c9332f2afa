"""Which tables of a backup somebody means: by name, with or without the schema, a partitioned one by its own name."""

import difflib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aada_operator.api.manifest import Digest, Manifest, Table, overall_digest
from aada_operator.api.task import TABLE_NOT_FOUND
from aada_operator.core.errors import Stalled

Name = tuple[str, str]
_SYSTEM = "pg_catalog"
_SUGGESTED = 3


@dataclass(frozen=True)
class TableChoice:
    """The tables with rows that are meant, and the partitioned ones above them that are meant with them."""

    tables: tuple[Table, ...]
    parents: frozenset[Name]

    @property
    def names(self) -> frozenset[Name]:
        """All of them."""
        return self.parents | {_name(table) for table in self.tables}


def choose_tables(manifest: Manifest, wanted: Sequence[str]) -> TableChoice:
    """The tables of a backup that ``wanted`` names.

    Raises:
        Stalled: TableNotFound, a name is of no table or of several; close matches are told.
    """
    known = [table for table in manifest.tables if table.schema_ != _SYSTEM]
    means = _Meanings(known)
    meant = {means.of(name, manifest.backup) for name in wanted}
    tables: list[Table] = []
    parents: set[Name] = set()
    for table in known:
        # From the partition itself upwards, to the highest that was named.
        line = [_name(table), *((one.schema_, one.name) for one in table.ancestors)]
        if named := [position for position, name in enumerate(line) if name in meant]:
            _refuse_unwritten(table)
            tables.append(table)
            parents |= set(line[1 : named[-1] + 1])
    return TableChoice(tuple(tables), frozenset(parents))


def only_tables(manifest: Manifest, choice: TableChoice) -> Manifest:
    """The manifest as it would be of these tables alone; it names no sequences yet."""
    names = choice.names
    revision = tuple((manifest.revision_table or "").split(".", 1)) in names
    return manifest.model_copy(
        update={
            "tables": list(choice.tables),
            "digest": Digest(value=overall_digest(choice.tables)),
            "sequences": [],
            "parts": [p for p in manifest.parts if p.kind == "schema" or (p.schema_ or "", p.table or "") in names],
            "revision_table": manifest.revision_table if revision else None,
            "schema_revision": manifest.schema_revision if revision else None,
        }
    )


class _Meanings:
    """What a name may mean."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._plain: defaultdict[str, set[Name]] = defaultdict(set)
        self._full: defaultdict[str, set[Name]] = defaultdict(set)
        for table in tables:
            for schema, name in [_name(table), *((one.schema_, one.name) for one in table.ancestors)]:
                self._plain[name].add((schema, name))
                self._full[f"{schema}.{name}"].add((schema, name))

    def of(self, wanted: str, backup: str) -> Name:
        found = self._full.get(wanted) or self._plain.get(wanted) or set()
        if len(found) == 1:
            return next(iter(found))
        if found:
            choices = ", ".join(sorted(f"{schema}.{name}" for schema, name in found))
            raise Stalled(TABLE_NOT_FOUND, f"spec.tables: {wanted} is several tables: write one of {choices}")
        close = difflib.get_close_matches(wanted, [*self._plain, *self._full], _SUGGESTED, 0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "names are as in the manifest, without quotes"
        raise Stalled(TABLE_NOT_FOUND, f"spec.tables: {wanted} is not in Backup {backup}; {hint}")


def _refuse_unwritten(table: Table) -> None:
    """A table without a column of its own has its rows where only all of them can be read."""
    if table.rows and not table.columns:
        message = f"spec.tables: {table.schema_}.{table.name} has no columns to look at: restore the whole backup"
        raise Stalled(TABLE_NOT_FOUND, message)


def _name(table: Table) -> Name:
    return table.schema_, table.name
