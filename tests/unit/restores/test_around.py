"""What is around the reconciler of a Restore: its Job as a manifest, its metrics, what wakes it, its words."""

import asyncio
from dataclasses import replace
from typing import Any

import kopf
import pytest

from aada_operator.api.backup_policy import JobTemplate
from aada_operator.api.common import API_VERSION, LocalRef, SecretKeyRef
from aada_operator.api.data_key import DataKey
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.api.task import RestoreTask, SqlCheck
from aada_operator.core.workqueue import Key
from aada_operator.restores import handlers, manifests
from aada_operator.restores.gauges import gauges
from aada_operator.restores.manifests import Load

RESTORE: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "Restore",
    "metadata": {"name": "rehearsal", "namespace": "school", "uid": "u-1"},
}
LOAD = Load(
    restore=RESTORE,
    backup="monday",
    location=Location(
        bucket="backups", prefix="school/aada/monday", credentials_secret="s3", endpoint="http://s3:7070"
    ),
    manifest_sha256="ab" * 32,
    server=Database(host="db", admin_secret_ref=LocalRef(name="db-admin")),
    database="review",
    identity=SecretKeyRef(name="identity", key="key"),
    job=JobTemplate(resources={"limits": {"memory": "1Gi"}}),
    allow_local=False,
    lms="aada",
)


def test_the_job_sees_three_secrets_and_its_task_names_none() -> None:
    request = manifests.restore_job(LOAD, attempt=2, deadline=3600)
    assert {(mount.folder, mount.secret) for mount in request.mounts} == {
        ("database", "db-admin"),
        ("storage", "s3"),
        ("identity", "identity"),
    }
    task = RestoreTask.model_validate(request.task)
    assert (task.uid, task.folder, task.database.name) == ("u-1", "school/aada/monday", "review")
    assert task.manifest_sha256 == "ab" * 32
    assert not {"db-admin", "s3", "identity"} & {str(value) for value in request.task.values()}
    assert (request.name, request.deadline, request.resources) == (
        "rehearsal-restore-2",
        3600,
        {"limits": {"memory": "1Gi"}},
    )


def test_a_restore_with_checks_sees_the_login_of_the_application_that_asks_them() -> None:
    check = SqlCheck(name="users", sql="SELECT count(*) FROM users", min=1)
    request = manifests.restore_job(replace(LOAD, checks=(check,), tables=("users",)), attempt=1, deadline=60)
    assert ("application", "aada-db") in {(mount.folder, mount.secret) for mount in request.mounts}
    task = RestoreTask.model_validate(request.task)
    assert (task.tables, task.checks) == (["users"], [check])


def test_a_restore_tries_the_key_of_the_application_where_it_is_declared() -> None:
    secret = SecretKeyRef(name="lms-keys", key="ENCRYPTION_KEY")
    key = DataKey(secret_ref=secret, table="users", column="email_encrypted")
    request = manifests.restore_job(replace(LOAD, data_key=key), attempt=1, deadline=60)
    (mount,) = [mount for mount in request.mounts if mount.folder == "data-key"]
    assert (mount.secret, mount.items) == ("lms-keys", {"ENCRYPTION_KEY": "key"})
    assert RestoreTask.model_validate(request.task).data_key == key
    assert request.scratch, "a server of its own needs room"
    assert manifests.restore_job(LOAD, attempt=1, deadline=60).scratch is None


def test_names_of_jobs_and_labels_fit_kubernetes_limits() -> None:
    assert len(manifests.job_name("r" * 40, 999_999)) <= 63


def test_an_open_restore_is_counted_by_phase_and_a_completed_one_has_its_duration() -> None:
    waiting = {sample.name: sample for sample in gauges(RESTORE)}
    assert waiting["restores"].labels == {"phase": "Pending"}
    assert "restore_duration_seconds" not in waiting
    times = {"startTime": "2026-03-01T01:00:00Z", "completionTime": "2026-03-01T01:01:35Z"}
    completed = {s.name: s.value for s in gauges(RESTORE | {"status": {"phase": "Completed"} | times})}
    assert completed == {"restores": 1.0, "restore_duration_seconds": 95.0}


def test_a_change_wakes_the_restore_itself() -> None:
    registry, woken = kopf.OperatorRegistry(), list[Key]()
    handlers.register(registry, woken.append)
    (handler,) = registry._watching.get_all_handlers()
    asyncio.run(handler.fn(body=RESTORE))  # type: ignore[arg-type, call-arg]
    assert woken == [Key("restores", "school", "rehearsal")]


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_identity_is_mounted_only_for_an_encrypted_backup(encrypted: bool) -> None:
    load = Load(**(vars(LOAD) | {} if encrypted else vars(LOAD) | {"identity": None}))
    folders = {mount.folder for mount in manifests.restore_job(load, 1, 60).mounts}
    assert ("identity" in folders) is encrypted
