"""Users' files are copied by interval and after each backup, and a policy says how that stands."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, Object
from aada_operator.policies import uploads
from aada_operator.policies.gauges import gauges
from tests.unit.backups.api_server import Crash
from tests.unit.backups.school import POLICY_SPEC, School, completed, failure

NAME = "nightly"
UPLOADS: Object = {"s3": {"bucket": "files", "credentialsSecretRef": {"name": "s3-files"}}}
RESULT: Object = {
    "checkpoint": "2026-03-01T01:30:09Z",
    "files": 7,
    "bytes": 700,
    "transferredFiles": 2,
    "transferredBytes": 200,
    "versioned": True,
}


@pytest.fixture
def uploading(school: School) -> School:
    """A policy that copies users' files, and backs up by hand only."""
    school.api.secret("s3-files", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    school.api.read(AADA_LMS, "aada")["spec"]["storage"] = {"uploads": {"claimName": "files", "mountPath": "/files"}}
    school.policy(full=None, uploads=UPLOADS)
    return school


def visit(school: School, **later: float) -> float:
    school.clock.advance(**later)
    delay = school.visit(BACKUP_POLICIES, NAME)
    assert delay is not None
    return delay


def end(school: School, number: int, **result: Any) -> None:
    school.api.end_job(job(number), {"ok": True, "result": RESULT | result})


def job(number: int) -> str:
    return f"{NAME}-uploads-{number}"


def condition(school: School, kind: str) -> tuple[str, str]:
    return school.condition(BACKUP_POLICIES, NAME, kind)


def known(school: School) -> Object:
    return dict(school.status(BACKUP_POLICIES, NAME)["uploads"])


def backed_up(school: School, name: str, **status: Any) -> None:
    """A completed Backup of now that says where it is."""
    location = {"bucket": "backups", "prefix": f"school/aada/{name}"}
    school.backup(name)
    school.api.read(BACKUPS, name)["status"] = completed(school, name) | {"location": location} | status


class TestWhen:
    def test_at_once_and_then_by_the_interval(self, uploading: School) -> None:
        visit(uploading)
        assert uploading.api.names(JOBS) == [job(1)]
        end(uploading, 1)
        assert visit(uploading, seconds=30) <= 270
        assert condition(uploading, "UploadsSynced") == ("True", "Synced")
        assert (known(uploading)["files"], known(uploading)["lastSync"]) == (7, "2026-03-01T01:30:00Z")
        visit(uploading, minutes=4)
        assert uploading.api.names(JOBS) == [job(1)]
        visit(uploading, minutes=1)
        assert uploading.api.names(JOBS) == [job(2)]

    def test_one_at_a_time(self, uploading: School) -> None:
        visit(uploading)
        visit(uploading, hours=5)
        assert uploading.api.names(JOBS) == [job(1)]

    def test_soon_after_a_backup_which_it_gives_a_checkpoint(self, uploading: School) -> None:
        visit(uploading)
        end(uploading, 1)
        visit(uploading, seconds=30)
        backed_up(uploading, "monday")
        visit(uploading, seconds=1)
        assert uploading.api.task(job(2))["backups"] == ["school/aada/monday"]
        end(uploading, 2, backups=["monday"])
        visit(uploading, seconds=20)
        assert known(uploading)["backups"] == ["monday"]
        visit(uploading, seconds=60)
        assert uploading.api.names(JOBS) == [job(2)]

    @pytest.mark.parametrize(
        "status",
        [
            {"phase": "Running"},
            {"phase": "Failed"},
            {"location": {"bucket": "another", "prefix": "school/aada/monday"}},
            {"uploads": {"checkpoint": "2026-03-01T01:30:09Z", "bucket": "files", "prefix": "p", "files": 1, "bytes": 1,
                         "listKey": "k", "listSha256": "h"}},
        ],
        ids=["one that runs", "one that failed", "one in another bucket", "one that has it"],
    )  # fmt: skip
    def test_no_checkpoint_is_asked_for(self, uploading: School, status: Object) -> None:
        backed_up(uploading, "monday", **status)
        visit(uploading)
        assert uploading.api.task(job(1))["backups"] == []

    def test_the_operator_killed_at_any_write_starts_each_sync_once(self, uploading: School) -> None:
        for place in range(8):
            uploading.api.crash_after = len(uploading.api.writes) + place
            try:
                visit(uploading)
            except Crash:
                uploading.restart_operator()
            uploading.api.crash_after = None
        visit(uploading)
        assert uploading.api.names(JOBS) == [job(1)]
        assert known(uploading)["number"] == 1

    def test_not_while_suspended_and_not_without_being_declared(self, uploading: School) -> None:
        spec = uploading.api.read(BACKUP_POLICIES, NAME)["spec"]
        spec["suspend"] = True
        visit(uploading)
        assert condition(uploading, "UploadsSynced") == ("Unknown", "Suspended")
        del spec["suspend"], spec["uploads"]
        visit(uploading)
        kinds = {c["type"] for c in uploading.status(BACKUP_POLICIES, NAME)["conditions"]}
        assert not {kind for kind in kinds if kind.startswith("Uploads")}
        assert uploading.api.names(JOBS) == []
        assert "users' files in claim files are not copied" in uploading.message(BACKUP_POLICIES, NAME, "Ready")


class TestJob:
    def test_it_reads_the_claim_as_the_applications_user_beside_its_pods(self, uploading: School) -> None:
        (component,) = uploading.api.read(AADA_LMS, "aada")["spec"]["components"]
        component["podTemplate"] = {"spec": {"securityContext": {"runAsUser": 1234, "fsGroup": 5678}}}
        visit(uploading)
        pod = uploading.api.read(JOBS, job(1))["spec"]["template"]["spec"]
        assert {"name": "uploads", "persistentVolumeClaim": {"claimName": "files", "readOnly": True}} in pod["volumes"]
        (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "uploads"]
        assert mount == {"name": "uploads", "mountPath": "/uploads", "readOnly": True}
        security = pod["securityContext"]
        assert (security["runAsUser"], security["fsGroup"], security["supplementalGroups"]) == (1234, 10001, [5678])
        (term,) = pod["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert term["podAffinityTerm"]["labelSelector"]["matchLabels"]["lms.aada.edu/lms"] == "aada"

    def test_it_has_the_secrets_of_both_buckets_and_keeps_out_of_the_backups_folder(self, uploading: School) -> None:
        visit(uploading)
        pod = uploading.api.read(JOBS, job(1))["spec"]["template"]["spec"]
        secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
        assert secrets == {"storage": "s3", "uploads-storage": "s3-files"}
        assert uploading.api.task(job(1))["folder"] == "_uploads/school/aada"


class TestTrouble:
    def test_no_claim(self, uploading: School) -> None:
        del uploading.api.read(AADA_LMS, "aada")["spec"]["storage"]
        visit(uploading)
        assert condition(uploading, "UploadsSynced") == ("False", "NoClaim")
        assert condition(uploading, "Ready") == ("False", "UploadsNotSynced")
        assert uploading.api.names(JOBS) == []

    def test_a_missing_secret_is_named_and_waited_for(self, uploading: School) -> None:
        uploading.api.read(BACKUP_POLICIES, NAME)["spec"]["uploads"]["s3"]["credentialsSecretRef"]["name"] = "absent"
        visit(uploading)
        assert condition(uploading, "UploadsSynced") == ("False", "SecretMissing")
        uploading.api.secret("absent", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
        visit(uploading, minutes=5)
        assert uploading.api.names(JOBS) == [job(1)]

    def test_a_failed_sync_is_told_once_the_copies_are_behind(self, uploading: School) -> None:
        visit(uploading)
        end(uploading, 1)
        visit(uploading)
        for number in (2, 3, 4, 5):
            visit(uploading, minutes=5)
            uploading.api.end_job(job(number), failure("StorageUnreachable"))
            visit(uploading)
            late = number > 4
            assert condition(uploading, "UploadsSynced")[0] == ("False" if late else "True")
        assert condition(uploading, "UploadsSynced") == ("False", "StorageUnreachable")
        assert (known(uploading)["failures"], known(uploading)["files"]) == (4, 7)
        visit(uploading, minutes=5)
        end(uploading, 6)
        visit(uploading)
        assert condition(uploading, "UploadsSynced") == ("True", "Synced")

    def test_another_claim_ends_the_job_that_reads_the_old_one(self, uploading: School) -> None:
        visit(uploading)
        uploading.api.read(AADA_LMS, "aada")["spec"]["storage"]["uploads"]["claimName"] = "others"
        visit(uploading, minutes=5)
        visit(uploading, minutes=5)
        assert uploading.api.names(JOBS) == [job(2)]
        assert known(uploading)["claim"] == "others"

    def test_backups_go_on_while_their_bucket_cannot_take_checkpoints(self, uploading: School) -> None:
        backed_up(uploading, "monday")
        uploading.bucket.trouble = Waiting("StorageUnreachable", "away")
        visit(uploading)
        assert uploading.api.task(job(1))["backups"] == []

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            ({}, ("True", "Enabled")),
            ({"versioned": False}, ("False", "NotVersioned")),
            ({"versioned": None}, ("Unknown", "NotTold")),
            ({"deletes": "thin-out"}, ("False", "LifecycleDeletes")),
        ],
    )
    def test_a_bucket_that_keeps_no_versions(self, uploading: School, result: Object, expected: Any) -> None:
        visit(uploading)
        end(uploading, 1, **result)
        visit(uploading)
        assert condition(uploading, "UploadsVersioned") == expected
        assert condition(uploading, "Ready")[0] == ("False" if expected[0] == "False" else "True")

    def test_the_command_that_turns_versioning_on(self) -> None:
        spec = BackupPolicySpec.model_validate(POLICY_SPEC | {"uploads": UPLOADS})
        _, _, message = uploads.versioned(spec, {"lastSync": "2026-03-01T01:30:00Z", "versioned": False})
        assert "aws s3api put-bucket-versioning --bucket files --versioning-configuration Status=Enabled" in message

    def test_files_that_are_left_out_are_told(self, uploading: School) -> None:
        visit(uploading)
        end(uploading, 1, unsettled=1, skipped=2)
        visit(uploading)
        message = uploading.message(BACKUP_POLICIES, NAME, "UploadsSynced")
        assert "1 that were being written follow; 2 links or devices are left out" in message


def test_metrics(uploading: School) -> None:
    visit(uploading)
    end(uploading, 1, unsettled=3)
    visit(uploading)
    values = {s.name: s.value for s in gauges(uploading.api.read(BACKUP_POLICIES, NAME), uploading.clock)}
    assert to_rfc3339(uploading.clock.now()) == "2026-03-01T01:30:00Z"
    assert values["uploads_last_sync_timestamp_seconds"] == uploading.clock.now().timestamp()
    assert (values["uploads_files"], values["uploads_bytes"], values["uploads_unsettled_files"]) == (7, 700, 3)
    assert values["uploads_interval_seconds"] == 300
