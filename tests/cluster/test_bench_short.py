"""The benchmark in its short form: it measures everything that it promises, and an idle operator writes nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed.layout import CHECKOUT

OBJECTS = 20
AT_EVERY_SIZE = {"start_to_watch_s", "rss_mib", "start_cpu_s"}
WITH_OBJECTS = {
    "first_sight_s",
    "watch_to_first_sight_s",
    "first_sight_writes",
    "edit_p50_ms",
    "edit_p99_ms",
    "edit_cpu_ms",
    "unchanged_visited",
    "unchanged_writes",
    "unchanged_window_s",
    "unchanged_cpu_s",
}
Medians = dict[tuple[str, str, int], float]


@pytest.fixture(scope="module")
def medians(tmp_path_factory: pytest.TempPathFactory) -> Medians:
    """Every figure of one short run, by name, operator and number of objects."""
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    words = ["--objects", f"0,{OBJECTS}", "--rounds", "1", "--no-warm-up", "--edits", str(OBJECTS), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": f"{CHECKOUT / 'operator'}:{CHECKOUT}"}
    subprocess.run([sys.executable, "-m", "tests.bench", *words], cwd=CHECKOUT, env=environment, check=True)
    figures = json.loads(Path(out).read_text())["figures"]
    return {(each["figure"], each["operator"], each["objects"]): each["median"] for each in figures}


@pytest.mark.parametrize("operator", ["operator", "no-op"])
def test_every_figure_is_there(medians: Medians, operator: str) -> None:
    found = {size: {figure for figure, arm, at in medians if (arm, at) == (operator, size)} for size in (0, OBJECTS)}
    assert found == {0: AT_EVERY_SIZE, OBJECTS: AT_EVERY_SIZE | WITH_OBJECTS}
    assert all(math.isfinite(value) for value in medians.values())


@pytest.mark.parametrize("operator", ["operator", "no-op"])
def test_every_object_was_visited_again(medians: Medians, operator: str) -> None:
    assert medians["unchanged_visited", operator, OBJECTS] == OBJECTS


@pytest.mark.parametrize("operator", ["operator", "no-op"])
def test_objects_that_did_not_change_cost_no_write(medians: Medians, operator: str) -> None:
    assert medians["first_sight_writes", operator, OBJECTS] >= 1, "the audit log was not read"
    assert medians["unchanged_writes", operator, OBJECTS] == 0
