"""Consumers that run now and then: how long the old credential works for them, and which of their pods need it."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.resources import Object
from aada_operator.rotations import runs
from aada_operator.rotations.runs import Publication
from tests.unit.rotations.samples import at, spec

MARK = "rotation.lms.aada.edu/login"
NOW = Publication("aada-db", MARK, "login-r2", at("2026-03-01T04:00:00Z"))
BACK = Publication("aada-db", MARK, "login-r3", at("2026-03-01T04:00:00Z"), replaced=at("2026-03-01T03:50:00Z"))
CRON_JOB, DEPLOYMENT = {"kind": "CronJob", "name": "nightly"}, {"kind": "Deployment", "name": "reports"}
VARIABLE = {"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "aada-db", "key": "password"}}}]}
SOURCE = {"envFrom": [{"secretRef": {"name": "aada-db"}}]}
OTHER = {"envFrom": [{"secretRef": {"name": "lms-keys"}}]}


@pytest.mark.parametrize(
    ("patch", "minutes"),
    [
        ({}, 15),
        ({"consumers": [DEPLOYMENT]}, 15),
        ({"consumers": [DEPLOYMENT, CRON_JOB]}, 24 * 60),
        ({"consumers": [CRON_JOB], "longestConsumerPeriod": "1h"}, 60),
        ({"consumers": [CRON_JOB], "longestConsumerPeriod": "5m"}, 15),
        ({"consumers": [CRON_JOB], "gracePeriod": "26h"}, 26 * 60),
        ({"longestConsumerPeriod": "7d"}, 7 * 24 * 60),
    ],
)
def test_the_old_credential_works_for_a_whole_period_of_those_that_read_it_once_a_run(
    patch: dict[str, Any], minutes: int
) -> None:
    assert spec(**patch).overlap.total_seconds() == minutes * 60


def pod(made: str, phase: str = "Running", kind: str = "Job", revision: str = "", **pod_spec: Any) -> Object:
    """A pod that was made at this time of the night."""
    used = {"containers": [{"name": "run"} | VARIABLE]} | pod_spec
    metadata = {"name": "nightly-1", "creationTimestamp": f"2026-03-01T{made}Z", "annotations": {MARK: revision}}
    owner = {"kind": kind, "controller": True}
    return {"metadata": metadata | {"ownerReferences": [owner]}, "spec": used, "status": {"phase": phase}}


def files(volume: Object) -> dict[str, Any]:
    return {"containers": [{"name": "run"}], "volumes": [volume]}


@pytest.mark.parametrize(
    ("words", "body", "waited_for"),
    [
        ("runs", pod("03:00:00"), True),
        ("starts", pod("03:59:59", "Pending"), True),
        ("waits for a retry of its node", pod("03:00:00", "Unknown"), True),
        ("has done its work", pod("03:00:00", "Succeeded"), False),
        ("has failed", pod("03:00:00", "Failed"), False),
        ("was made in the next minute, when its node may have known the old value", pod("04:00:59"), True),
        ("was made later", pod("04:01:00"), False),
        ("was made then, for this revision", pod("04:00:01", revision="login-r2"), False),
        ("was made then, for the one before", pod("04:00:01", revision="login-r1"), True),
        ("was made later from a template that somebody put back", pod("05:00:00", revision="login-r1"), False),
        ("is of a Deployment, which replaces it", pod("03:00:00", kind="ReplicaSet"), False),
        ("has all keys in its environment", pod("03:00:00", containers=[{"name": "run"} | SOURCE]), True),
        ("has it in an init container",
         pod("03:00:00", containers=[{"name": "run"}], initContainers=[{"name": "first"} | SOURCE]), True),
        ("has it in files", pod("03:00:00", **files({"name": "db", "secret": {"secretName": "aada-db"}})), True),
        ("has it in files beside others",
         pod("03:00:00", **files({"name": "db", "projected": {"sources": [{"secret": {"name": "aada-db"}}]}})), True),
        ("has another Secret", pod("03:00:00", containers=[{"name": "run"} | OTHER]), False),
        ("has no Secret", pod("03:00:00", **files({"name": "tmp", "emptyDir": {}})), False),
    ],
)  # fmt: skip
def test_a_pod_of_a_job_from_before_is_waited_for_until_it_has_ended(
    words: str, body: Object, waited_for: bool
) -> None:
    assert runs.earlier([body], NOW) == (("nightly-1",) if waited_for else ()), words


@pytest.mark.parametrize(
    ("started", "waited_for"),
    [(["03:00:00"], False), (["03:55:00"], True), (["03:00:00", "03:55:00"], True), ([], True), ([None], True)],
)
def test_after_a_way_back_only_runs_are_waited_for_that_may_have_the_new_value(
    started: list[str | None], waited_for: bool
) -> None:
    """One that has run since before the rotation has the old value, which is the one in use again."""
    states: list[Object] = [
        {"running": {"startedAt": f"2026-03-01T{one}Z"}} if one else {"waiting": {}} for one in started
    ]
    body = pod("02:59:00")
    body["status"]["containerStatuses"] = [{"state": state} for state in states]
    assert bool(runs.earlier([body], BACK)) is waited_for


def test_a_cron_job_has_changed_over_once_its_next_run_has_the_revision() -> None:
    template: Object = {"spec": {"containers": [{"name": "run"} | VARIABLE]}}
    cron_job: Object = {"spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert runs.pod_template(cron_job) is template
    assert not runs.is_up_to_date(cron_job, MARK, "login-r2")
    marked = {"template": {"metadata": {"annotations": {MARK: "login-r2"}}}}
    assert runs.remade(cron_job, MARK, "login-r2") == {"spec": {"jobTemplate": {"spec": marked}}}
    assert runs.remade({"spec": {"template": template}}, MARK, "login-r2") == {"spec": marked}
    template["metadata"] = {"annotations": {MARK: "login-r2"}}
    assert runs.is_up_to_date(cron_job, MARK, "login-r2")
    assert not runs.is_up_to_date(cron_job, MARK, "login-r3")
