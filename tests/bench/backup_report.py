"""The figures of `make show-backup` as tables for docs/benchmarks.md, and those that must never be."""

from __future__ import annotations

import os
import platform
from typing import Any

# The most that may travel again of an unchanged database, and of one with about 1 % more rows; memory of the worker.
MOST_UNCHANGED, MOST_APPENDED, MOST_PEAK_MIB = 0.01, 0.05, 128


def broken(shown: dict[str, Any]) -> list[str]:
    """What must not be on any machine, in words; how long something took is no part of it."""
    found = [f"{shown[what]} {what}" for what in ("torn", "lost", "leaked") if shown[what]]
    found += [] if shown["kills"] else ["nothing was killed"]
    most = {
        "unchanged_new_bytes_ratio": MOST_UNCHANGED,
        "appended_new_bytes_ratio": MOST_APPENDED,
        "peak_mib": MOST_PEAK_MIB,
    }
    return found + [f"{name} is {shown[name]}, at most {limit}" for name, limit in most.items() if shown[name] > limit]


def table(shown: dict[str, Any]) -> str:
    """Markdown: full backups, other tools, and where it was measured."""
    return "\n\n".join([_arms(shown), _figures(shown), _peers(shown), _machine(shown)])


def _arms(shown: dict[str, Any]) -> str:
    rows = [[name, f"{arm['seconds']:.1f}", _mb(arm["bytes"])] for name, arm in shown["arms"].items()]
    return _markdown(["full backup", "s", "MB"], rows)


def _figures(shown: dict[str, Any]) -> str:
    rows = [
        ["faster than `pg_dump -Fc`", f"{shown['speedup_vs_pg_dump_fc']:.1f} times", "4"],
        ["time beside `pg_dump -Fc -Z0 | zstd`", f"{shown['ratio_vs_zstd_pipe']:.2f}", "1"],
        ["uploaded again, nothing changed", f"{shown['unchanged_new_bytes_ratio']:.2%}", "< 1 %"],
        [
            f"uploaded again, {shown['appended_rows_ratio']:.2%} of the rows added after a VACUUM",
            f"{shown['appended_new_bytes_ratio']:.1%}",
            "< 5 %",
        ],
        ["verification, download and comparison included", f"{shown['verify_seconds']:.1f} s", "< 30 s"],
        [
            f"of it the load (`pg_restore -j2` of a plain `-Fd` dump: {shown['pg_restore_j2_seconds']:.1f} s)",
            f"{shown['load_seconds']:.1f} s",
            f"{shown['pg_restore_j2_seconds']:.1f} s",
        ],
        ["peak of the worker's memory", f"{shown['peak_mib']} MiB", "128 MiB"],
        [
            f"workers killed: {shown['kills']}; backups torn, lost, things leaked",
            f"{shown['torn']}, {shown['lost']}, {shown['leaked']}",
            "0, 0, 0",
        ],
    ]
    return _markdown(["what", "figure", "wanted"], rows)


def _peers(shown: dict[str, Any]) -> str:
    heads = ["tool", "full", "again, unchanged", "again, 1 % more rows", "restored and compared", "peak MiB"]
    ours = shown["arms"][next(iter(shown["arms"]))]
    rows = [
        [
            "`aada-operator worker`, verification by digests",
            _cell(ours["seconds"], ours["bytes"]),
            _cell(shown["unchanged_seconds"], shown["unchanged_new_bytes"]),
            _cell(shown["appended_seconds"], shown["appended_new_bytes"]),
            f"{shown['verify_seconds']:.1f} s",
            str(shown["peak_with_programs_mib"]),
        ]
    ]
    for name, peer in shown["peers"].items():
        if peer["status"] != "ok":
            rows.append([name, f"not measured: {peer['reason']}", "", "", "", ""])
            continue
        steps = [_cell(peer[step]["seconds"], peer[step]["bytes"]) for step in ("full", "unchanged", "appended")]
        restore = f"{peer['restore']['seconds']:.1f} s (verification: {peer['verification']})"
        rows.append([name, *steps, restore, str(peer["peak_mib"])])
    return _markdown(heads, rows)


def _machine(shown: dict[str, Any]) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    where = f"{os.cpu_count()} cores, {memory:.1f} GiB of memory, Linux {platform.release()}"
    return f"Database {shown['database_bytes'] / 1e6:.0f} MB at the end; {where}; load average {os.getloadavg()[2]:.1f}"


def _cell(seconds: float, size: int) -> str:
    return f"{seconds:.1f} s, {_mb(size)} MB"


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f}" if size >= 1e7 else f"{size / 1e6:.1f}" if size >= 1e5 else f"{size / 1e6:.3f}"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
