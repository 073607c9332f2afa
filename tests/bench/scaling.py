"""Scaling by calendar, database and load, measured on a real cluster: `make show-scaling`.

How soon the operator acts, whether noise makes the size swing, and a class that begins, with and without pods that were
started before. Everything is measured now, in a cluster of its own. What was counted comes before the last line, which
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench import storm
from tests.bench.audit import AuditLog
from tests.bench.bells import Bells
from tests.bench.storm import Student
from tests.bench.testing_ground import own_name
from tests.cluster import builders, load, release
from tests.cluster.full_pools import full_pools
from tests.cluster.servers import Database
from tests.cluster.sizes import AUTOSCALER, DEPLOYMENT, REF, declare, has
from tests.cluster.workspace import LONG, Object, Workspace
from tests.testbed import services
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.layout import cluster_name
from tests.testbed.provider import open_cluster
from tests.testbed.versions import SAMPLE_LMS_RELEASES
from tests.unit.scaling import budget_cases

# Percent of the requested CPU that the autoscaler aims at.
TARGET = 60
AUTOSCALER_USER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
# A fifth of a core per pod: about five sign-ins a second. The class needs more than two of four pods.
RESOURCES = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
PODS = 4
# Sessions of four pods, one more in a rollout and two that leave, each with a full pool of four.
COUNTED = (4 + 1 + 2) * 4
# They have ended six seconds after they have served on, so that the next one may leave sooner.
QUICK = {"spec": {"terminationGracePeriodSeconds": 16}}
RATE = 10.0


@dataclass(frozen=True)
class Plan:
    """How much is measured; times in seconds."""

    samples: int = 50
    noise: float = 900
    ramp: float = 60
    hold: float = 60
    lead: float = 120
    cases: int = 2000


def say(text: str) -> None:
    """Progress, beside the last line that programs read."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@contextmanager
def place(cluster: Cluster) -> Iterator[tuple[Workspace, Database]]:
    """A namespace with a school in it, in a cluster that has the operator and metrics."""
    release.install(cluster)
    for version in SAMPLE_LMS_RELEASES[:1]:
        release.build_image(cluster, f"{SAMPLE_LMS}:{version}")
    services.install_metrics(cluster)
    name = f"scaling-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    workspace = Workspace(cluster, name)
    keys = {key: secrets.token_urlsafe(32) for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
    workspace.secret(builders.LMS_SECRET, **keys)
    yield workspace, Database(workspace, services.install_postgres(cluster, name))
    workspace.kubectl("delete", "scp", "--all")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster in which nothing else runs; it is removed at the end unless it was up before."""
    os.environ["AADA_CLUSTER"] = own_name(cluster_name())
    cluster = open_cluster()
    was_up = cluster.is_up()
    try:
        cluster.create()
        yield cluster
    finally:
        if not was_up:
            cluster.delete()


def decisions(workspace: Workspace, database: Database, samples: int) -> dict[str, Any]:
    """Milliseconds from what the calendar or the database says to what the operator does about it."""
    bells = Bells(workspace, database)
    bells.open()
    found: dict[str, list[float]] = {"calendar": [], "budget": [], "database_bound": [], "alone": []}
    # On a busy machine all five may have looked of their own accord before they were asked to.
    while len(counted(found)) < samples or not all(found.values()):
        found["calendar"] += _milliseconds(bells.calendar())
        found["budget"] += _milliseconds(bells.budget())
        list(bells.calendar())  # two pods again: as many samples count of the calendar as of the database
        found["alone"] += _milliseconds(bells.alone())
        found["database_bound"] += _milliseconds(bells.bound())
    return summed_up(found)


def counted(found: Mapping[str, list[float]]) -> list[float]:
    """The decisions of all kinds, but for those of policies that were asked alone."""
    return [value for kind, values in found.items() if kind != "alone" for value in values]


def summed_up(found: Mapping[str, list[float]]) -> dict[str, Any]:
    """The figures of all decisions, and of each kind."""
    for kind, values in found.items():
        p50, p99 = storm.percentile(values, 50), storm.percentile(values, 99)
        say(f"{kind}: {len(values)} decisions, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {max(values):.0f} ms")
    every = counted(found)
    return {
        "decisions": len(every),
        "decision_p50_ms": round(storm.percentile(every, 50)),
        "decision_p99_ms": round(storm.percentile(every, 99)),
    } | {f"decision_{kind}_p99_ms": round(storm.percentile(values, 99)) for kind, values in found.items()}


def _milliseconds(seconds: Iterable[float]) -> list[float]:
    return [one * 1000 for one in seconds]


class School:
    """The sample LMS with one to four pods, and somebody who can sign in."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace = workspace
        pods = builders.api_component(resources=RESOURCES, podTemplate=QUICK)
        workspace.apply(builders.aada_lms(host=database.host, components=[pods]))
        workspace.wait_condition("lms/aada", "Ready", timeout=LONG)
        load.install(workspace, f"{SAMPLE_LMS}:{SAMPLE_LMS_RELEASES[0]}")
        self.student = Student.enrol(workspace)

    def declare(self, **spec: Any) -> None:
        """The policy."""
        plain = {"minReplicas": 1, "maxReplicas": PODS, "metrics": [{"cpu": f"{TARGET}%"}]}
        declare(self.workspace, **plain | spec)

    def rest(self) -> None:
        """One pod, and an autoscaler that sees that it has nothing to do: one that has just started uses much."""
        self.declare(maxReplicas=1)
        has(self.workspace, 1)
        self.workspace.says(REF, "MetricsAvailable", "Followed", LONG)
        self.workspace.wait_for(AUTOSCALER, _is_calm, LONG)
        self.declare()
        self.workspace.says(REF, "MetricsAvailable", "Followed", LONG)

    @contextmanager
    def sizes(self) -> Iterator[list[tuple[float, int]]]:
        """Every number of pods that is wanted while the block runs, in order, with the seconds at which it was seen."""
        seen: list[tuple[float, int]] = []
        done = threading.Event()

        def follow() -> None:
            for event in self.workspace.watch(DEPLOYMENT, 3600):
                seen.append((time.monotonic(), int(event["object"]["spec"]["replicas"])))
                if done.is_set():
                    return

        threading.Thread(target=follow, daemon=True).start()
        yield seen
        done.set()


def _is_calm(autoscaler: Object) -> bool:
    """Whether its pods use no more than half of what would have it add one."""
    metrics = (autoscaler.get("status") or {}).get("currentMetrics") or []
    seen = [metric["resource"]["current"] for metric in metrics if "resource" in metric]  # none where it has no answer
    return bool(seen) and all(current.get("averageUtilization", TARGET) <= TARGET / 2 for current in seen)


def plain(school: School, plan: Plan) -> dict[str, Any]:
    """A class begins, and the load alone is followed."""
    school.rest()
    with closing(AuditLog(school.workspace.cluster.audit_log, AUTOSCALER_USER)) as audit:
        found = school.student.sign_in(storm.rising(RATE, plan.ramp, plan.hold))
        scaled = [request.received for request in audit.new() if request.uri.split("?")[0].endswith("/scale")
                  and request.is_write and request.received > found.began]  # fmt: skip
    own = round(min(scaled) - found.began, 1) if scaled else None
    say(f"plain: {found.requests} sign-ins, failed {found.failed or 'none'}, p95 {found.p95:.2f} s")
    say(f"the autoscaler's own loop: {own} s from the first sign-in to its first patch")
    return {"storm_failed_plain": sum(found.failed.values()), "storm_requests": found.requests,
            "storm_p95_plain_s": round(found.p95, 2), "autoscaler_first_patch_s": own}  # fmt: skip


def prewarmed(school: School, plan: Plan) -> dict[str, Any]:
    """The same class, and the calendar knows of it."""
    school.rest()
    begin = (datetime.now(UTC) + timedelta(seconds=plan.lead)).replace(second=0, microsecond=0)
    window = {"name": "class", "from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{begin + timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    school.declare(calendar={"prewarm": "60s", "examWindows": [window | {"minReplicas": PODS}]})
    time.sleep(max(0.0, begin.timestamp() - time.time()))
    found = school.student.sign_in(storm.rising(RATE, plan.ramp, plan.hold))
    say(f"with prewarm: {found.requests} sign-ins, failed {found.failed or 'none'}, p95 {found.p95:.2f} s")
    return {"storm_failed_prewarm": sum(found.failed.values()), "storm_p95_prewarm_s": round(found.p95, 2)}


def noise(school: School, plan: Plan) -> dict[str, Any]:
    """Load that varies around what two pods are for, for longer than it takes until pods may leave."""
    school.rest()
    with school.sizes() as sizes:
        found = school.student.sign_in(storm.noisy(RATE / 5, plan.noise))
    turned, brief = storm.reversals(sizes), _brief([size for _, size in sizes])
    say(f"noise for {plan.noise:.0f} s: {found.requests} sign-ins, sizes {brief}, at most {turned} reversals in 5 min")
    return {"noise_s": plan.noise, "reversals_per_5min": turned}


def _brief(sizes: list[int]) -> list[int]:
    return [size for number, size in enumerate(sizes) if number == 0 or size != sizes[number - 1]]


def full_scale(school: School, database: Database) -> dict[str, Any]:
    """A rollout of all pods that the database bears, all of whose pools are full."""
    school.declare(minReplicas=PODS, maxReplicas=10, reservedConnections=197 - COUNTED, databaseBound={"action": "Off"})
    has(school.workspace, PODS)
    with full_pools(school.workspace, database) as (outcomes, most):
        school.workspace.kubectl("rollout", "restart", DEPLOYMENT)
        school.workspace.kubectl("rollout", "status", DEPLOYMENT, f"--timeout={LONG}s")
    say(f"full pools: {most.pods} sessions of pods at the most, {COUNTED} counted; failed {outcomes.failed or 'none'}")
    return {"sessions_most": most.pods, "sessions_counted": COUNTED, "full_pools_failed": sum(outcomes.failed.values()),
            "too_many_connections": database.refused()}  # fmt: skip


def budgets(cases: int) -> dict[str, Any]:
    """Budgets at random, against pods that are counted one by one."""
    found = budget_cases.run(cases)
    say(f"budgets: {found.cases}, of which the server bears pods in {found.borne}; wrong: {found.violations or 'none'}")
    return {"budget_cases": found.cases, "budget_violations": len(found.violations)}


def measured(cluster: Cluster, plan: Plan) -> dict[str, Any]:
    """What is measured in a cluster."""
    with place(cluster) as (workspace, database):
        shown = decisions(workspace, database, plan.samples)
        school = School(workspace, database)
        shown |= plain(school, plan) | prewarmed(school, plan) | noise(school, plan)
        return shown | full_scale(school, database)


def run(plan: Plan) -> dict[str, Any]:
    """The whole show; returns its JSON object."""
    with own_cluster() as cluster:
        return budgets(plan.cases) | measured(cluster, plan)


def main(argv: list[str]) -> int:
    """Parse, run, print; returns 1 when `broken` names anything."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--samples", type=int, default=plan.samples, help="decisions at least (50)")
    parser.add_argument("--noise", type=float, default=plan.noise, help="seconds of varying load (900)")
    parser.add_argument("--ramp", type=float, default=plan.ramp, help="seconds until a class is all there (60)")
    parser.add_argument("--hold", type=float, default=plan.hold, help="seconds that it stays (60)")
    parser.add_argument("--lead", type=float, default=plan.lead, help="seconds before the class, at most (120)")
    parser.add_argument("--cases", type=int, default=plan.cases, help="budgets tried (2000)")
    shown = run(Plan(**vars(parser.parse_args(argv))))
    for name in broken(shown):
        say(f"must be 0, is {shown[name]}: {name}")
    print(json.dumps(shown))
    return 1 if broken(shown) else 0


def broken(shown: Mapping[str, Any]) -> list[str]:
    """What must never happen, and did; times are only measured."""
    return [name for name in ("budget_violations", "too_many_connections") if shown[name]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
