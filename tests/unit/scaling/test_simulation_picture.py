"""The picture of a replayed day, read as numbers: each series is there, and says what the printed findings say."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.unit.scaling.test_simulation import EXAMPLES, run

SVG = "{http://www.w3.org/2000/svg}"
SERIES = {"pods", "ready", "bounds", "budget", "load", "borne", "over"}
Points = list[tuple[float, float]]


class Picture:
    """An SVG, and the findings of the same run."""

    def __init__(self, out: Path, said: dict[str, Any]) -> None:
        self.said = said
        self._root = ElementTree.parse(out).getroot()
        self.texts = {text.text for text in self._root.iter(f"{SVG}text")}
        self._groups = {group.get("id", ""): group for group in self._root.iter(f"{SVG}g")}

    @property
    def series(self) -> set[str]:
        """Which of them are there."""
        return SERIES & self._groups.keys()

    def points(self, name: str) -> Points:
        """The corners of a series, in order; y grows downward."""
        (path,) = self._groups[name].iter(f"{SVG}path")
        return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([-0-9.]+) ([-0-9.]+)", path.get("d", ""))]

    def jumps(self, name: str) -> list[float]:
        """Where it goes up or down, as x."""
        return [x for (x, before), (_, after) in pairwise(self.points(name)) if before != after]

    def tick(self, label: str) -> float:
        """Where a time stands, as x; the upper half has no labels."""
        (found,) = [group for name, group in self._groups.items() if name.startswith("xtick_")
                    and label in {text.text for text in group.iter(f"{SVG}text")}]  # fmt: skip
        return float(next(found.iter(f"{SVG}use")).get("x", ""))


def draw(folder: Path, *options: str, **given: Path | str) -> Picture:
    """The example's day, drawn."""
    out, said = folder / "day.svg", io.StringIO()
    with redirect_stdout(said):
        assert run("--format=json", f"--out={out}", *options, **given) == 0
    return Picture(out, json.loads(said.getvalue()))


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    return draw(tmp_path_factory.mktemp("picture"), "--max-connections=200")


def test_every_size_and_every_load_is_drawn(picture: Picture) -> None:
    assert picture.series == SERIES
    assert {"pods", "ready", "load", "what ready pods bear"} <= picture.texts
    assert len(picture.jumps("pods")) == picture.said["findings"]["changes"] > 10
    with (EXAMPLES / "day.csv").open() as file:
        loads = [float(row["cores"]) for row in csv.DictReader(file)]
    assert len(picture.jumps("load")) == sum(a != b for a, b in pairwise(loads))


def test_what_the_database_bears_is_a_line_all_day(picture: Picture, tmp_path: Path) -> None:
    """At its height among the pods, whether they reach it or not."""
    for drawn, budget in ((picture, 6), (draw(tmp_path, "--max-connections=400"), 16)):
        assert f"connection budget: {budget} pods" in drawn.texts
        fewest, most = drawn.said["findings"]["fewest_pods"], drawn.said["findings"]["most_pods"]
        xs, ys = zip(*drawn.points("pods"), strict=True)
        each = (max(ys) - min(ys)) / (most - fewest)
        (left, height), (right, end) = drawn.points("budget")
        assert height == end == pytest.approx(max(ys) - (budget - fewest) * each)
        assert left <= min(xs) < max(xs) <= right


def test_without_a_database_there_is_no_line(tmp_path: Path) -> None:
    drawn = draw(tmp_path, "--pod-bears=1", lms="")
    assert drawn.series == SERIES - {"budget"}
    assert not any("budget" in str(text) for text in drawn.texts)


def test_times_are_those_of_the_schools_clocks(picture: Picture) -> None:
    """Classes begin at eight in Chicago, and their pods a quarter of an hour before."""
    six, nine = picture.tick("06:00"), picture.tick("09:00")
    assert picture.jumps("pods")[0] == pytest.approx(six + (nine - six) * 1.75 / 3, abs=1)


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_the_same_day_gives_the_same_picture(tmp_path: Path, ending: str) -> None:
    digests = set()
    for name in ("one", "two"):
        assert run("--max-connections=200", "--out", str(tmp_path / (name + ending))) == 0
        digests.add(hashlib.sha256((tmp_path / (name + ending)).read_bytes()).hexdigest())
    assert len(digests) == 1
