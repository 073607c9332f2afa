"""`make show-backup` in short: every figure is there, and what must hold at any size holds."""

from __future__ import annotations

from typing import Any

from tests.bench import backups, peers
from tests.bench.backup_report import table

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
    "peers",
}


def test_every_figure_is_measured() -> None:
    shown = backups.run("20MB", rounds=1, loads=1, count=2, small="16MB")
    assert shown.keys() >= FIGURES
    assert shown["unchanged_new_bytes_ratio"] < 0.01
    assert 0 < shown["peak_mib"] <= 128
    assert (shown["kills"], shown["torn"], shown["lost"], shown["leaked"]) == (2, 0, 0, 0)
    assert len(shown["arms"]) == 3
    assert all(arm["seconds"] > 0 < arm["bytes"] for arm in shown["arms"].values())
    assert_shape(shown["peers"])
    # As Markdown wants it inside a table.
    names = [name.replace("|", r"\|") for name in (*shown["arms"], *shown["peers"])]
    assert [name for name in names if name not in table(shown)] == []


def assert_shape(found: dict[str, dict[str, Any]]) -> None:
    """Every peer that is installed has its figures; one that is not says why."""
    assert set(found) == {"pg_dump | gzip (the runbook)", "pg_dump -Fc", "barman-cloud", "pgBackRest", "WAL-G"}
    for name, peer in found.items():
        if peer["status"] == "absent":
            assert "is not installed here" in peer["reason"], f"{name}: {peer}"
            continue
        assert peer["status"] == "ok", f"{name}: {peer}"
        assert all(peer[step]["seconds"] > 0 for step in (*peers.STEPS, "restore"))
        assert peer["full"]["bytes"] > 0 < peer["peak_mib"]
    assert found["pg_dump -Fc"]["status"] == "ok", found["pg_dump -Fc"]
