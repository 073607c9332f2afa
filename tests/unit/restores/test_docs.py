"""docs/restores.md tells every reason that a Restore can show, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from aada_operator.api import task
from aada_operator.api.restore import RestoreSpec
from aada_operator.restores.reconcile import Operation

PAGE = (Path(__file__).parents[3] / "docs" / "restores.md").read_text()
SOURCES = Path(task.__file__).parents[1] / "restores"
# Of backups only, or what no condition of a Restore shows as a reason to act on.
ELSEWHERE = {"SnapshotFailed", "LockTimeout", "DumpFailed", "ManifestConflict", "DatabaseMissing", "UnderWay"}
ELSEWHERE |= {"UploadsMissing"}


def said_by_workers() -> set[str]:
    return {value for name, value in vars(task).items() if name.isupper() and isinstance(value, str)}


def said_by_reconciler() -> set[str]:
    """What the sources hand to conditions and errors: the first CamelCase word in quotes of each."""
    pattern = re.compile(
        r"(?:Stalled\(|Waiting\(|reason=|conditions\.set\([^)\n]*?True, |False, |state\.reason or )"
        r'"([A-Z][A-Za-z]{4,})"'
    )
    return {reason for file in SOURCES.glob("*.py") for reason in pattern.findall(file.read_text())}


def test_the_reasons_are_found() -> None:
    assert {"BackupNotFound", "PlanChanged", "JobLost", "AwaitingApproval", "Observing", "Loading"} <= (
        said_by_reconciler()
    )


@pytest.mark.parametrize("reason", sorted((said_by_workers() | said_by_reconciler()) - ELSEWHERE))
def test_the_page_explains(reason: str) -> None:
    assert f"`{reason}`" in PAGE


EXAMPLES: list[dict[str, Any]] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("body", EXAMPLES, ids=[body["metadata"]["name"] for body in EXAMPLES])
def test_an_example_is_valid(body: dict[str, Any]) -> None:
    assert body["kind"] == "Restore"
    RestoreSpec.model_validate(body["spec"])


def steps_of(**target: Any) -> list[str]:
    spec = RestoreSpec.model_validate({"source": {"backupName": "b"}, "target": target})
    visit: Any = SimpleNamespace(spec=spec, status={}, annotations={})
    work: Any = SimpleNamespace(visit=visit, status={})
    return [step.name for step in Operation(work)._steps()]


def steps_told(section: str) -> list[str]:
    return re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", section, re.MULTILINE)


def test_the_steps_are_those_of_the_code() -> None:
    assert steps_told(PAGE.split("## Plan and approval")[0]) == steps_of(mode="Cutover")


def test_the_steps_to_a_new_server_are_those_of_the_code() -> None:
    told = steps_told(PAGE.split("## After the loss of everything")[1].split("\n## ")[0])
    steps = steps_of(mode="NewServer", server={"host": "h", "adminSecretRef": {"name": "a"}})
    assert told == steps[steps.index("Load") + 1 : -1]
