"""docs/scaling.md tells every reason, condition, column and metric that a ScalingPolicy can show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aada_operator.adapters import prometheus
from aada_operator.api.scaling import SCALING_POLICY, ScalingPolicySpec
from aada_operator.scaling import report
from aada_operator.scaling.gauges import gauges

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "scaling.md").read_text()
SOURCES = sorted(Path(report.__file__).parent.glob("*.py"))
# Kinds, and words of Kubernetes.
OTHERS = {"DesiredWithinRange", "TooManyReplicas", "ScalingActive", "ScalingDisabled", "AadaLms"}
_WORD = re.compile(r'"((?:[A-Z][a-z]+){2,})"')


def words() -> set[str]:
    code = "".join(file.read_text() for file in SOURCES)
    raised = re.findall(r'(?:Stalled|Waiting)\(\s*"([A-Za-z]+)"', code)
    said = re.findall(r'conditions\.set\(\w+, [^"]*"([A-Z]\w+)"', code)
    return ({*_WORD.findall(code), *raised, *said} | {"InvalidSpec", "Off"}) - OTHERS - {"True", "False", "Unknown"}


def test_the_reasons_are_found() -> None:
    assert {"AnotherAutoscaler", "ScaledByHand", "Followed", "Limited", "OtherComponents", "HandingOver"} <= words()


@pytest.mark.parametrize("reason", sorted({*words(), *prometheus.REASONS}))
def test_the_page_explains(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("condition", [kind for kind in report.KNOWN if kind != "Reconciling"])
def test_the_page_has_the_condition(condition: str) -> None:
    assert f"| `{condition}` |" in PAGE


EXAMPLES: list[dict[str, Any]] = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("body", EXAMPLES, ids=[body["metadata"]["name"] for body in EXAMPLES])
def test_an_example_is_valid(body: dict[str, Any]) -> None:
    assert body["kind"] == "ScalingPolicy"
    ScalingPolicySpec.model_validate(body["spec"])


PATCHES: list[str] = re.findall(r"-p '(\{.*?\})'", PAGE)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_patch_of_a_policy_is_valid(patch: str) -> None:
    spec = json.loads(patch)["spec"]
    assert (
        ScalingPolicySpec.model_validate(EXAMPLES[0]["spec"] | spec).model_dump(by_alias=True).items() >= spec.items()
    )


def test_what_kubectl_shows_has_the_columns_of_the_definition() -> None:
    shown = [column.name for column in SCALING_POLICY.columns if not column.priority]
    (heading,) = re.findall(r"^NAME +(LMS .*)$", PAGE, re.MULTILINE)
    assert heading.split() == shown


def test_every_metric_is_told() -> None:
    status = {
        "min": 2, "max": 5, "desired": 3, "current": 3, "budget": {"maxPods": 5},
        "nextTransition": {"time": "2026-03-01T04:00:00Z"}, "metrics": [{"name": "requests", "pods": 3}],
    }  # fmt: skip
    found = {sample.name: sample for sample in gauges({"spec": {"target": {"component": "backend"}}, "status": status})}
    assert len(found) == 12
    assert found["scaling_max_replicas"].value == 5
    assert found["scaling_max_replicas"].labels["component"] == "backend"
    assert found["scaling_metric_replicas"].labels["metric"] == "requests"
    assert [name for name in found if name.removeprefix("scaling") not in PAGE.replace("`…_", "`_")] == []


def test_exceeding_the_budget_is_a_metric() -> None:
    said = {"conditions": [{"type": "ConnectionBudgetExceeded", "status": "True", "reason": "MaxReplicasTooHigh"}]}
    (sample,) = [one for one in gauges({"status": said}) if one.name == "scaling_budget_exceeded"]
    assert sample.value == 1


def test_links_lead_somewhere() -> None:
    """Pages and headings that this page names."""
    for page, heading in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", PAGE):
        text = (DOCS / page).read_text() if page else PAGE
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE) if page.endswith(".md") or not page else []
        slugs = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
        assert not heading or heading in slugs, f"{page}#{heading}"
