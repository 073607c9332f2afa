"""The table of contents of an archive of pg_dump, and which of its entries bring back some tables and only these.

PostgreSQL's own dependencies decide, as pg_dump wrote them down: whatever needs a table that is left out is left out
as well (foreign keys to it, views, functions over its rows), unless a chosen table cannot be made without it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from aada_operator.api.task import RESTORE_FAILED
from aada_operator.core.errors import Stalled

Name = tuple[str, str]

_ENTRY = re.compile(r"(\d+); (\d+) \d+ (.*)")
_NEEDS = ";\tdepends on:"
_PG_CLASS = 1259
# Needs a superuser, works beyond its table, or looks at what is not there.
_NEVER = (
    "VIEW ",
    "MATERIALIZED VIEW ",
    "FOREIGN TABLE ",
    "FOREIGN DATA WRAPPER ",
    "SERVER ",
    "USER MAPPING ",
    "EVENT TRIGGER ",
    "TRIGGER ",
    "RULE ",
    "PUBLICATION ",
    "SUBSCRIPTION ",
    "BLOB",
)
_KEYS = ("CONSTRAINT ", "INDEX ")
_MOST_TOLD, _LONGEST_TOLD = 6, 120
# What of a chosen table is told when it is left out.
_TOLD = {"FK CONSTRAINT ": "foreign key", "TRIGGER ": "trigger", "RULE ": "rule"}


@dataclass(frozen=True)
class Entry:
    """One entry: ``text`` is its kind, schema, name and owner with blanks between; ``needs`` are numbers of others."""

    number: int
    catalog: int
    text: str
    line: str
    needs: frozenset[int]

    @property
    def is_table(self) -> bool:
        return self.catalog == _PG_CLASS and self.text.startswith("TABLE ")


@dataclass(frozen=True)
class Chosen:
    """What is restored: lines for ``pg_restore --use-list``, and what is there besides or is not, for people.

    ``sequences`` are those of the archive that come along, ``helpers`` tables that are made and stay empty because a
    chosen one needs them, ``left_out`` is in words.
    """

    lines: tuple[str, ...]
    sequences: frozenset[Name]
    helpers: frozenset[Name]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """The names that an archive may hold: without them nobody can tell where in an entry a name ends."""

    tables: Collection[Name]
    sequences: Collection[Name]
    roles: Collection[str]


def parse(listing: str) -> list[Entry]:
    """The entries in what ``pg_restore --list --verbose`` prints."""
    entries: list[Entry] = []
    for line in listing.split("\n"):
        if found := _ENTRY.fullmatch(line):
            entries.append(Entry(int(found[1]), int(found[2]), found[3], line, frozenset()))
        elif line.startswith(_NEEDS) and entries:
            needs = frozenset(map(int, line.removeprefix(_NEEDS).split()))
            last = entries.pop()
            entries.append(Entry(last.number, last.catalog, last.text, last.line, needs - {last.number}))
    return entries


def choose(entries: Sequence[Entry], wanted: Collection[Name], known: Known) -> Chosen:
    """The entries for the tables ``wanted``, in the order of the archive.

    Raises:
        Stalled: RestoreFailed, a table is not in the archive, or cannot be told from another.
    """
    tables = {name: _locate(entries, "TABLE", name, known.roles) for name in known.tables}
    if lost := sorted(name for name in wanted if tables.get(name) is None):
        message = f"table {'.'.join(lost[0])} is not in the archive as the manifest says: restore the whole backup"
        raise Stalled(RESTORE_FAILED, message)
    picked = {number for name in wanted if (number := tables[name]) is not None}
    forced = _forced(entries, picked)
    kept = _kept(entries, forced)
    sequences = {name: _locate(entries, "SEQUENCE", name, known.roles) for name in known.sequences}
    names = {number: name for name, number in tables.items() if number is not None}
    helpers = [entry for entry in entries if entry.is_table and entry.number in forced - picked]
    return Chosen(
        lines=tuple(entry.line for entry in entries if entry.number in kept),
        sequences=frozenset(name for name, number in sequences.items() if number in kept),
        helpers=frozenset(names[entry.number] for entry in helpers if entry.number in names),
        left_out=(*_told_helpers(helpers, known.roles), *_told(entries, kept, wanted, known.roles)),
    )


def told(left_out: Sequence[str]) -> str:
    """What is left out, in few enough words for a Job's last one."""
    more = f" and {len(left_out) - _MOST_TOLD} more" if len(left_out) > _MOST_TOLD else ""
    return ", ".join(words[:_LONGEST_TOLD] for words in left_out[:_MOST_TOLD]) + more


def _locate(entries: Iterable[Entry], kind: str, name: Name, roles: Collection[str]) -> int | None:
    """The number of the one entry that is of this name, whoever owns it."""
    texts = {_on_one_line(f"{kind} {' '.join(name)} {role}") for role in roles}
    found = [entry.number for entry in entries if entry.catalog == _PG_CLASS and entry.text in texts]
    return found[0] if len(found) == 1 else None


def _on_one_line(text: str) -> str:
    """As pg_restore prints names."""
    return text.replace("\n", " ").replace("\r", " ")


def _forced(entries: Sequence[Entry], picked: Collection[int]) -> set[int]:
    """The chosen tables, and what they cannot be made without; a partition can be, without the table it is part of."""
    by_number = {entry.number: entry for entry in entries}
    attached = {frozenset(entry.needs) for entry in entries if entry.text.startswith("TABLE ATTACH ")}
    forced: set[int] = set()
    open_ = list(picked)
    while open_:
        number = open_.pop()
        if number in forced or number not in by_number:
            continue
        forced.add(number)
        open_ += [other for other in by_number[number].needs if frozenset((number, other)) not in attached]
    return forced


def _kept(entries: Sequence[Entry], forced: set[int]) -> set[int]:
    by_number = {entry.number: entry for entry in entries}
    gone = {e.number for e in entries if e.number not in forced and (e.is_table or e.text.startswith(_NEVER))}
    # Entries may need later ones: until nothing more goes.
    while more := {
        entry.number for entry in entries if entry.number not in gone | forced and _demands(entry, by_number) & gone
    }:
        gone |= more
    return by_number.keys() - gone


def _demands(entry: Entry, by_number: dict[int, Entry]) -> set[int]:
    """What an entry needs; a key or an index of a partition stands without that of the table above it."""
    if not entry.text.startswith(_KEYS):
        return set(entry.needs)
    return {n for n in entry.needs if n not in by_number or not by_number[n].text.startswith(_KEYS)}


def _told(
    entries: Sequence[Entry], kept: Collection[int], wanted: Collection[Name], roles: Collection[str]
) -> list[str]:
    return [
        f"{words} {_without_owner(entry.text.removeprefix(kind), roles)}"
        for entry in entries
        for kind, words in _TOLD.items()
        if entry.number not in kept and entry.text.startswith(tuple(f"{kind}{' '.join(name)} " for name in wanted))
    ]


def _told_helpers(helpers: Iterable[Entry], roles: Collection[str]) -> list[str]:
    return [f"rows of {_without_owner(entry.text.removeprefix('TABLE '), roles)}" for entry in helpers]


def _without_owner(text: str, roles: Collection[str]) -> str:
    """Schema, table and name."""
    owner = next((role for role in roles if text.endswith(f" {role}")), "")
    return text.removesuffix(f" {owner}") if owner else text
