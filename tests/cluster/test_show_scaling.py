"""`make show-scaling` in short: every figure is there, and pods that were started before the class fail nobody."""

from __future__ import annotations

import pytest

from tests.bench import scaling
from tests.bench.scaling import Plan
from tests.cluster.release import Operator
from tests.testbed import services
from tests.testbed.cluster import Cluster

FIGURES = {
    "decisions",
    "decision_p50_ms",
    "decision_p99_ms",
    "decision_alone_p99_ms",
    "decision_budget_p99_ms",
    "decision_calendar_p99_ms",
    "decision_database_bound_p99_ms",
    "reversals_per_5min",
    "storm_requests",
    "storm_failed_plain",
    "storm_failed_prewarm",
    "storm_p95_plain_s",
    "storm_p95_prewarm_s",
    "autoscaler_first_patch_s",
    "too_many_connections",
    "sessions_most",
    "sessions_counted",
    "full_pools_failed",
}


@pytest.mark.timeout(1200)  # most of it waits: for an autoscaler's next look, and for the next moment of a calendar
def test_every_figure_is_measured(cluster: Cluster, operator: Operator) -> None:
    try:
        shown = scaling.measured(cluster, Plan(samples=4, noise=5, ramp=10, hold=5, lead=80))
    finally:  # what comes after has no autoscaler that sees a load
        services.remove_metrics(cluster)
    assert shown.keys() >= FIGURES
    assert shown["decisions"] >= 3, "those that have a signal"
    assert shown["decision_p99_ms"] > 0
    assert shown["storm_failed_prewarm"] <= shown["storm_failed_plain"]
    assert shown["too_many_connections"] == 0
    assert 16 < shown["sessions_most"] <= shown["sessions_counted"], "four pods of four connections, and what leaves"
