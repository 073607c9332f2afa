"""A CSV file as Grafana and others write it is read as it is meant; a bad one is refused with its line and the fix."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from aada_operator.scaling.simulation.errors import Unusable
from aada_operator.scaling.simulation.recording import every, read
from tests.unit.scaling.samples import at

CHICAGO = ZoneInfo("America/Chicago")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Time,cores\n2026-09-01T13:00:00Z,1\n2026-09-01T13:05:00Z,2\n", "RFC 3339, as Grafana exports it"),
        ("Time,cores\n2026-09-01T08:00:00-05:00,1\n2026-09-01T15:05:00+02:00,2\n", "with offsets"),
        ('"Time","cores"\r\n"2026-09-01 08:00:00","1"\r\n"2026-09-01 08:05:00","2"\r\n', "on the school's clocks"),
        ("1788267600,1\n1788267900,2\n", "seconds since 1970, without names"),
        ("1788267600.000,1\n1788267900.0,2\n", "seconds with a fraction, as Prometheus answers"),
        ("Time,cores\n1788267600000,1\n1788267900000,2\n", "milliseconds since 1970"),
        ("sep=,\nTime,cores\n1788267600,1\n1788267900,2\n", "made for a spreadsheet"),
        ("\ufeff1788267600,1\n\n1788267900,2\n", "with a byte order mark and an empty line"),
    ],
)
def test_the_same_samples_are_read_from(text: str, words: str) -> None:
    found = [(sample.time, sample.load) for sample in read(text, CHICAGO)]
    assert found == [(at("2026-09-01T13:00Z"), 1.0), (at("2026-09-01T13:05Z"), 2.0)], words


def test_the_column_that_is_named_counts() -> None:
    found = read("Time,a,b\n1788267600,1,7\n1788267900,2,8\n", CHICAGO, "b")
    assert [sample.load for sample in found] == [7, 8]


@pytest.mark.parametrize("lost", ["", "NaN", "null"])
def test_a_value_that_is_missing_is_a_metric_that_was_lost(lost: str) -> None:
    assert read(f"1788267600,1\n1788267900,{lost}\n", CHICAGO)[1].load is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty: export a day"),
        ("Time,cores\n1788267600,1\n", "fewer than two samples: export a day"),
        ("Time,cores\n1788267600,1\nyesterday,1\n", "line 3: 'yesterday' is not a time; examples: 2026-09"),
        ("1788267600,1\n178826,1\n", "line 2: '178826' is not a time"),
        ("1788267600,1\n1788267900,1.5 cores\n", "line 2: '1.5 cores' is not a number from 0 on: export it without"),
        ("1788267600,1\n1788267900,-1\n", "line 2: '-1' is not a number from 0 on"),
        ("1788267600,1\n1788267900,inf\n", "line 2: 'inf' is not a number"),
        ("1788267600;1\n1788267900;1\n", "line 1: has 1 columns, not a time and a value: separate them by a comma"),
        ("1788267600,1\n1788267600,2\n", "line 2: is not later than the line before: sort by time, one series only"),
        ("1788267600,1\n1798267600,2\n", "line 2: is more than 31 days after the first: cut the file"),
        ('1788267600,"1\n', "line 1: unexpected end of data: export it as CSV with commas"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_line_and_the_fix(text: str, said: str) -> None:
    with pytest.raises(Unusable) as found:
        read(text, CHICAGO)
    assert str(found.value).startswith("--from")
    assert said in str(found.value)


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(Unusable, match="--column: 'c' is not in the file; it has a, b"):
        read("Time,a,b\n1788267600,1,7\n1788267900,2,8\n", CHICAGO, "c")


def test_a_sample_holds_until_the_next_one() -> None:
    samples = read("1788267600,1\n1788267640,2\n1788267700,3\n", CHICAGO)
    assert [sample.load for sample in every(samples, timedelta(seconds=20))] == [1, 1, 2, 2, 2, 3]
