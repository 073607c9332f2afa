"""What is shown and kept of a run: the table, the JSON, the machine and the versions."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.measure import Figures

PACKAGES = ("kopf", "kubernetes", "aiohttp", "pydantic")
KIB_PER_GIB = 1024**2


@dataclass(frozen=True)
class Row:
    """A figure as people read it; `digits` after the point."""

    figure: str
    label: str
    digits: int


ROWS = (
    Row("start_to_watch_s", "process start to watch begun, s", 2),
    Row("first_sight_s", "first sight: process start to all statuses seen, s", 2),
    Row("watch_to_first_sight_s", "first sight: watch begun to all statuses seen, s", 2),
    Row("first_sight_writes", "write requests per object at first sight", 2),
    Row("start_cpu_s", "CPU from start until quiet, s", 2),
    Row("rss_mib", "RSS once quiet, MiB", 1),
    Row("edit_p50_ms", "edit to status seen, p50, ms", 1),
    Row("edit_p99_ms", "edit to status seen, p99, ms", 1),
    Row("edit_cpu_ms", "CPU per edit, ms", 1),
    Row("unchanged_visited", "unchanged resync: objects visited", 0),
    Row("unchanged_writes", "unchanged resync: write requests", 0),
    Row("unchanged_window_s", "unchanged resync: window, s", 1),
    Row("unchanged_cpu_s", "unchanged resync: CPU, s", 2),
)


@dataclass(frozen=True)
class Sample:
    """The figures of one operator among `size` objects in one round."""

    arm: str
    size: int
    round: int
    figures: Figures


@dataclass(frozen=True)
class Summary:
    """One figure over all rounds."""

    figure: str
    size: int
    arm: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def shown(self, digits: int) -> str:
        if min(self.values) == max(self.values):
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f} - {max(self.values):.{digits}f})"


def summaries(samples: Iterable[Sample]) -> list[Summary]:
    """Every figure of every operator at every size, in the order of the table."""
    values: dict[tuple[str, int, str], list[float]] = {}
    for sample in samples:
        for figure, value in sample.figures.items():
            values.setdefault((figure, sample.size, sample.arm), []).append(value)
    order = {row.figure: number for number, row in enumerate(ROWS)}
    found = [Summary(*key, tuple(each)) for key, each in values.items()]
    return sorted(found, key=lambda summary: (order[summary.figure], summary.size))


def table(found: Sequence[Summary], arms: Sequence[str]) -> str:
    """The summaries as a Markdown table: median (least - most) of each operator, and the ratio of the first two."""
    cells = {(summary.figure, summary.size, summary.arm): summary for summary in found}
    lines = [["figure", "objects", *arms, "ratio"]]
    for row in ROWS:
        for size in sorted({summary.size for summary in found if summary.figure == row.figure}):
            each = [cells[row.figure, size, arm] for arm in arms]
            medians = [summary.median for summary in each]
            ratio = f"{medians[0] / medians[1]:.2f}" if medians[1] else "-"
            lines.append([row.label, str(size), *(summary.shown(row.digits) for summary in each), ratio])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_row(line, widths) for line in lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def machine() -> dict[str, Any]:
    """The machine, as far as it matters for the figures."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in processors if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "memory_gib": round(int(memory.split()[1]) / KIB_PER_GIB, 1),
        "kernel": platform.release(),
    }


def versions(kubernetes: str) -> dict[str, str]:
    """Of everything whose speed is part of the figures; the client library is named as its package is."""
    packages = {f"{package} (Python package)": version(package) for package in PACKAGES}
    return {"Kubernetes": kubernetes, "Python": platform.python_version()} | packages


def as_json(found: Iterable[Summary]) -> list[dict[str, Any]]:
    return [
        {
            "figure": summary.figure,
            "objects": summary.size,
            "operator": summary.arm,
            "median": summary.median,
            "min": min(summary.values),
            "max": max(summary.values),
            "values": list(summary.values),
        }
        for summary in found
    ]
