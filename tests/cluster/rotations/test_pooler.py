"""The application's login rotated behind a PgBouncer on the real cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.bench import rotations as show
from tests.cluster.release import Operator
from tests.cluster.rotations import pooler
from tests.cluster.rotations.school import REF, School
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school of its own behind a pooler."""
    opened = pooler.open_school(cluster, f"pooler-{secrets.token_hex(3)}")
    opened.declare()
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_a_rotation_behind_a_pooler_fails_no_login_and_no_request(school: School) -> None:
    where = school.database.sql("SELECT DISTINCT client_addr FROM pg_stat_activity WHERE usename ~ '_[ab]$'")
    assert where == school.workspace.items("pods", "app.kubernetes.io/name=pgbouncer")[0]["status"]["podIP"]
    shown = show.rotations([school], 1)
    assert (shown["failed_logins"], shown["failed_requests"]) == (0, 0)
    assert min(shown["logins"], shown["requests"]) >= 100
    status = (school.workspace.get(REF) or {})["status"]
    assert (status["proof"]["sqlState"], status["proof"]["sessionsLeft"]) == ("28P01", 0)
    assert len(school.open_logins()) == 1
