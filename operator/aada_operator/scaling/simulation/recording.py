"""A recorded load, from a CSV file as Grafana and programs around Prometheus write it; pure.

One row per sample: a time, then numbers. Times are RFC 3339, seconds or milliseconds since 1970, or times on the
school's clocks. A value that is missing (empty, NaN, null) is a metric that was lost.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from aada_operator.scaling.simulation.errors import Unusable
from aada_operator.scaling.wall import earliest

LONGEST = timedelta(days=31)
_LOST = ("", "nan", "null")
# By the digits of a number, from 2001 to 2286: units per second since 1970.
_UNITS = {10: 1, 13: 1000}


@dataclass(frozen=True)
class Sample:
    """The load from a time on, of all pods together; None where the metric was lost."""

    time: datetime
    load: float | None


@dataclass(frozen=True)
class _Table:
    """Rows with their line numbers, without the one that names the columns."""

    names: list[str]
    rows: list[tuple[int, list[str]]]


def read(text: str, zone: ZoneInfo, column: str = "") -> list[Sample]:
    """The samples of a file, in order; ``zone`` is that of times without one, ``column`` the one that counts.

    Raises:
        Unusable: names the line and the fix.
    """
    table = _table(text)
    position = _position(table.names, column)
    samples: list[Sample] = []
    for line, row in table.rows:
        sample = _sample(line, row, position, zone)
        _check_order(line, sample, samples)
        samples.append(sample)
    if len(samples) < 2:
        raise Unusable("--from: the file has fewer than two samples: export a day")
    return samples


def _table(text: str) -> _Table:
    reader = csv.reader(text.lstrip("\ufeff").splitlines(), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        # Grafana writes "sep=," for a spreadsheet first, when it is asked to.
        rows = [(reader.line_num, row) for row in reader if row and row[0] != "sep="]
    except csv.Error as error:
        raise Unusable(f"--from, line {reader.line_num}: {error}: export it as CSV with commas") from None
    if not rows:
        raise Unusable("--from: the file is empty: export a day")
    names = [] if _is_number(rows[0][1][0]) or rows[0][1][0][:1].isdigit() else [name.strip() for name in rows[0][1]]
    return _Table(names, rows[1:] if names else rows)


def _position(names: list[str], column: str) -> int:
    if not column:
        return 1
    if column not in names[1:]:
        raise Unusable(f"--column: {column!r} is not in the file; it has {', '.join(names[1:]) or 'no names'}")
    return names.index(column)


def _sample(line: int, row: list[str], position: int, zone: ZoneInfo) -> Sample:
    if len(row) <= position:
        raise Unusable(f"--from, line {line}: has {len(row)} columns, not a time and a value: separate them by a comma")
    return Sample(_time(line, row[0].strip(), zone), _load(line, row[position].strip()))


def _time(line: int, text: str, zone: ZoneInfo) -> datetime:
    try:
        if _is_number(text):
            return datetime.fromtimestamp(float(text) / _UNITS[len(text.partition(".")[0])], UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, KeyError):
        example = "2026-09-01T08:00:00Z, 2026-09-01 08:00:00 or 1788249600"
        raise Unusable(f"--from, line {line}: {text[:40]!r} is not a time; examples: {example}") from None
    return found.astimezone(UTC) if found.tzinfo else earliest(found, zone)


def _load(line: int, text: str) -> float | None:
    if text.lower() in _LOST:
        return None
    if not _is_number(text) or float(text) < 0:
        raise Unusable(
            f"--from, line {line}: {text[:40]!r} is not a number from 0 on: export it without units (in Grafana: "
            "without 'Formatted data')"
        )
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_order(line: int, sample: Sample, before: list[Sample]) -> None:
    if before and sample.time <= before[-1].time:
        raise Unusable(f"--from, line {line}: is not later than the line before: sort by time, one series only")
    if before and sample.time - before[0].time > LONGEST:
        raise Unusable(f"--from, line {line}: is more than {LONGEST.days} days after the first: cut the file")


def every(samples: list[Sample], step: timedelta) -> Iterator[Sample]:
    """The load at equal steps from the first sample to the last: each holds until the next."""
    time, index = samples[0].time, 0
    while time <= samples[-1].time:
        while index + 1 < len(samples) and samples[index + 1].time <= time:
            index += 1
        yield Sample(time, samples[index].load)
        time += step
