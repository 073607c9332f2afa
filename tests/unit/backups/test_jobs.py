"""The Jobs of a Backup as manifests, its metrics, and what its worker may say."""

from __future__ import annotations

import json

import pytest

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.bundle import BundleOrder
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.location import Location
from aada_operator.api.task import BackupTask, VerifyTask
from aada_operator.backups import decide, manifests, outcome
from aada_operator.backups.gauges import gauges
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import WorkerImage, build
from tests.unit.backups.school import LMS_SPEC, POLICY_SPEC, RECIPIENT

BODY = {
    "apiVersion": "lms.aada.edu/v1alpha1",
    "kind": "Backup",
    "metadata": {"namespace": "school", "name": "before-term", "uid": "u1"},
    "spec": {"policyRef": {"name": "nightly"}},
}


def context(**policy: object) -> manifests.Context:
    spec = BackupPolicySpec.model_validate(POLICY_SPEC | policy)
    return manifests.Context(BODY, spec, decide.location_of(spec, "school", "before-term"), allow_local=False)


def test_the_task_says_all_that_the_worker_needs_and_no_secret() -> None:
    request = manifests.backup_job(
        context(maxSnapshotAge="30m"), AadaLmsSpec.model_validate(LMS_SPEC), 2, "monday", BundleOrder()
    )
    task = BackupTask.model_validate(request.task)
    assert (task.name, task.uid, task.namespace, task.lms, task.policy) == (
        "before-term", "u1", "school", "aada", "nightly",
    )  # fmt: skip
    assert (task.attempt, task.recipients, task.folder) == (2, [RECIPIENT], "school/aada/before-term")
    assert task.base == "monday"
    assert (task.database.host, task.database.name, task.revision_table) == ("db", "aada_lms", "public.alembic_version")
    assert (task.max_snapshot_age_seconds, request.deadline) == (1800, 2700)
    assert {mount.folder: mount.secret for mount in request.mounts} == {
        "database": "db-admin",
        "storage": "s3",
        "chunk-key": "aada-chunk-key",
    }


def test_a_verification_gets_the_identity_and_no_access_to_the_database() -> None:
    request = manifests.verify_job(context(), 3, encrypted=True)
    assert {mount.folder: mount.secret for mount in request.mounts} == {"storage": "s3", "identity": "identity"}
    assert VerifyTask.model_validate(request.task).folder == "school/aada/before-term"
    assert request.scratch == "10Gi"


@pytest.mark.parametrize("attempt", [1, 999])
def test_names_fit_into_a_label_for_the_longest_backup_name(attempt: int) -> None:
    name = "b" * 52
    assert len(manifests.verify_job_name(name, attempt)) <= 63
    assert len(manifests.backup_job_name(name, attempt)) <= 63


def test_a_policys_overlay_reaches_the_worker() -> None:
    overlay = {"spec": {"containers": [{"name": "worker", "env": [{"name": "A", "value": "1"}]}]}}
    request = manifests.verify_job(context(job={"podTemplate": overlay}), 1, encrypted=True)
    (container,) = build(request, WorkerImage("operator:1"))["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in container["env"]] == ["AADA_TASK", "A"]
    assert json.loads(container["env"][0]["value"]) == request.task


def test_the_location_outlives_the_policy_in_the_status() -> None:
    ca = {"bucket": "b-1", "prefix": "x/y", "credentialsSecretRef": {"name": "s3"}, "endpoint": "https://s3.example"}
    ca |= {"caSecretRef": {"name": "ca", "key": "ca.crt"}, "region": "eu-1"}
    spec = BackupPolicySpec.model_validate(POLICY_SPEC | {"storage": [{"name": "primary", "s3": ca}]})
    location = decide.location_of(spec, "school", "one")
    written = location.model_dump(by_alias=True, exclude_defaults=True)
    assert Location.model_validate(written) == location
    assert (location.prefix, location.ca_secret, location.ca_key) == ("x/y/school/aada/one", "ca", "ca.crt")
    assert location.s3(False).endpoint == "https://s3.example"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, {"stage": "", "bytes": 0, "totalBytes": 0, "tables": 0}),
        ({"stage": "dump", "bytes": 7, "totalBytes": 9, "tables": 1, "more": 1},
         {"stage": "dump", "bytes": 7, "totalBytes": 9, "tables": 1}),
        ({"stage": 5, "bytes": -1, "tables": "many"}, {"stage": "5", "bytes": 0, "totalBytes": 0, "tables": 0}),
    ],
)  # fmt: skip
def test_whatever_a_log_line_says_the_progress_fits_the_status(said: dict[str, object], shown: object) -> None:
    assert outcome.progress_fields(said) == shown


@pytest.mark.parametrize(("number", "text"), [("150018", "15.18"), ("180000", "18.0"), ("15.4", "15.4")])
def test_server_versions_read_as_people_write_them(number: str, text: str) -> None:
    assert outcome.version_text(number) == text


def test_a_backup_without_status_counts_as_pending() -> None:
    sample, failed = gauges(BODY)
    assert (failed.name, failed.value) == ("backup_failed_attempts", 0)
    assert (sample.name, sample.labels) == ("backups", {"policy": "nightly", "lms": "", "phase": "Pending"})


def test_the_metrics_of_a_completed_backup() -> None:
    status = {"phase": "Completed", "lms": "aada", "startTime": "2026-03-01T02:00:00Z", "sizeBytes": 9}
    status |= {"completionTime": "2026-03-01T02:01:30Z", "storedBytes": 3}
    found = {(s.name, s.labels.get("kind")): s.value for s in gauges(BODY | {"status": status})}
    assert found == {
        ("backups", None): 1.0,
        ("backup_failed_attempts", None): 0.0,
        ("backup_suspicious_size", None): 0.0,
        ("backup_duration_seconds", None): 90.0,
        ("backup_size_bytes", "database"): 9.0,
        ("backup_size_bytes", "stored"): 3.0,
    }


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ({"phase": "Pending"}, 0),
        ({"phase": "Running", "attempt": 1}, 0),
        ({"phase": "Pending", "attempt": 1, "nextAttempt": "2026-03-01T02:00:10Z"}, 1),
        ({"phase": "Uploading", "attempt": 3}, 2),
        ({"phase": "Failed", "attempt": 3}, 3),
    ],
)
def test_attempts_that_failed_are_counted_while_others_follow(status: Object, failed: float) -> None:
    (sample,) = [s for s in gauges(BODY | {"status": status}) if s.name == "backup_failed_attempts"]
    assert sample.value == failed
