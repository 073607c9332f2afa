"""The application's login rotated behind a PgBouncer on the real cluster, and a verification by a command."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.bench import rotations as show
from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.rotations import pooler
from tests.cluster.rotations.school import REF, School
from tests.cluster.workspace import LONG, summary
from tests.testbed.cluster import Cluster

KEY = "rot/mail"


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


@pytest.mark.parametrize(("exits", "ended"), [(0, ("Rotated", None)), (3, ("RolledBack", "VerificationFailed"))])
def test_a_command_in_a_pod_of_the_component_has_the_last_word(
    school: School, exits: int, ended: tuple[str, str | None]
) -> None:
    """What it prints is nobody's business."""
    school.workspace.secret("mail", PASSWORD=secrets.token_urlsafe(16))
    command = ["python3", "-c", f"import os; print(os.environ['JWT_SECRET_KEY']); raise SystemExit({exits})"]
    spec = {
        "lmsRef": {"name": builders.LMS},
        "type": "Generic",
        "secretRef": {"name": "mail", "key": "PASSWORD"},
        "verify": {"component": "backend", "command": command},
    }
    school.workspace.apply(builders.custom_resource("SecretRotation", KEY.removeprefix("rot/"), spec))
    school.ask(KEY)
    body = school.workspace.wait_for(KEY, lambda one: bool((one.get("status") or {}).get("history")), LONG)
    newest = body["status"]["history"][0]
    assert (newest["result"], newest.get("reason")) == ended, summary(body)
    school.workspace.wait_for(KEY, lambda one: one["status"].get("phase") == "Idle", LONG)
    assert not school.workspace.get("pod/mail-verify"), "the pod is gone"
    school.workspace.delete(KEY)
