"""A whole run: every operator at every size in every round, in turn."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import report
from tests.bench.arms import ARMS
from tests.bench.load import session
from tests.bench.measure import Plan, measure
from tests.bench.report import Sample
from tests.bench.testing_ground import GENERATOR, Ground, ground
from tests.testbed.shell import say


@dataclass(frozen=True)
class Options:
    """What is measured. Edits and the unchanged resync are measured among the most objects of `sizes`."""

    sizes: tuple[int, ...] = (0, 100, 1000)
    rounds: int = 5
    warm_up: bool = True
    edits: int = 200
    edits_per_second: float = 20.0

    def plan(self, size: int) -> Plan:
        return Plan(size, min(self.edits, size) if size == max(self.sizes) else 0, self.edits_per_second)


async def run(options: Options) -> dict[str, Any]:
    """Measure, and return the document that is kept; its `table` is for people.

    Raises TestbedError when an operator ends or does not do its work in time.
    """
    started, load_average = time.monotonic(), os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="aada-bench-") as folder,
        ground([arm.name for arm in ARMS], Path(folder)) as place,
    ):
        samples = await _samples(options, place)
        kubernetes = json.loads(place.cluster.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
    found = report.summaries(samples)
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started),
        "load_average_before": load_average,
        "machine": report.machine(),
        "versions": report.versions(kubernetes),
        "options": asdict(options),
        "figures": report.as_json(found),
        "table": report.table(found, [arm.name for arm in ARMS]),
    }


async def _samples(options: Options, place: Ground) -> list[Sample]:
    """All samples of the rounds that count: the warm-up fills caches and is discarded."""
    samples = []
    async with session(place.kubeconfig(GENERATOR)) as http:
        for number in range(0 if options.warm_up else 1, options.rounds + 1):
            for size in options.sizes:
                # Who comes first alternates, so that neither always meets the machine as the other left it.
                for arm in ARMS if number % 2 else ARMS[::-1]:
                    label = f"{arm.name}-{size}-{number}"
                    began = time.monotonic()
                    figures = await measure(arm, options.plan(size), place, http, label)
                    say(f"  round {number} of {options.rounds}, {size} objects, {arm.name}: {_seconds_since(began)}")
                    samples += [Sample(arm.name, size, number, figures)] if number else []
    return samples


def _seconds_since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
