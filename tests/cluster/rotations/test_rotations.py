"""The application's login rotated on the real cluster, under load: no login fails, and the old one is dead."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import load
from tests.cluster.release import Operator
from tests.cluster.rotations.runbook import by_the_runbook
from tests.cluster.rotations.school import DATABASE, HEALTH, REF, School
from tests.cluster.workspace import LONG
from tests.testbed.cluster import Cluster
from tests.testbed.shell import say


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school of its own, whose login these tests rotate."""
    opened = School.open(cluster, f"rotation-{secrets.token_hex(3)}")
    opened.declare()
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_two_rotations_under_load_fail_no_login_and_no_request(school: School) -> None:
    with load.constant(school.workspace, HEALTH, rate=20) as outcomes:
        first = school.rotate()
        second = school.rotate()
    used = school.use()
    say(f"logins during two rotations: {used.all}, failed: {used.failed or 'none'}; requests: {outcomes.counts}")
    assert used.all >= 500
    assert used.failed == {}
    assert outcomes.answered >= 100
    assert outcomes.failed == {}
    proofs = [body["status"]["proof"] for body in (first, second)]
    assert [proof["sqlState"] for proof in proofs] == ["28P01", "28P01"]
    assert [proof["login"] for proof in proofs] == [f"{DATABASE}_a", f"{DATABASE}_b"]
    assert school.open_logins() == [f"{DATABASE}_a"]
    assert school.secrets() == []
    school.workspace.wait_condition("lms/aada", "Ready")


def test_it_is_seen_with_kubectl(school: School) -> None:
    header, row = school.workspace.kubectl("get", "rot").splitlines()
    assert header.split() == ["NAME", "LMS", "TYPE", "STRATEGY", "STEP", "REV", "LAST", "NEXT", "PROVEN", "AGE"]
    assert "28P01" in row


@pytest.mark.parametrize("step", ["Canary", "Converge"])
def test_the_operator_killed_in_the_middle_goes_on(school: School, operator: Operator, step: str) -> None:
    revision = int(school.workspace.get(REF)["status"]["revision"]) + 1  # type: ignore[index]
    school.ask()
    school.workspace.wait_for(REF, lambda body: body.get("status", {}).get("step") == step, LONG)
    operator.kill()
    school.rotated(revision)
    assert len(school.open_logins()) == 1
    assert school.secrets() == []
    assert school.use().failed == {}
    operator.rolled_out()


def test_a_server_that_restarts_in_the_middle_is_waited_for(school: School) -> None:
    revision = int(school.workspace.get(REF)["status"]["revision"]) + 1  # type: ignore[index]
    school.ask()
    school.workspace.wait_for(REF, lambda body: body.get("status", {}).get("step") == "Canary", LONG)
    school.database.stop()
    school.database.start()
    school.rotated(revision)
    assert len(school.open_logins()) == 1


def test_the_runbooks_way_fails_logins(school: School) -> None:
    """The yardstick: what the same use sees when a password is changed in place."""
    before = school.use()
    by_the_runbook(school)
    failed = sum(school.use().failed.values()) - sum(before.failed.values())
    say(f"failed logins by the runbook: {failed} of {school.use().all - before.all}")
    assert failed > 0
