"""Users are sent to pods that stand in for a component's own while a Deployment says so, and never to nobody."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.resources import Object
from aada_operator.lms import manifests
from aada_operator.lms.workloads import stood_in
from tests.unit.lms.samples import owner, spec

SPEC = spec({"components": [{"name": "backend", "replicas": 2}]})
BACKEND = SPEC.api_component()


def deployment(component: str, **metadata: Any) -> Object:
    return {"metadata": {"labels": {"lms.aada.edu/component": component}} | metadata}


SERVES = {"annotations": {"lms.aada.edu/serves": "true"}}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([deployment("backend"), deployment("backend.green", **SERVES)], {"backend"}),
        ([deployment("backend"), deployment("backend.green")], set()),
        ([deployment("backend", **SERVES)], set()),
        ([deployment("backend.green", deletionTimestamp="2026-01-01T00:00:00Z", **SERVES)], set()),
        ([deployment("reports.green", **SERVES)], set()),
        ([{"metadata": {"labels": {}}}, {"metadata": {"labels": {"team": "lms"}} | SERVES}], set()),
        ([], set()),
    ],
)
def test_a_deployment_says_so_and_one_that_is_leaving_does_not(found: list[Object], wanted: set[str]) -> None:
    assert stood_in(SPEC, found) == wanted


def test_service_and_budget_follow_and_the_components_own_pods_stay_as_they_are() -> None:
    own = {r.kind: body for r, body in manifests.children(owner(), SPEC, BACKEND, {})}
    told = {r.kind: body for r, body in manifests.children(owner(), SPEC, BACKEND, {}, stood_in=True)}
    selector = {"lms.aada.edu/lms": "aada", "lms.aada.edu/component": "backend.green"}
    assert told["Service"]["spec"]["selector"] == selector
    assert told["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector
    assert told["Deployment"] == own["Deployment"]
    assert own["Service"]["spec"]["selector"] == selector | {"lms.aada.edu/component": "backend"}
