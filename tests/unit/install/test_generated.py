"""What is generated is what its source says, and the tables of the install guide leave nothing out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aada_operator.__main__ import main as aada_operator
from aada_operator.api.registry import KINDS
from tests.unit.install import generated


@pytest.mark.parametrize("path", generated.TEXTS, ids=lambda path: path.name)
def test_a_generated_file_is_what_its_source_makes(path: Path) -> None:
    assert path.read_text() == generated.TEXTS[path](), "stale: run `make generate` and commit"


@pytest.mark.parametrize("folder", generated.CRD_FOLDERS, ids=lambda path: path.parent.name)
def test_the_crds_are_those_of_the_models(folder: Path, tmp_path: Path) -> None:
    aada_operator(["crds", "--out", str(tmp_path)])
    assert contents(folder) == contents(tmp_path), "stale: run `make generate` and commit"
    assert len(contents(folder)) == len(KINDS)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_every_value_of_the_chart_is_documented() -> None:
    documented = {path for path, _, _ in generated.documented_values()}
    values = yaml.safe_load((generated.CHART / "values.yaml").read_text())
    assert set(leaves(values, documented)) == documented


def leaves(values: dict[str, Any], documented: set[str], path: str = "") -> Iterator[str]:
    """Paths of all values; an object that is documented as a whole is one."""
    for key, value in values.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and value and here not in documented:
            yield from leaves(value, documented, here)
        else:
            yield here
