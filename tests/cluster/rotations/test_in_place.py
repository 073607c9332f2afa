"""The login's password changed in place on the real cluster: in a window only, and what it costs is over at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.release import Operator
from tests.cluster.rotations.school import DATABASE, REF, School
from tests.testbed.cluster import Cluster

ALWAYS = {"schedule": "0 * * * *", "duration": "1h"}


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school of its own, without maintenance windows yet."""
    opened = School.open(cluster, f"in-place-{secrets.token_hex(3)}", every=0.1)
    opened.declare(strategy="InPlace")
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_without_a_window_it_is_refused_and_no_login_fails(school: School) -> None:
    school.ask()
    school.workspace.wait_condition(REF, "Stalled")
    status = (school.workspace.get(REF) or {})["status"]
    told = next(c for c in status["conditions"] if c["type"] == "Stalled")
    assert (told["reason"], "kind Allow" in told["message"]) == ("NoMaintenanceWindow", True)
    assert school.use().failed == {}


def test_in_a_window_the_same_login_has_another_password_and_everybody_has_it(school: School) -> None:
    school.workspace.patch("lms/aada", maintenanceWindows=[ALWAYS])
    body = school.rotate()
    proof = body["status"]["proof"]
    assert (proof["sqlState"], proof["login"], proof["by"]) == ("28P01", f"{DATABASE}_a", f"{DATABASE}_a")
    assert school.open_logins() == [f"{DATABASE}_a"]
    assert school.secrets() == []
    school.workspace.wait_condition("lms/aada", "Ready")
    assert any(fails_no_more(school) for _ in range(10)), school.use().failed


def fails_no_more(school: School) -> bool:
    """Whether of fifty logins none failed; a pod on its way out may still count one that began before."""
    before = school.use()
    while (after := school.use()).all < before.all + 50:
        pass
    return after.failed == before.failed
