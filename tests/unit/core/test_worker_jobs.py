"""Worker Jobs: what is created, and what their pods' words and silences mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from aada_operator.api.common import API_VERSION, LocalRef, SecretKeyRef
from aada_operator.api.lms import Database
from aada_operator.api.location import Location
from aada_operator.core.worker_jobs import JobRequest, JobState, SecretMount, WorkerImage, build, state
from aada_operator.core.worker_mounts import database_mounts, identity_mounts, storage_mounts

GOLDEN = Path(__file__).parent / "golden" / "worker_job.yaml"
OWNER = {
    "apiVersion": API_VERSION,
    "kind": "Backup",
    "metadata": {"name": "nightly", "namespace": "school", "uid": "u-1", "labels": {"argocd": "tracks-me"}},
}
REQUEST = JobRequest(
    name="nightly-1",
    owner=OWNER,
    command="backup",
    task={"name": "nightly", "attempt": 1},
    mounts=(SecretMount("database", "db-admin", {"username": "username"}), SecretMount("extra", "whole")),
    deadline=3600,
    labels={"lms.aada.edu/lms": "aada"},
    resources={"limits": {"memory": "256Mi"}},
    scratch="2Gi",
)
IMAGE = WorkerImage("operator:1", "Never")


def test_the_job_is_the_one_on_file() -> None:
    assert build(REQUEST, IMAGE) == yaml.safe_load(GOLDEN.read_text())


def pod_of(request: JobRequest) -> Any:
    return build(request, IMAGE)["spec"]["template"]["spec"]


def test_a_job_passes_pod_security_restricted_and_has_no_token() -> None:
    pod = pod_of(REQUEST)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_job_is_one_attempt_and_dies_with_its_owner() -> None:
    job = build(REQUEST, IMAGE)
    assert job["spec"]["backoffLimit"] == 0
    assert pod_of(REQUEST)["restartPolicy"] == "Never"
    assert [reference["uid"] for reference in job["metadata"]["ownerReferences"]] == ["u-1"]


def test_labels_of_the_owner_do_not_spread_to_its_children() -> None:
    job = build(REQUEST, IMAGE)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels == {"lms.aada.edu/owner": "backup", "lms.aada.edu/lms": "aada"}


def test_secrets_are_files_and_never_variables_or_arguments() -> None:
    (container,) = pod_of(REQUEST)["containers"]
    assert [entry["name"] for entry in container["env"]] == ["AADA_TASK"]
    assert json.loads(container["env"][0]["value"]) == REQUEST.task
    assert container["args"] == ["worker", "backup"]
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["mountPath"].startswith("/run/"))


def test_a_job_without_scratch_has_none() -> None:
    assert {volume["name"] for volume in pod_of(replace(REQUEST, scratch=None))["volumes"]} == {
        "tmp",
        "database",
        "extra",
    }


def test_the_users_template_has_the_last_word() -> None:
    overlay = {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {"containers": [{"name": "worker", "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}]},
    }
    job = build(replace(REQUEST, pod_template=overlay), IMAGE)
    template = job["spec"]["template"]
    assert template["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    (container,) = template["spec"]["containers"]
    assert [entry["name"] for entry in container["env"]] == ["AADA_TASK", "HTTPS_PROXY"]
    assert container["image"] == "operator:1"


DATABASE = Database(host="db", admin_secret_ref=LocalRef(name="db-admin"))
BUCKET = Location(bucket="backups", prefix="p", credentials_secret="s3")


def test_mounts_are_where_the_worker_looks() -> None:
    assert database_mounts(DATABASE) == (
        SecretMount("database", "db-admin", {"username": "username", "password": "password"}),
    )
    with_ca = DATABASE.model_copy(update={"ca_secret_ref": SecretKeyRef(name="pki", key="root.pem")})
    assert database_mounts(with_ca)[1] == SecretMount("database-ca", "pki", {"root.pem": "ca.crt"})
    (credentials,) = storage_mounts(BUCKET)
    assert (credentials.folder, set(credentials.items)) == ("storage", {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})
    with_ca_too = BUCKET.model_copy(update={"ca_secret": "pki", "ca_key": "root.pem"})
    assert storage_mounts(with_ca_too)[1] == SecretMount("storage-ca", "pki", {"root.pem": "ca.crt"})
    assert identity_mounts(None) == ()
    assert identity_mounts(SecretKeyRef(name="age", key="verify")) == (
        SecretMount("identity", "age", {"verify": "identity"}),
    )


def job(**conditions: str) -> dict[str, Any]:
    """A Job whose conditions of these types are True, with these reasons."""
    found = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions.items()]
    return {"metadata": {"name": "nightly-1"}, "status": {"conditions": found}}


def pod(
    container: dict[str, Any] | None = None, created: str = "2026-03-10T12:00:00Z", **status: Any
) -> dict[str, Any]:
    statuses = [{"name": "worker", "state": container}] if container is not None else []
    return {
        "metadata": {"name": f"pod-of-{created}", "creationTimestamp": created},
        "status": {"containerStatuses": statuses} | status,
    }


def said(outcome: Any) -> dict[str, Any]:
    return {"terminated": {"message": outcome if isinstance(outcome, str) else json.dumps(outcome)}}


REFUSED = {"ok": False, "reason": "WrongKey", "message": "another key", "retryable": False}
UNSCHEDULABLE: dict[str, Any] = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
STATES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], JobState]] = {
    "just created": ({"metadata": {}}, [], JobState("Running")),
    "running": (job(), [pod({"running": {}})], JobState("Running")),
    "pulling": (job(), [pod({"waiting": {"reason": "ContainerCreating"}})], JobState("Running")),
    "image missing": (
        job(),
        [pod({"waiting": {"reason": "ErrImagePull", "message": "secret registry text"}})],
        JobState("Running", reason="ErrImagePull", message="the worker pod does not start: ErrImagePull"),
    ),
    "secret key missing": (
        job(),
        [pod({"waiting": {"reason": "CreateContainerConfigError"}})],
        JobState(
            "Running",
            reason="CreateContainerConfigError",
            message="the worker pod does not start: CreateContainerConfigError",
        ),
    ),
    "no node": (
        job(),
        [pod(**UNSCHEDULABLE)],
        JobState("Running", reason="Unschedulable", message="no node can take the worker pod"),
    ),
    "ended, not counted yet": (job(), [pod(said({"ok": True, "result": {}}))], JobState("Running")),
    "succeeded": (
        job(Complete=""),
        [pod(said({"ok": True, "result": {"rows": 3}}))],
        JobState("Succeeded", result={"rows": 3}),
    ),
    "succeeded without a result": (job(Complete=""), [pod(said({"ok": True, "result": None}))], JobState("Succeeded")),
    "refused for good": (
        job(Failed="BackoffLimitExceeded"),
        [pod(said(REFUSED))],
        JobState("Failed", reason="WrongKey", message="another key", retryable=False),
    ),
    "failed for now": (
        job(Failed="BackoffLimitExceeded"),
        [pod(said({"ok": False, "reason": "StorageUnreachable", "message": "s3", "retryable": True}))],
        JobState("Failed", reason="StorageUnreachable", message="s3"),
    ),
    "too slow": (
        job(Failed="DeadlineExceeded"),
        [],
        JobState("Failed", reason="DeadlineExceeded", message="the Job ran longer than it may"),
    ),
}
LOST = JobState(
    "Failed", reason="WorkerLost", message="the worker ended without a word: killed, evicted or out of memory"
)
SILENCES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "killed": (job(Failed="BackoffLimitExceeded"), [pod({"terminated": {"exitCode": 137}})]),
    "evicted": (job(Failed="BackoffLimitExceeded"), [pod(reason="Evicted", phase="Failed")]),
    "pod deleted": (job(Failed="BackoffLimitExceeded"), []),
    "garbage": (job(Failed="BackoffLimitExceeded"), [pod(said("Traceback (most recent call"))]),
    "garbage that is JSON": (job(Failed="BackoffLimitExceeded"), [pod(said(["ok"]))]),
    "success without a word": (job(Complete=""), [pod({"terminated": {"exitCode": 0}})]),
    "success whose pod is gone": (job(Complete=""), []),
    "said ok, counted as failed": (job(Failed="PodFailurePolicy"), [pod(said({"ok": True, "result": {}}))]),
}


@pytest.mark.parametrize(("body", "pods", "expected"), STATES.values(), ids=STATES)
def test_what_a_job_says(body: dict[str, Any], pods: list[dict[str, Any]], expected: JobState) -> None:
    found = state(body, pods)
    assert replace(found, pod="") == expected
    assert found.pod == (pods[0]["metadata"]["name"] if pods else "")


@pytest.mark.parametrize(("body", "pods"), SILENCES.values(), ids=SILENCES)
def test_a_worker_without_a_word_is_lost_and_may_be_tried_again(
    body: dict[str, Any], pods: list[dict[str, Any]]
) -> None:
    assert replace(state(body, pods), pod="") == LOST


def test_a_sidecars_word_is_not_the_workers() -> None:
    noisy = pod()
    noisy["status"]["containerStatuses"] = [
        {"name": "istio-proxy", "state": said({"ok": True, "result": {"rows": 0}})},
        {"name": "worker", "state": said(REFUSED)},
    ]
    assert state(job(Failed=""), [noisy]).reason == "WrongKey"


def test_the_newest_pod_counts() -> None:
    old = pod(said({"ok": True, "result": {"rows": 1}}), created="2026-03-10T11:00:00Z")
    new = pod(said({"ok": True, "result": {"rows": 2}}), created="2026-03-10T12:00:00Z")
    assert state(job(Complete=""), [new, old]).result == {"rows": 2}


def test_a_condition_that_is_false_does_not_count() -> None:
    body = {"metadata": {}, "status": {"conditions": [{"type": "Failed", "status": "False"}]}}
    assert state(body, []).phase == "Running"
