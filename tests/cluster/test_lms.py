"""AadaLms on the real cluster, with the sample LMS: from an empty database to a rolling update, and what goes wrong."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aada_operator.core.overlay import merged
from tests.cluster import audit, builders, load, release
from tests.cluster.release import Operator
from tests.cluster.servers import Database
from tests.cluster.workspace import Object, Workspace, condition, summary
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_postgres

OLD, NEW, CRASHING = "v1.2.3", "v1.3.0", "v1.4.0-crash"
# Generous: a machine that builds images beside is slow, and waiting costs nothing when it goes well.
WAIT = 240.0


class School:
    """A namespace with PostgreSQL and the application's keys, in which each test has an AadaLms of its own."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self.database = workspace, database

    def apply(self, name: str, **patch: Any) -> str:
        """Apply an AadaLms with a database of its own name; returns its reference."""
        body = builders.aada_lms(name, host=self.database.host, database=f"db_{name}")
        self.workspace.apply(body | {"spec": merged(body["spec"], patch)})
        return f"lms/{name}"

    def ready(self, ref: str, timeout: float = WAIT) -> Object:
        return self.workspace.wait_condition(ref, "Ready", timeout=timeout)

    def look_again(self, ref: str) -> None:
        """Secrets are looked at every minute; an annotation is quicker."""
        self.workspace.kubectl("annotate", ref, "--overwrite", f"lms.aada.edu/reconcile-at={secrets.token_hex(4)}")

    def reasons(self, name: str, kind: str = "Warning") -> set[str]:
        """Reasons of the Events about an AadaLms."""
        return {event["reason"] for event in self.workspace.events(f"AadaLms/{name}") if event["type"] == kind}

    def secret(self, name: str) -> dict[str, str]:
        data = (self.workspace.get(f"secret/{name}") or {"data": {}})["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    name = f"school-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    workspace = Workspace(cluster, name)
    keys = {key: f"canary-{secrets.token_urlsafe(24)}" for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
    workspace.secret(builders.LMS_SECRET, **keys)
    yield School(workspace, Database(workspace, install_postgres(cluster, name)))
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_the_minimal_lms_becomes_ready_from_an_empty_database(school: School) -> None:
    ref = school.apply("first")
    school.workspace.kubectl("wait", "--for=condition=Ready", ref, f"--timeout={WAIT:.0f}s")
    body = school.ready(ref)
    status = body["status"]
    assert (status["version"], status["schema"]["revision"], status["ready"]) == (OLD, "0002", "1/1"), summary(body)
    assert status["phase"] == "Ready"
    assert condition(body, "CapacitySafe")["status"] == "True"
    assert condition(body, "BackupFresh")["reason"] == "NoBackupPolicy"
    owners = school.database.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", "db_first")
    assert owners == "db_first_owner"
    assert school.reasons("first") == {"NoBackupPolicy"}, "an installation that goes well warns of nothing else"
    table = school.workspace.kubectl("get", ref).splitlines()
    assert table[0].split() == ["NAME", "VERSION", "SCHEMA", "READY", "HEALTH", "OPERATION", "AGE"]
    assert table[1].split()[:5] == ["first", OLD, "0002", "1/1", "True"]


def test_an_unchanged_lms_costs_no_write(school: School) -> None:
    ref = school.apply("quiet")
    school.ready(ref)
    school.workspace.wait_for(ref, lambda body: condition(body, "RolloutHealthy")["reason"] == "RolledOut")
    _visited(school, ref, "quiet", audit.mark(school.workspace), 1)
    begin = audit.mark(school.workspace)
    for number in range(1, 6):
        school.look_again(ref)
        _visited(school, ref, "quiet", begin, number)
    assert begin.writes() == []


def _visited(school: School, ref: str, name: str, begin: audit.Mark, times: int) -> None:
    """Wait until the object was visited so often since the mark, and the last visit is over."""
    if not begin.reads("aadalms", name):
        school.look_again(ref)
    deadline = time.monotonic() + 30
    while begin.reads("aadalms", name) < times or begin.reads("secrets", builders.LMS_SECRET) < times:
        assert time.monotonic() < deadline, "the operator did not look"
        time.sleep(0.1)


def test_a_rolling_update_fails_no_request(school: School) -> None:
    two = [builders.api_component(replicas=2)]
    ref = school.apply("rolling", components=two)
    school.ready(ref)
    before = [
        pod["metadata"]["name"]
        for pod in school.workspace.items("pods", "lms.aada.edu/lms=rolling,lms.aada.edu/component=backend")
    ]
    load.install(school.workspace, f"{SAMPLE_LMS}:{OLD}")
    with load.constant(school.workspace, "http://rolling-backend:8000/health") as outcomes:
        school.apply("rolling", components=two, version=NEW)
        done = school.workspace.wait_for(ref, lambda body: body["status"].get("version") == NEW, timeout=WAIT)
        for pod in before:
            school.workspace.wait_gone(f"pod/{pod}")
    assert outcomes.failed == {}
    assert outcomes.answered > 100, "there was a load"
    assert done["status"]["schema"]["revision"] == "0003"
    assert done["status"]["schema"]["previousRevision"] == "0002"


def test_an_older_image_on_a_newer_schema_is_explained_and_the_pods_stay(school: School) -> None:
    ref = school.apply("back", version=NEW)
    school.ready(ref)
    school.apply("back", version=OLD)
    message = school.workspace.says(ref, "SchemaCurrent", "UnknownRevision")
    assert f"{SAMPLE_LMS}:{OLD}" in message
    assert "older than the schema" in message
    body = school.workspace.wait_condition(ref, "Stalled")
    assert body["status"]["ready"] == "1/1", "the pods serve as before"
    assert "UnknownRevision" in school.reasons("back")
    deployment = school.workspace.get("deployment/back-backend") or {}
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(NEW)
    school.apply("back", version=NEW)
    school.ready(ref)


def test_an_image_that_crashes_does_not_take_the_old_pods_away(school: School) -> None:
    ref = school.apply("crash", version=NEW)
    school.ready(ref)
    school.apply("crash", version=CRASHING)
    message = school.workspace.says(ref, "RolloutHealthy", "CrashLoop")
    assert "backend" in message
    assert "exit code 3" in message, message
    body = school.ready(ref)
    assert condition(body, "Ready")["reason"] == "Serving"
    assert body["status"]["version"] == NEW
    assert "CrashLoop" in school.reasons("crash")
    school.apply("crash", version=NEW)
    school.workspace.says(ref, "RolloutHealthy", "RolledOut")


def test_an_image_that_does_not_exist_is_named_and_replaced_at_once(school: School) -> None:
    ref = school.apply("absent", version="v9.9.9")
    message = school.workspace.says(ref, "SchemaCurrent", "ImagePullFailed")
    assert f"{SAMPLE_LMS}:v9.9.9" in message
    assert "ImagePullFailed" in school.reasons("absent")
    school.apply("absent", version=OLD)
    school.ready(ref)


def test_an_image_of_a_portal_that_does_not_exist_leaves_the_api_alone(school: School) -> None:
    portal = builders.portal_component(image="localhost/aada/no-such-portal:v1")
    ref = school.apply("portal", components=[builders.api_component(), portal])
    message = school.workspace.says(ref, "RolloutHealthy", "ImagePullFailed")
    assert "learn" in message
    body = school.workspace.wait_for(ref, lambda body: body["status"].get("ready") == "1/2")
    assert condition(body, "Ready")["status"] == "False"
    school.apply("portal", components=[builders.api_component(), builders.portal_component()])
    school.ready(ref)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"replicas": 3}, "spec.replicas"),
        (
            {"template": {"spec": {"containers": [{"name": "backend", "image": f"{SAMPLE_LMS}:{NEW}"}]}}},
            "image",
        ),
    ],
    ids=["replicas", "image"],
)
def test_drift_is_reverted_and_the_field_is_named(school: School, change: Object, path: str) -> None:
    ref = school.apply("drift")
    school.ready(ref)
    school.workspace.says(ref, "RolloutHealthy", "RolledOut")
    before = {event["metadata"]["name"] for event in school.workspace.events("AadaLms/drift")}
    patch = json.dumps({"spec": change})
    school.workspace.kubectl("patch", "deployment/drift-backend", "--type=strategic", "--patch", patch)
    school.workspace.wait_for("deployment/drift-backend", _as_wanted)
    told = _new_events(school, "drift", before, "DriftReverted")
    assert any("Deployment drift-backend" in event["message"] and path in event["message"] for event in told)


def _as_wanted(deployment: Object) -> bool:
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return bool(deployment["spec"]["replicas"] == 1 and image.endswith(OLD))


def _new_events(school: School, name: str, before: set[str], reason: str) -> list[Object]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        events = [e for e in school.workspace.events(f"AadaLms/{name}") if e["metadata"]["name"] not in before]
        if told := [event for event in events if event["reason"] == reason]:
            return told
        time.sleep(0.2)
    raise AssertionError(f"no Event {reason} about {name}")


def test_a_child_that_was_deleted_comes_back(school: School) -> None:
    ref = school.apply("drift")
    school.ready(ref)
    uid = (school.workspace.get("service/drift-backend") or {})["metadata"]["uid"]
    school.workspace.delete("service/drift-backend")
    found = school.workspace.wait_for("service/drift-backend", lambda body: body["metadata"]["uid"] != uid)
    assert found["spec"]["ports"][0]["port"] == 8000


def test_suspended_nothing_is_changed(school: School) -> None:
    ref = school.apply("paused")
    school.ready(ref)
    school.workspace.patch(ref, suspend=True)
    school.workspace.wait_phase(ref, "Suspended")
    begin = audit.mark(school.workspace)
    school.workspace.kubectl("scale", "deployment/paused-backend", "--replicas=0")
    school.workspace.wait_for(ref, lambda body: body["status"]["components"][0]["desired"] == 0)
    assert {write.split("/")[0] for write in begin.writes()} <= {"patch aadalms", "create events"}
    school.workspace.patch(ref, suspend=False)
    school.workspace.wait_for("deployment/paused-backend", lambda body: body["spec"]["replicas"] == 1)
    school.ready(ref)


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_missing_admin_secret_is_named_and_heals(school: School) -> None:
    ref = school.apply("nosecret", database={"adminSecretRef": {"name": "not-there"}})
    assert "not-there" in school.workspace.says(ref, "DatabaseReachable", "SecretMissing")
    assert "SecretMissing" in school.reasons("nosecret")
    credentials = school.database.server.credentials
    school.workspace.secret("not-there", username=credentials["username"], password=credentials["password"])
    school.look_again(ref)
    school.ready(ref)


def test_a_wrong_password_is_told_from_a_dead_server_and_heals(school: School) -> None:
    school.workspace.secret("wrong", username="postgres", password="canary-wrong-password")
    ref = school.apply("wrongpw", database={"adminSecretRef": {"name": "wrong"}})
    assert "Secret wrong" in school.workspace.says(ref, "DatabaseReachable", "AuthenticationFailed")
    assert "AuthenticationFailed" in school.reasons("wrongpw")
    school.workspace.secret("wrong", **school.database.server.credentials)
    school.look_again(ref)
    school.ready(ref)


def test_an_unknown_host_is_named_and_heals(school: School) -> None:
    ref = school.apply("nohost", database={"host": "no-such-host"})
    assert "no-such-host" in school.workspace.says(ref, "DatabaseReachable", "HostUnknown")
    assert "HostUnknown" in school.reasons("nohost")
    school.apply("nohost")
    school.ready(ref)


def test_a_missing_application_secret_is_named_and_heals(school: School) -> None:
    own = [{"name": "JWT_SECRET_KEY", "secretRef": {"name": "jwt-later", "key": "current"}}]
    ref = school.apply("jwt", secrets=own)
    assert "jwt-later" in school.workspace.says(ref, "SchemaCurrent", "SecretMissing")
    assert "jwt-later" in school.workspace.says(ref, "SecretsFresh", "SecretMissing")
    school.workspace.secret("jwt-later", current="canary-jwt-later")
    school.look_again(ref)
    school.ready(ref)


def test_a_stopped_server_is_told_and_heals(lms_namespace: Workspace, database: Database, sample_lms: str,
                                            lms_secrets: str, operator: Operator) -> None:  # fmt: skip
    lms_namespace.apply(builders.aada_lms(host=database.host))
    ref = "lms/aada"
    lms_namespace.wait_condition(ref, "Ready", timeout=WAIT)
    database.stop()
    lms_namespace.kubectl("annotate", ref, "lms.aada.edu/reconcile-at=1")
    down = lms_namespace.wait_condition(ref, "DatabaseReachable", "False")
    assert condition(down, "DatabaseReachable")["reason"] in ("ConnectionRefused", "ConnectionTimedOut", "HostUnknown")
    lms_namespace.kubectl("scale", "deployment/aada-backend", "--replicas=2")
    lms_namespace.wait_for("deployment/aada-backend", lambda body: body["spec"]["replicas"] == 1)
    database.start()
    lms_namespace.wait_condition(ref, "Ready", timeout=WAIT)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"replicas": -1}, "replicas"),
        ({"replicas": 1_000_000}, "replicas"),
        ({"image": "x" * 2**20}, "image"),
        ({"command": ["x" * 2**20]}, "command"),
        ({"port": 70_000}, "port"),
        ({"role": "worker"}, "role"),
    ],
    ids=["replicas -1", "a million replicas", "1 MB image", "1 MB argument", "port", "role"],
)
def test_bad_values_are_refused_by_the_api_server_with_their_field(school: School, change: Object, field: str) -> None:
    body = builders.aada_lms("bad", components=[builders.api_component(**change)])
    with pytest.raises(subprocess.CalledProcessError) as refused:
        school.workspace.kubectl(
            "create", "--filename=-", "--dry-run=server", input=json.dumps(body), stderr=subprocess.PIPE
        )
    assert f"spec.components[0].{field}" in refused.value.stderr


def test_a_million_characters_where_anything_is_allowed_are_explained(school: School) -> None:
    """A podTemplate is free-form: only the API server's answer to the Deployment tells what is wrong with it."""
    long = {"metadata": {"annotations": {"note": "x" * 2**19}}}
    ref = school.apply("long", components=[builders.api_component(podTemplate=long)])
    message = school.workspace.says(ref, "Stalled", "Refused")
    assert "annotations" in message
    assert "xxx" not in message
    school.apply("long", components=[builders.api_component(podTemplate={"metadata": {"annotations": {"note": "x"}}})])
    school.ready(ref)


# --- the end --------------------------------------------------------------------------------------------------------


def test_killing_the_operator_during_an_installation_changes_nothing(school: School, operator: Operator) -> None:
    ref = school.apply("killed")
    school.workspace.wait_for(ref, lambda body: bool(body.get("status")))
    operator.kill()
    school.ready(ref, timeout=120)
    jobs = school.workspace.items("jobs", "lms.aada.edu/lms=killed")
    assert len(jobs) == 1, "one migration"
    operator.rolled_out()


def test_deletion_leaves_database_secret_and_claim(school: School) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    school.workspace.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "uploads"}, "spec": claim}
    )
    storage = {"uploads": {"claimName": "uploads", "mountPath": "/uploads"}}
    ref = school.apply("gone", storage=storage, components=[builders.api_component(replicas=2)])
    body = school.ready(ref)
    assert condition(body, "CapacitySafe")["reason"] == "UploadsNotShared", "two pods and a claim of one node"
    secret = school.secret("gone-db")
    school.database.sql("CREATE TABLE kept (id int)", "db_gone")
    school.workspace.delete(ref)
    school.workspace.wait_gone("deployment/gone-backend")
    school.workspace.kubectl("wait", "--for=delete", "pods", "--selector=lms.aada.edu/lms=gone", "--timeout=60s")
    for kind in ("services", "jobs", "poddisruptionbudgets"):
        assert school.workspace.items(kind, "lms.aada.edu/lms=gone") == []
    assert school.workspace.get("pvc/uploads")
    assert school.secret("gone-db") == secret
    assert school.database.sql("SELECT count(*) FROM kept", "db_gone") == "0"
    school.ready(school.apply("gone"))
    assert school.secret("gone-db") == secret


def test_in_a_namespace_that_ends_nothing_is_begun(lms_namespace: Workspace, database: Database, sample_lms: str,
                                                   lms_secrets: str, operator: Operator) -> None:  # fmt: skip
    lms_namespace.apply(builders.aada_lms(host=database.host))
    lms_namespace.wait_condition("lms/aada", "Ready", timeout=WAIT)
    begin = audit.mark(lms_namespace)
    lms_namespace.cluster.kubectl("delete", "namespace", lms_namespace.namespace, "--timeout=120s")
    made = [write for write in begin.writes() if write.startswith("create") and "events" not in write]
    assert made == []
    release.ensure_namespace(lms_namespace.cluster, lms_namespace.namespace)  # for the fixture that deletes it


def test_no_secret_is_in_any_event_status_or_log(school: School, operator: Operator) -> None:
    ref = school.apply("canary")
    school.ready(ref)
    values = [*school.secret("canary-db").values(), *school.secret(builders.LMS_SECRET).values()]
    values += [school.database.server.credentials["password"], "canary-wrong-password", "canary-jwt-later"]
    hidden = {value for value in values if len(value) >= 16 and not value.startswith("postgres.")}
    assert len(hidden) >= 5
    shown = [
        operator.logs("deployment/aada-operator"),
        *(
            school.workspace.kubectl("get", kind, "--output=json")
            for kind in ("events", "lms", "deploy", "jobs", "pods")
        ),
    ]
    found = [index for index, text in enumerate(shown) for value in hidden if value in text]
    assert found == []
