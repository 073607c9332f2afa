"""`make show-backup` in short: every figure is there, and what must hold at any size holds."""

from __future__ import annotations

from tests.bench import backups

FIGURES = {
    "speedup_vs_pg_dump_fc",
    "ratio_vs_zstd_pipe",
    "unchanged_new_bytes_ratio",
    "appended_new_bytes_ratio",
    "verify_seconds",
    "load_seconds",
    "pg_restore_j2_seconds",
    "peak_mib",
    "kills",
    "torn",
    "lost",
    "leaked",
    "arms",
}


def test_every_figure_is_measured() -> None:
    shown = backups.run("20MB", rounds=1, count=2)
    assert shown.keys() >= FIGURES
    assert shown["unchanged_new_bytes_ratio"] < 0.01
    assert 0 < shown["peak_mib"] <= 128
    assert (shown["kills"], shown["torn"], shown["lost"], shown["leaked"]) == (2, 0, 0, 0)
    assert len(shown["arms"]) == 4
    assert all(arm["seconds"] > 0 < arm["bytes"] for arm in shown["arms"].values())
