"""Connections and uploads (CapacitySafe), and how fresh the newest backup is (BackupFresh)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.database import PoolerLimits, ServerFacts
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.lms.capacity import capacity_safe as capacity
from aada_operator.lms.decide import backups, quantised
from tests.unit.lms.samples import NOW, spec

SERVER = ServerFacts(version="15.14", connections=7, max_connections=100, reserved=3, size_bytes=10**7)
SCHOOL = {"workers": 4, "poolSize": 20, "maxOverflow": 40}


def api(**changes: Any) -> Object:
    return {"components": [{"name": "backend", "connections": SCHOOL} | changes]}


def test_the_runbooks_pool_does_not_fit_a_default_server() -> None:
    verdict = capacity(spec(api(replicas=2)), SERVER, None)
    assert (verdict.status, verdict.reason) == ("False", "ConnectionBudgetExceeded")
    assert "(2+1+2) x 4 x (20+40) backend + 9 reserved = 1209 connections, 97 of 100 available" in verdict.message
    assert "max_connections 1212" in verdict.message


def test_a_budget_that_fits_to_the_last_connection_is_safe() -> None:
    fits = {"workers": 1, "poolSize": 22, "maxOverflow": 0}
    assert capacity(spec(api(replicas=1, connections=fits)), SERVER, None).status == "True"
    one_more = fits | {"maxOverflow": 1}
    assert capacity(spec(api(replicas=1, connections=one_more)), SERVER, None).status == "False"


def test_all_api_components_count_and_web_ones_do_not() -> None:
    components = [
        {
            "name": "backend",
            "role": "api",
            "image": "i",
            "connections": {"workers": 1, "poolSize": 20, "maxOverflow": 0},
        },
        {"name": "tasks", "role": "api", "image": "i", "connections": {"workers": 1, "poolSize": 20, "maxOverflow": 0}},
        {"name": "learn", "role": "web", "image": "i", "replicas": 100},
    ]
    verdict = capacity(spec({"components": components}), SERVER, None)
    assert "= 209 connections" in verdict.message


def test_without_declaration_or_server_nothing_is_claimed() -> None:
    assert capacity(spec(), SERVER, None).reason == "NotDeclared"
    assert capacity(spec(api()), None, None).reason == "DatabaseUnreachable"
    assert capacity(spec(), None, None).status == "Unknown"


@pytest.mark.parametrize(
    ("replicas", "modes", "reason"),
    [
        (2, ["ReadWriteOnce"], "UploadsNotShared"),
        (2, ["ReadWriteMany"], "NotDeclared"),
        (1, ["ReadWriteOnce"], "NotDeclared"),
        (1, None, "UploadsNotShared"),
    ],
)
def test_several_pods_need_a_claim_that_they_can_share(replicas: int, modes: list[str] | None, reason: str) -> None:
    storage = {"uploads": {"claimName": "uploads", "mountPath": "/uploads"}}
    patch = {"components": [{"name": "backend", "replicas": replicas}], "storage": storage}
    assert capacity(spec(patch), SERVER, modes).reason == reason


def test_both_shortages_are_told() -> None:
    storage = {"uploads": {"claimName": "uploads", "mountPath": "/uploads"}}
    verdict = capacity(spec(api() | {"storage": storage}), SERVER, ["ReadWriteOnce"])
    assert verdict.reason == "ConnectionBudgetExceeded"
    assert "ReadWriteMany" in verdict.message


def policy(name: str, lms: str = "aada", last: timedelta | None = None, rpo: str | None = None) -> Object:
    status = {"lastFull": to_rfc3339(NOW - last)} if last is not None else {}
    objectives = {"objectives": {"rpo": rpo}} if rpo else {}
    return {"metadata": {"name": name}, "spec": {"lmsRef": {"name": lms}} | objectives, "status": status}


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("policies", "status", "reason"),
    [
        ([], "False", "NoBackupPolicy"),
        ([policy("p", lms="another", last=HOUR)], "False", "NoBackupPolicy"),
        ([policy("p")], "False", "NoBackupYet"),
        ([policy("p", last=HOUR)], "True", "Completed"),
        ([policy("p", last=HOUR, rpo="4h")], "True", "Fresh"),
        ([policy("p", last=4 * HOUR, rpo="4h")], "True", "Fresh"),
        ([policy("p", last=5 * HOUR, rpo="4h")], "False", "Stale"),
        # the newest of all policies against the strictest promise
        ([policy("p", last=5 * HOUR, rpo="4h"), policy("q", last=HOUR)], "True", "Fresh"),
        ([policy("p", last=5 * HOUR, rpo="30d"), policy("q", last=6 * HOUR, rpo="4h")], "False", "Stale"),
    ],
)
def test_how_fresh_the_newest_backup_is(policies: list[Object], status: str, reason: str) -> None:
    verdict, _ = backups(policies, "aada", NOW)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_the_newest_backup_is_told() -> None:
    _, last = backups([policy("p", last=5 * HOUR), policy("q", last=HOUR)], "aada", NOW)
    assert last == to_rfc3339(NOW - HOUR)


def test_a_policy_whose_fields_are_null_is_no_surprise() -> None:
    odd = {"metadata": {"name": "p"}, "spec": {"lmsRef": {"name": "aada"}, "objectives": None}, "status": None}
    assert backups([odd], "aada", NOW)[0].reason == "NoBackupYet"


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(1, 1000))
def test_a_written_figure_is_near_the_real_one_and_steady(values: list[int], step: int) -> None:
    shown = 0
    for value in values:
        shown = quantised(shown, value, step)
        assert abs(shown - value) < max(step, shown // 10) or shown == value
        assert quantised(shown, value, step) == shown


BEHIND = {"database": {"pooler": {"host": "pgbouncer", "adminSecretRef": {"name": "pooler-admin"}}}}


def test_behind_a_pooler_its_pools_count_and_not_the_pods() -> None:
    pooler = PoolerLimits(pool_size=20, clients=2000)
    verdict = capacity(spec(api(replicas=2) | BEHIND), SERVER, None, pooler)
    assert (verdict.status, verdict.reason) == ("True", "WithinBudget")
    assert "(2+1+2) x 4 x (20+40) backend = 1200 clients of the pooler, max_client_conn 2000" in verdict.message
    assert "its pools at the most 60 + 9 reserved, 97 of 100 available" in verdict.message


@pytest.mark.parametrize(
    ("pooler", "fix"),
    [
        (PoolerLimits(pool_size=20, clients=1000), "max_client_conn 1209 of the pooler"),
        (PoolerLimits(pool_size=40, clients=2000), "a smaller default_pool_size of the pooler, or max_connections 132"),
    ],
)
def test_a_pooler_that_is_too_small_or_too_large_is_told_with_the_fix(pooler: PoolerLimits, fix: str) -> None:
    verdict = capacity(spec(api(replicas=2) | BEHIND), SERVER, None, pooler)
    assert (verdict.status, verdict.reason) == ("False", "ConnectionBudgetExceeded")
    assert fix in verdict.message


def test_a_pooler_that_does_not_tell_its_pools_leaves_it_open() -> None:
    verdict = capacity(spec(api(replicas=2) | BEHIND), SERVER, None, Waiting("ConnectionRefused", "nothing listens"))
    assert (verdict.status, verdict.reason) == ("Unknown", "BehindPooler")
    assert "nothing listens" in verdict.message
