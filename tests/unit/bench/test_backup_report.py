"""`make show-backup` fails on what must never be, and on no machine's speed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.backup_report import broken

GOOD: dict[str, Any] = {
    "speedup_vs_pg_dump_fc": 0.1,
    "ratio_vs_zstd_pipe": 9.0,
    "verify_seconds": 600.0,
    "unchanged_new_bytes_ratio": 0.0001,
    "appended_new_bytes_ratio": 0.006,
    "peak_mib": 110,
    "kills": 200,
    "torn": 0,
    "lost": 0,
    "leaked": 0,
}


def test_a_slow_machine_breaks_nothing() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"torn": 1}, "1 torn"),
        ({"lost": 2}, "2 lost"),
        ({"leaked": 3}, "3 leaked"),
        ({"kills": 0}, "nothing was killed"),
        ({"unchanged_new_bytes_ratio": 0.02}, "unchanged_new_bytes_ratio is 0.02, at most 0.01"),
        ({"appended_new_bytes_ratio": 0.06}, "appended_new_bytes_ratio is 0.06, at most 0.05"),
        ({"peak_mib": 129}, "peak_mib is 129, at most 128"),
    ],
)
def test_what_must_never_be_is_said(wrong: dict[str, Any], said: str) -> None:
    assert broken(GOOD | wrong) == [said]
