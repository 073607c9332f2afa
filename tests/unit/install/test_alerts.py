"""The chart's alerts of rotations, asked of Prometheus' own promtool: who is told of what, and what is no news."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.metrics import PREFIX, Sample
from aada_operator.rotations.gauges import gauges
from tests.testbed.layout import Layout
from tests.testbed.programs import unpack_package
from tests.testbed.shell import run
from tests.unit.install.generated import rendered

SPEC = {"lmsRef": {"name": "aada"}, "type": "DatabasePassword", "drainTimeout": "10m", "gracePeriod": "1h"}
NAMED = {"namespace": "school", "name": "login"}


def at(minutes: float) -> str:
    """A moment of promtool, whose time begins in 1970."""
    return to_rfc3339(datetime.fromtimestamp(0, UTC) + timedelta(minutes=minutes))


def condition(kind: str, status: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status}]}


def waits(step: str, minutes: float, **further: str) -> dict[str, Any]:
    """A status with a step under way since so many minutes after the beginning."""
    return {"step": step, "steps": [{"name": step, "startedAt": at(minutes)} | further]}


@pytest.fixture(scope="session")
def promtool() -> Path:
    return unpack_package(Layout.current(), "prometheus") / "usr" / "bin" / "promtool"


@pytest.fixture(scope="session")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as Prometheus reads them."""
    (rule,) = (r for r in rendered("--set=metrics.prometheusRule.enabled=true") if r["kind"] == "PrometheusRule")
    file = tmp_path_factory.mktemp("rules") / "rules.json"
    file.write_text(json.dumps(rule["spec"]))
    return file


def series(sample: Sample) -> dict[str, str]:
    """What Prometheus read of an object that stayed as it is for five hours."""
    labels = ",".join(f'{key}="{value}"' for key, value in (NAMED | sample.labels).items())
    return {"series": f"{PREFIX}{sample.name}{{{labels}}}", "values": f"{sample.value:.0f}x300"}


CASES: dict[str, list[tuple[dict[str, Any], int, bool]]] = {
    "AadaRotationStuck": [
        # After the old login was retired nothing goes back, and it waits for what a person has to do.
        (waits("ProveOld", 60), 80, True),
        (waits("ProveOld", 60), 69, False),
        # That it waits for the grace period is no trouble.
        (waits("Grace", 0), 65, False),
        (waits("Grace", 0), 80, True),
        # On the way back pods are waited for, too.
        (waits("Reconverge", 0), 20, True),
        (waits("ProveOld", 60, finishedAt=at(61)) | {"step": ""}, 240, False),
    ],
    "AadaRotationStalled": [
        (condition("Stalled", "True"), 10, True),
        (condition("Stalled", "False"), 240, False),
    ],
    "AadaStoreOutOfStep": [
        (condition("StoreInStep", "False"), 20, True),
        (condition("StoreInStep", "False"), 10, False),
        (condition("StoreInStep", "True"), 240, False),
        ({}, 240, False),
    ],
    "AadaRotationOverdue": [
        ({"nextRotation": at(0)}, 65, True),
        ({"nextRotation": at(0)}, 55, False),
    ],
    "AadaRotationFails": [
        ({"failures": 1}, 10, True),
        ({"failures": 0, "history": [{"result": "Rotated"}]}, 240, False),
    ],
}


@pytest.mark.parametrize(
    ("alert", "status", "minutes", "rings"), [(alert, *case) for alert, cases in CASES.items() for case in cases]
)
def test_who_is_told(
    promtool: Path, rules: Path, tmp_path: Path, alert: str, status: dict[str, Any], minutes: int, rings: bool
) -> None:
    samples = gauges({"spec": SPEC, "status": status})
    expected = [{"labels": "{}", "value": 1}] if rings else []
    asked = f'count(ALERTS{{alertname="{alert}",alertstate="firing",namespace="school",name="login"}})'
    test = {
        "interval": "1m",
        "input_series": [series(sample) for sample in samples],
        "promql_expr_test": [{"expr": asked, "eval_time": f"{minutes}m", "exp_samples": expected}],
    }
    run([promtool, "test", "rules", written(tmp_path, rules, test)])


def written(folder: Path, rules: Path, test: dict[str, Any]) -> Path:
    """A test as promtool reads it."""
    file = folder / "test.json"
    file.write_text(json.dumps({"rule_files": [str(rules)], "tests": [test]}))
    return file


def test_an_alert_says_which_rotation_and_where_to_look(promtool: Path, rules: Path, tmp_path: Path) -> None:
    """Its words are rendered by Prometheus from what the operator measures."""
    told = "SecretRotation school/login does not get on with ProveOld; its condition Ready says what it waits for. "
    labels = {"severity": "warning", "lms": "aada", "type": "DatabasePassword", "step": "ProveOld"}
    alert = {"exp_labels": NAMED | labels, "exp_annotations": {"summary": f"{told}The old credential may still work."}}
    test = {
        "interval": "1m",
        "input_series": [series(sample) for sample in gauges({"spec": SPEC, "status": waits("ProveOld", 0)})],
        "alert_rule_test": [{"eval_time": "20m", "alertname": "AadaRotationStuck", "exp_alerts": [alert]}],
    }
    run([promtool, "test", "rules", written(tmp_path, rules, test)])
