"""docs/rotations.md tells every reason that a SecretRotation can show; steps and columns are those of the code."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from aada_operator.adapters import interlock, pgbouncer
from aada_operator.api import rotation
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.rotations import report
from aada_operator.rotations.alternating import Alternating
from aada_operator.rotations.blue_green import BlueGreen
from aada_operator.rotations.gauges import gauges
from aada_operator.rotations.generic import Generic, ReplaceOnly
from aada_operator.rotations.in_place import InPlace
from aada_operator.rotations.reconcile import _REVERSIBLE
from aada_operator.rotations.three_phase import ThreePhase

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "rotations.md").read_text()
PACKAGE = Path(report.__file__).parent
ADAPTERS = [Path(str(module.__file__)) for module in (interlock, pgbouncer)]
SOURCES = [*PACKAGE.glob("*.py"), *ADAPTERS, PACKAGE.parent / "core" / "interlock.py"]
# CamelCase words of the code that nobody meets as a reason: kinds, phases of pods, what the AadaLms says, whose marks.
OTHERS = {
    *("AadaLms", "DatabaseReachable", "SchemaCurrent", "RolloutHealthy", "BackupFresh", "DriftReverted", "RolledOut"),
    *("RollingUpdate", "ExternalSecret", "SealedSecret", "VaultStaticSecret"),
}
# What the pattern does not find: words with one capital, and what all kinds show.
SHORT = {"Converging", "Idle", "Record", "Rotated", "InvalidSpec"}
_WORD = re.compile(r'"((?:[A-Z][a-z]+){2,})"')


def words() -> set[str]:
    """CamelCase words in quotes of the code."""
    return {word for file in SOURCES for word in _WORD.findall(file.read_text())} - OTHERS


def raised() -> set[str]:
    """The first word of each error that is raised, short ones too."""
    code = "".join(file.read_text() for file in SOURCES)
    return set(re.findall(r'(?:Stalled|Waiting)\(\s*"([A-Za-z]+)"', code))


def test_the_reasons_are_found() -> None:
    assert {"CanaryFailed", "NewLoginRefused", "ClaimsUnreadable", "OldLoginInUse", "NotDueYet"} <= words() | raised()


@pytest.mark.parametrize("reason", sorted(words() | raised() | SHORT))
def test_the_page_explains(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("condition", [kind for kind in report.KNOWN if kind != "Reconciling"])
def test_the_page_has_the_condition(condition: str) -> None:
    assert f"| `{condition}` |" in PAGE


def steps_told(section: str) -> list[str]:
    return re.findall(r"^\| `([A-Z][A-Za-z]+)` \|", PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0], re.MULTILINE)


def work() -> Any:
    visit = SimpleNamespace(spec=SimpleNamespace(emergency=False), annotations={})
    work = {"visit": visit, "kube": None, "kept": None, "since": NOW}
    return SimpleNamespace(**work, target=SimpleNamespace(keys=("jwt", "accepted")))


def test_the_steps_are_those_of_the_code() -> None:
    steps = [step.name for step in Alternating(work()).steps()]
    assert steps_told("What happens, step by step") == steps
    made = [one(work()) for one in (InPlace, ThreePhase, BlueGreen, Generic, ReplaceOnly)]
    others = [step.name for one in made for step in one.steps()]
    until = {"Preflight", "Claim", "Grace", "RetireOld", "EndSessions", "SwitchToBlue", "StopGreen", "RevokeTokens"}
    until |= {"ProveOld"}
    assert {*steps, *others} - until == _REVERSIBLE
    assert "from `Keep` to `Converge`" in PAGE


@pytest.mark.parametrize("strategy", [InPlace, ThreePhase, BlueGreen, Generic, ReplaceOnly])
def test_each_step_of_the_other_strategies_is_told(strategy: Any) -> None:
    made = strategy(work())
    assert [s.name for s in (*made.steps(), *made.way_back()) if f"`{s.name}`" not in PAGE] == []


def test_the_steps_of_blue_and_green_are_those_of_the_code() -> None:
    told = steps_told("An application that knows one key only")
    own = [step.name for step in BlueGreen(work()).steps()]
    assert told == own[own.index("StartGreen") : own.index("RevokeTokens")]


def test_the_steps_back_are_those_of_the_code() -> None:
    assert steps_told("The way back") == [step.name for step in Alternating(work()).way_back()]


EXAMPLES: list[dict[str, Any]] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("body", EXAMPLES, ids=[body["metadata"]["name"] for body in EXAMPLES])
def test_an_example_is_valid(body: dict[str, Any]) -> None:
    assert body["kind"] == "SecretRotation"
    SecretRotationSpec.model_validate(body["spec"])


def test_what_kubectl_shows_has_the_columns_of_the_definition() -> None:
    shown = [column.name for column in rotation.SECRET_ROTATION.columns if not column.priority]
    headings = re.findall(r"^NAME +(LMS .*)$", PAGE, re.MULTILINE)
    assert len(headings) == 2
    assert all(heading.split() == shown for heading in headings)


def test_every_metric_is_told() -> None:
    step = {"name": "Keep", "startedAt": "2026-03-01T04:00:00Z", "finishedAt": "2026-03-01T04:00:00Z"}
    moment = "2026-03-01T04:00:00Z"
    known = {"lastRotation": moment, "nextRotation": moment, "steps": [step], "step": "Keep"}
    known |= {"history": [{"result": "Rotated"}], "conditions": [{"type": "StoreInStep", "status": "True"}]}
    found = gauges({"status": known})
    assert len(found) == 8
    assert [s.name for s in found if s.name.removeprefix("secret_rotation") not in PAGE.replace("`…_", "`_")] == []


def test_links_lead_somewhere() -> None:
    """Pages and headings that this page names."""
    for page, heading in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", PAGE):
        text = (DOCS / page).read_text() if page else PAGE
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE) if page.endswith(".md") or not page else []
        slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in slugs, f"{page}#{heading}"
