"""Whether a restored database equals its manifest, point by point."""

from aada_operator.api.manifest import Manifest, Sequence, Table, overall_digest
from aada_operator.api.task import DIGEST_MISMATCH, Check
from aada_operator.core.errors import Stalled
from aada_operator.worker.content import Contents, SequenceState

_SHOWN = 3


def compare(manifest: Manifest, contents: Contents) -> list[Check]:
    """One check each for tables, rows, digests, sequences and revision; a failed one names what differs."""
    expected = {(table.schema_, table.name): table for table in manifest.tables}
    found = {(table.schema_, table.name): table for table in contents.tables}
    pairs = [(expected[name], found[name]) for name in sorted(expected.keys() & found.keys())]
    absent = [f"{schema}.{name} is missing" for schema, name in sorted(expected.keys() - found.keys())]
    extra = [f"{schema}.{name} is not in the manifest" for schema, name in sorted(found.keys() - expected.keys())]
    return [
        _check("tables", absent + extra),
        _check("rows", [_rows(was, now) for was, now in pairs if was.rows != now.rows]),
        _check("digests", [f"{_name(was)} has other content" for was, now in pairs if was.digest != now.digest]),
        _check("overall digest", [] if overall_digest(contents.tables) == manifest.digest.value else ["differs"]),
        _check("sequences", _sequence_differences(manifest.sequences, contents)),
        _check("schema revision", _revision_differences(manifest.schema_revision, contents.revision)),
    ]


def demand_equal(manifest: Manifest, contents: Contents) -> list[Check]:
    """As `compare`, but a difference is an error.

    Raises:
        Stalled: DigestMismatch, naming the first differences.
    """
    checks = compare(manifest, contents)
    failed = [f"{check.name}: {check.message}" for check in checks if not check.ok]
    if failed:
        raise Stalled(DIGEST_MISMATCH, f"the restored database differs from the manifest; {'; '.join(failed)}")
    return checks


def _check(name: str, differences: list[str]) -> Check:
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return Check(name=name, ok=not differences, message=", ".join(differences[:_SHOWN]) + more)


def _name(table: Table) -> str:
    return f"{table.schema_}.{table.name}"


def _rows(was: Table, now: Table) -> str:
    return f"{_name(was)} has {now.rows} rows instead of {was.rows}"


def _sequence_differences(sequences: list[Sequence], contents: Contents) -> list[str]:
    differences = []
    for sequence in sequences:
        now = contents.sequences.get((sequence.schema_, sequence.name))
        if now is None:
            differences.append(f"{sequence.schema_}.{sequence.name} is missing")
        elif not _within(sequence, now):
            differences.append(f"{sequence.schema_}.{sequence.name} is at {now.last_value}")
    return differences


def _within(sequence: Sequence, now: SequenceState) -> bool:
    """Whether the state lies between those before and after the dump; they are equal on a quiet database."""
    before = SequenceState(sequence.last_value, sequence.is_called)
    after = SequenceState(sequence.last_value_after, sequence.is_called_after)
    if before == after:
        return now == before
    low, high = sorted((before.last_value, after.last_value))
    return low <= now.last_value <= high


def _revision_differences(expected: str | None, found: str | None) -> list[str]:
    return [] if expected == found else [f"{found} instead of {expected}"]
