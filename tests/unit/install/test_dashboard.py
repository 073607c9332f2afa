"""The dashboard shows what the operator really measures, and Grafana's sidecar finds it where it looks."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from aada_operator.backups.gauges import gauges as of_backup
from aada_operator.core.metrics import OBJECTS, PREFIX, REGISTRY
from aada_operator.core.workqueue import Key
from aada_operator.lms.reconcile import gauges as of_lms
from aada_operator.policies.gauges import gauges as of_policy
from aada_operator.restores.gauges import gauges as of_restore
from aada_operator.rotations.gauges import gauges as of_rotation
from tests.unit.backups.api_server import SetClock
from tests.unit.install.generated import CHART, rendered

NOW = "2026-03-01T01:30:00Z"
TIMES = {"phase": "Completed", "startTime": NOW, "completionTime": NOW}
LMS = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "database": {"connections": 1, "maxConnections": 100, "sizeBytes": 1},
    "components": [{"name": "backend", "ready": 1, "desired": 1}],
}
POLICY = {
    **dict.fromkeys(("recoveryPoint", "next", "lastVerified", "lastFull", "lastIncremental"), NOW),
    **dict.fromkeys(("rpoWorstCase", "rtoMeasured"), "1h"),
    **{"retention": {}, "collection": {}, "copies": {"lastCopied": NOW}, "uploads": {"lastSync": NOW}},
}
STEP = {"name": "Publish", "startedAt": NOW, "finishedAt": NOW}
ROTATION = {
    **{
        "lastRotation": NOW,
        "nextRotation": NOW,
        "steps": [STEP],
        "step": "Publish",
        "history": [{"result": "Rotated"}],
    },
    "conditions": [{"type": "StoreInStep", "status": "True"}],
}
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EVERY_PANEL = pytest.mark.parametrize("panel", PANELS, ids=[panel.get("title", "") for panel in PANELS])


def body(status: dict[str, Any], spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "one", "namespace": "school"}, "spec": spec or {}, "status": status}


@pytest.fixture(scope="module")
def measured() -> dict[str, set[str]]:
    """Every metric that Prometheus can read, with its labels: one object of each kind was seen, all of it known."""
    clock = SetClock(datetime(2026, 3, 1, 2, tzinfo=UTC))
    policy = body(POLICY, {"objectives": {"rpo": "4h"}, "uploads": {}})
    samples = [*of_lms(body(LMS)), *of_policy(policy, clock), *of_backup(body(TIMES)), *of_restore(body(TIMES))]
    key = Key("dashboard", "school", "one")
    OBJECTS.set(key, [*samples, *of_rotation(body(ROTATION))])
    found = {f"{PREFIX}reconcile_seconds_bucket": {"le", "kind"}}
    for family in REGISTRY.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.setdefault(name, set()).update(*(sample.labels for sample in family.samples))
    OBJECTS.forget(key)
    # A counter has no sample before it has counted.
    return found | {f"{PREFIX}reconcile_errors_total": {"kind"}, f"{PREFIX}api_writes_total": {"resource", "verb"}}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}\w+", expression))


@EVERY_PANEL
def test_a_panel_asks_for_what_is_measured(panel: dict[str, Any], measured: dict[str, set[str]]) -> None:
    for target in panel["targets"]:
        names = metrics_in(target["expr"])
        assert names
        assert names <= measured.keys()
        wanted = set(re.findall(r"(\w+)=~", target["expr"])) | set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        wanted |= {label for text in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in text.split(", ")}
        for name in names:
            assert wanted <= measured[name], name


@EVERY_PANEL
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["title"]) > 5
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert panel["datasource"]["uid"] == "${datasource}", "whatever the data source is called"


def test_every_panel_has_an_id_and_a_place_of_its_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert taken.isdisjoint(cells)
        taken |= cells


def test_a_school_and_a_namespace_can_be_chosen(measured: dict[str, set[str]]) -> None:
    asked = " ".join(str(variable["query"]) for variable in DASHBOARD["templating"]["list"])
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "namespace", "lms"}
    assert metrics_in(asked) <= measured.keys()


def test_what_people_ask_for_is_there() -> None:
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    wanted = [
        *("lms_ready", "rpo_seconds", "rto_measured", "verification_last", "backup_size", "restore_duration"),
        *("secret_rotation_last_timestamp", "secret_rotation_failures", "secret_rotation_step_seconds"),
        *("secret_rotation_last_result", "secret_rotation_step_deadline", "secret_rotation_stalled"),
    ]
    assert [name for name in wanted if f"{PREFIX}{name}" not in shown] == []


def config_maps(*values: str) -> list[dict[str, Any]]:
    return [one for one in rendered(*(f"--set={value}" for value in values)) if one["kind"] == "ConfigMap"]


def test_the_sidecar_of_grafana_finds_it_on_request_only() -> None:
    assert config_maps() == []
    (made,) = config_maps("metrics.dashboard.enabled=true")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["namespace"] == "aada-system"
    assert json.loads(made["data"]["aada-operator.json"]) == DASHBOARD


def test_it_goes_where_the_sidecar_looks() -> None:
    values = ("metrics.dashboard.enabled=true", "metrics.dashboard.namespace=monitoring")
    (made,) = config_maps(*values, "metrics.dashboard.labels.team=school")
    assert made["metadata"]["namespace"] == "monitoring"
    assert made["metadata"]["labels"].items() >= {"grafana_dashboard": "1", "team": "school"}.items()
