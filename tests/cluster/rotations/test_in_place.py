"""An installation with one role, made by hand: its password changed in place, and then two logins in its stead."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import builders, release
from tests.cluster.release import Operator
from tests.cluster.rotations.school import DATABASE, REF, SECRET, School
from tests.cluster.servers import Bucket, Database
from tests.cluster.workspace import LONG, Workspace
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_postgres, install_s3, make_bucket

ALWAYS = {"schedule": "0 * * * *", "duration": "1h"}
ROLE = "lms_by_hand"
BY_HAND = f"""
CREATE ROLE {ROLE} LOGIN PASSWORD '{{password}}';
CREATE DATABASE {DATABASE} OWNER {ROLE};
"""


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school whose role and Secret were there before the operator, without maintenance windows yet."""
    name = f"in-place-{secrets.token_hex(3)}"
    by_hand(cluster, name)
    opened = School.open(cluster, name, every=0.1)
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
    assert (proof["sqlState"], proof["login"], proof["by"]) == ("28P01", ROLE, ROLE)
    assert logins_that_work(school) == {ROLE}
    assert school.secrets() == []
    school.workspace.wait_condition("lms/aada", "Ready")
    assert any(fails_no_more(school) for _ in range(10)), school.use().failed


def test_it_is_adopted_after_a_backup_and_no_login_fails(school: School) -> None:
    school.declare()
    failed = school.use().failed
    school.ask()
    assert "BackupPolicy" in school.workspace.says(REF, "Ready", "BackupNotFresh")
    assert logins_that_work(school) == {ROLE}, "nothing is touched before"
    back_up(school)
    school.rotated(school.next_revision())
    assert logins_that_work(school) == {f"{DATABASE}_a"}
    assert school.owners() == [f"{DATABASE}_owner"]
    assert school.values(SECRET)["username"] == f"{DATABASE}_a"
    school.workspace.wait_condition("lms/aada", "Ready")
    assert school.use().failed == failed


def by_hand(cluster: Cluster, name: str) -> None:
    """What an administrator made: a role that owns everything, and a Secret of their own."""
    release.ensure_namespace(cluster, name)
    workspace = Workspace(cluster, name)
    database = Database(workspace, install_postgres(cluster, name))
    password = secrets.token_urlsafe(16)
    for statement in BY_HAND.format(password=password).strip().splitlines():
        database.sql(statement)
    values = {"host": database.host, "port": "5432", "name": DATABASE, "username": ROLE, "password": password}
    url = f"postgresql+psycopg2://{ROLE}:{password}@{database.host}:5432/{DATABASE}"
    workspace.secret(SECRET, url=url, **values)


def back_up(school: School) -> None:
    """A policy that counts as fresh for long, and a completed backup of it."""
    workspace, s3 = school.workspace, install_s3(school.workspace.cluster, school.workspace.namespace)
    make_bucket(workspace.cluster, s3, builders.BUCKET)
    bucket = Bucket(workspace, s3, builders.BUCKET)
    workspace.apply(builders.backup_policy(endpoint=bucket.endpoint), builders.backup())
    workspace.wait_phase("lmsb/by-hand", "Completed", LONG)


def logins_that_work(school: School) -> set[str]:
    """Roles of people's making and of the operator's that may log in."""
    query = f"SELECT rolname FROM pg_roles WHERE rolcanlogin AND (rolname = '{ROLE}' OR rolname LIKE '{DATABASE}%')"
    return set(school.database.sql(query).splitlines())


def fails_no_more(school: School) -> bool:
    """Whether of fifty logins none failed; a pod on its way out may still count one that began before."""
    before = school.use()
    while (after := school.use()).all < before.all + 50:
        pass
    return after.failed == before.failed
