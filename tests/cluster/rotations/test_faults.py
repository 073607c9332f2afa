"""What breaks while the application's login is rotated on the real cluster: nobody is locked out, and it goes on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster.release import Operator
from tests.cluster.rotations import logins
from tests.cluster.rotations.school import REF, SECRET, School, is_at, newest
from tests.cluster.rotations.store import Store
from tests.cluster.workspace import LONG, Object, condition
from tests.testbed.cluster import Cluster
from tests.testbed.services import DATABASE_SECRET

REPORTS = f"deployment/{logins.NAME}"
# An application with its login written into it.
BUILT_IN = "case $DATABASE_URL in *{login}:*) exec gunicorn;; *) exit 7;; esac"
NEVER_READY = {"exec": {"command": ["false"]}, "periodSeconds": 1}


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school of its own, whose servers these tests break."""
    opened = School.open(cluster, f"faults-{secrets.token_hex(3)}")
    opened.declare()
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_a_wrong_admin_password_in_the_middle_is_named_and_waited_for(school: School) -> None:
    revision = school.next_revision()
    school.ask_until("Canary")
    right, wrong = school.values(DATABASE_SECRET), f"wrong-{secrets.token_hex(8)}"
    school.workspace.secret(DATABASE_SECRET, password=wrong)
    message = school.workspace.says(REF, "Ready", "AuthenticationFailed")
    assert f"Secret {DATABASE_SECRET}" in message
    assert wrong not in message
    school.workspace.secret(DATABASE_SECRET, **right)
    school.rotated(revision)
    assert len(school.open_logins()) == 1
    assert school.use().failed == {}


def test_a_consumer_that_never_becomes_ready_has_the_rotation_taken_back(school: School) -> None:
    """Its pods that serve stay, and both logins work until all have the old one again."""
    school.declare(drainTimeout="45s")
    before, failed = school.values(SECRET), school.use().failed
    school.ask_until("Canary")
    readiness(school, NEVER_READY)
    school.workspace.wait_for(REF, goes_back_and_names_it, LONG)
    assert len(school.open_logins()) == 2
    readiness(school, None)
    body = school.workspace.wait_for(REF, lambda body: body["status"].get("phase") == "Idle", LONG)
    assert (newest(body)["result"], newest(body)["reason"]) == ("RolledBack", "Converging")
    assert logins.NAME in newest(body)["message"]
    assert school.values(SECRET) == before
    assert school.open_logins() == [before["username"]]
    assert school.use().failed == failed
    school.declare()


def test_an_application_that_cannot_use_the_new_login_keeps_the_old_one(school: School) -> None:
    """Only a pod that serves nobody ever tried the new one."""
    before, failed = school.values(SECRET), school.use().failed
    serve(school, ["sh", "-c", BUILT_IN.format(login=before["username"])])
    pods = school.backends()
    school.ask()
    body = school.workspace.wait_for(REF, lambda body: newest(body).get("reason") == "CanaryFailed", LONG)
    assert newest(body)["result"] == "RolledBack"
    assert "exit code 7" in newest(body)["message"]
    school.workspace.wait_for(REF, lambda body: body["status"]["phase"] == "Idle", LONG)
    assert school.values(SECRET) == before
    assert school.open_logins() == [before["username"]]
    assert school.backends() == pods
    assert school.secrets() == []
    assert school.use().failed == failed
    serve(school, ["gunicorn"])


def test_a_store_outside_knows_the_new_login_and_may_be_away_at_any_time(school: School) -> None:
    """Before everybody has the new login it is waited for, after that no more."""
    store, failed = Store(school), school.use().failed
    school.declare(store=store.spec, gracePeriod="20s")
    school.workspace.wait_condition(REF, "StoreInStep")
    before, revision = store.read(), school.next_revision()
    school.ask_until("Canary")
    for following in ("Converge", "Grace"):
        store.cut()
        school.workspace.says(REF, "Ready", "StoreUnreachable")
        store.demand_login()
        school.workspace.wait_for(REF, partial(is_at, following), LONG, then=store.mend)
    store.cut()
    school.rotated(revision)
    store.demand_login()
    store.mend()
    assert store.is_in_step()
    assert store.read()["username"] != before["username"]
    school.workspace.kubectl("annotate", REF, "lms.aada.edu/reconcile-at=now")
    school.workspace.wait_condition(REF, "StoreInStep")
    assert school.open_logins() == [store.read()["username"]]
    assert school.use().failed == failed


def readiness(school: School, probe: Object | None) -> None:
    """How the pods of a consumer are asked whether they are ready."""
    containers = [{"name": logins.NAME, "readinessProbe": probe}]
    patch = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}})
    school.workspace.kubectl("patch", REPORTS, "--type=strategic", "--patch", patch)


def serve(school: School, command: list[str]) -> None:
    """Have the application's pods run a command, and wait until they all do."""
    components = (school.workspace.get("lms/aada") or {})["spec"]["components"]
    school.workspace.patch("lms/aada", components=[components[0] | {"command": command}])
    wanted = f"--for=jsonpath={{.spec.template.spec.containers[0].command[0]}}={command[0]}"
    school.workspace.kubectl("wait", wanted, "deployment/aada-backend", "--timeout=60s")
    school.workspace.kubectl("rollout", "status", "deployment/aada-backend", "--timeout=120s")
    school.workspace.wait_condition("lms/aada", "Ready")


def goes_back_and_names_it(body: Object) -> bool:
    message = condition(body, "Ready").get("message", "")
    return body["status"].get("phase") == "RollingBack" and f"Deployment {logins.NAME}" in message
