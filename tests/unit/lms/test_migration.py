"""The migration Job: one name per wish, and what it says of itself."""

from typing import Any

import pytest

from aada_operator.core.resources import Object
from aada_operator.lms import migration
from tests.unit.lms.samples import ended, owner, pod, running, spec, waiting


def name(patch: Object | None = None, reset: str = "") -> str:
    return migration.job_name(spec(patch), "aada", reset)


def test_the_same_wish_has_the_same_name() -> None:
    assert name() == name()
    assert name() == name(
        {"schema": {"timeout": "1h", "lockTimeout": "9s"}, "components": [{"name": "backend", "replicas": 9}]}
    )
    assert len(migration.job_name(spec(), "a" * 30, "")) <= 63


@pytest.mark.parametrize(
    "patch",
    [
        {"version": "v2"},
        {"components": [{"name": "backend", "image": "other"}]},
        {"schema": {"revision": "0003"}},
        {"schema": {"command": ["migrate", "{revision}"]}},
    ],
)
def test_another_wish_has_another_name(patch: Object) -> None:
    assert name(patch) != name()


def test_a_reset_is_another_wish() -> None:
    assert len({name(), name(reset="1"), name(reset="2")}) == 3


def container(patch: Object | None = None) -> Object:
    body = migration.manifest(owner(), spec(patch), "job", "0001")
    found: Object = body["spec"]["template"]["spec"]["containers"][0]
    return found


def test_the_revision_is_put_into_the_command() -> None:
    assert container({"schema": {"revision": "0003"}})["command"] == ["alembic", "upgrade", "0003"]


def test_a_migration_never_runs_the_images_own_command_nor_serves() -> None:
    served = {"command": ["gunicorn"], "args": ["--workers", "4"]}
    found = container({"components": [{"name": "backend"} | served]})
    assert found["command"] == ["alembic", "upgrade", "head"]
    assert {"args", "ports", "readinessProbe", "livenessProbe", "lifecycle"}.isdisjoint(found)


def test_migrations_give_up_on_locks_beside_the_users_own_options() -> None:
    env = {v["name"]: v.get("value") for v in container({"schema": {"lockTimeout": "2s"}})["env"]}
    assert env["PGOPTIONS"] == "-c lock_timeout=2000"
    own = {"components": [{"name": "backend", "env": [{"name": "PGOPTIONS", "value": "-c work_mem=64MB"}]}]}
    given = [v for v in container(own)["env"] if v["name"] == "PGOPTIONS"]
    assert [v["value"] for v in given] == ["-c work_mem=64MB -c lock_timeout=3000"]


def test_no_service_sends_requests_to_a_migration() -> None:
    labels = migration.manifest(owner(), spec(), "job", "")["spec"]["template"]["metadata"]["labels"]
    assert "lms.aada.edu/component" not in labels


def job(*conditions: Object) -> Object:
    metadata = {"name": "aada-migrate-1", "creationTimestamp": "2026-01-02T10:00:00Z", "annotations": {}}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def true(kind: str, **more: Any) -> Object:
    return {"type": kind, "status": "True"} | more


def test_a_job_that_runs() -> None:
    found = migration.state(job(), [pod(running())])
    assert (found.phase, found.trouble, found.ran) == ("Active", None, True)


def test_a_job_whose_image_cannot_be_had() -> None:
    found = migration.state(job(), [pod(waiting("ErrImagePull"))])
    assert found.trouble is not None
    assert (found.phase, found.trouble.reason, found.ran) == ("Active", "ImagePullFailed", False)


def test_a_job_that_is_about_to_fail_is_still_active() -> None:
    """FailureTarget comes before Failed: until then its pods may be running."""
    assert migration.state(job(true("FailureTarget")), []).phase == "Active"


def test_a_failed_job_tells_how_its_newest_pod_ended() -> None:
    old = pod({"name": "backend", "state": ended(1)}, name="old")
    new = pod(
        {"name": "backend", "state": ended(255)}, name="new", metadata={"creationTimestamp": "2026-01-02T11:30:00Z"}
    )
    found = migration.state(job(true("Failed", reason="BackoffLimitExceeded")), [new, old])
    assert (found.phase, found.pod, found.failure) == ("Failed", "new", "container backend: Error, exit code 255")
    assert not found.timed_out


def test_a_job_that_took_too_long() -> None:
    assert migration.state(job(true("Failed", reason="DeadlineExceeded")), []).timed_out


def test_a_job_that_succeeded() -> None:
    found = migration.state(job(true("SuccessCriteriaMet"), true("Complete")), [pod(running())])
    assert (found.phase, found.trouble) == ("Succeeded", None)


POOLER: Object = {"host": "pgbouncer", "port": 6432, "adminSecretRef": {"name": "pooler-admin"}}
ENV: Object = {"URL": "url", "DB_HOST": "host", "DB_PORT": "port", "DB_NAME": "name", "DB_CA": "ca"}


class TestBehindAPooler:
    def variables(self, **database: Any) -> list[Object]:
        """Of a migration of an application that takes the database apart."""
        declared = {"pooler": POOLER, "env": ENV, "sslMode": "require", "name": "school"} | database
        return list(container({"database": declared})["env"])

    def test_a_migration_goes_to_the_server_itself(self) -> None:
        found = {v["name"]: v.get("value") for v in self.variables()}
        login = "$(AADA_DATABASE_USERNAME):$(AADA_DATABASE_PASSWORD)"
        assert found["URL"] == f"postgresql+psycopg2://{login}@db:5432/school?sslmode=require"
        assert (found["DB_HOST"], found["DB_PORT"]) == ("db", "5432")

    def test_with_the_login_of_the_secret_which_comes_first_and_stands_in_no_job(self) -> None:
        """The kubelet puts into a variable only what stands before it."""
        user, password, *_ = self.variables()
        assert user["valueFrom"]["secretKeyRef"] == {"name": "aada-db", "key": "username"}
        assert password["valueFrom"]["secretKeyRef"] == {"name": "aada-db", "key": "password"}
        assert "value" not in password

    def test_whatever_else_is_in_the_secret_stays(self) -> None:
        found = {v["name"]: v.get("valueFrom") for v in self.variables()}
        assert found["DB_NAME"] == {"secretKeyRef": {"name": "aada-db", "key": "name"}}
        assert found["DB_CA"] == {"secretKeyRef": {"name": "aada-db", "key": "ca"}}

    def test_without_one_the_secret_leads_there(self) -> None:
        found = {v["name"]: v.get("valueFrom") for v in self.variables(pooler=None)}
        assert found["URL"] == {"secretKeyRef": {"name": "aada-db", "key": "url"}}
        assert "AADA_DATABASE_PASSWORD" not in found
