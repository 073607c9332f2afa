"""Backups and what goes wrong around them: a clear condition, nothing lost, and it heals by itself."""

from __future__ import annotations

import secrets
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster import builders
from tests.cluster.backups.school import SLOW, WAIT, School, eventually, everything_said
from tests.cluster.release import Operator
from tests.cluster.workspace import LONG, condition
from tests.service.secrecy import forms
from tests.testbed.services import make_bucket

NIGHTLY = {"schedule": "0 2 * * *"}
# Attempts are ten seconds and more apart.
WRONG_PASSWORD, WRONG_SECRET_KEY = "canary-wrong-password", "canary-wrong-secret-key"
# A failed run is seen after so many seconds at the latest.
MINUTE = 60.0


def warnings(school: School, ref: str) -> set[str]:
    return {event["reason"] for event in school.workspace.events(ref) if event["type"] == "Warning"}


def failed_backups(school: School, operator: Operator, policy: str) -> float:
    """How many of a policy's backups failed, by the operator's metrics."""
    wanted = {"namespace": school.workspace.namespace, "policy": policy, "phase": "Failed"}
    families = text_string_to_metric_families(operator.metrics(operator.leader()))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "aada_operator_backups" and wanted.items() <= sample.labels.items()
    )


class TestBadInput:
    def test_a_schedule_that_is_none_is_named(self, school: School) -> None:
        ref = school.policy("cron", full={"schedule": "0 25 * * *"})
        assert "spec.full.schedule" in school.workspace.says(ref, "Stalled", "InvalidSpec")
        assert "InvalidSpec" in warnings(school, "BackupPolicy/cron")
        school.policy("cron", full=NIGHTLY)
        school.workspace.wait_condition(ref, "Ready")

    def test_a_backup_under_an_invalid_policy_says_so_and_runs_once_it_is_right(self, school: School) -> None:
        school.policy("zone", timeZone="Europe/Atlantis")
        ref = school.backup("zone", "zone")
        assert "spec.timeZone" in school.workspace.says(ref, "Ready", "BackupPolicyInvalid")
        school.policy("zone", timeZone="Europe/Berlin")
        school.completed(ref)

    def test_an_encryption_without_recipients_is_refused(self, school: School) -> None:
        policy = builders.backup_policy("keyless")
        policy["spec"]["encryption"] = {"mode": "Age"}
        with pytest.raises(subprocess.CalledProcessError):
            school.workspace.apply(policy)

    def test_an_lms_that_does_not_exist_is_named(self, school: School) -> None:
        ref = school.policy("orphan", immediate=True, full=NIGHTLY, lmsRef={"name": "nobody"})
        assert "nobody" in school.workspace.says(ref, "Ready", "LmsNotFound")

    def test_a_pod_template_that_the_server_refuses_fails_the_backup_and_not_the_next(
        self, school: School, operator: Operator
    ) -> None:
        policy = school.policy("template", job={"podTemplate": {"spec": {"restartPolicy": "Sometimes"}}})
        ref = school.backup("template", "template")
        assert "restartPolicy" in school.workspace.says(ref, "Failed", "Refused")
        assert "Backup template failed" in school.workspace.says(policy, "Ready", "LastBackupFailed", MINUTE)
        assert "Refused" in warnings(school, "Backup/template")
        assert "LastBackupFailed" in warnings(school, "BackupPolicy/template")
        eventually(lambda: failed_backups(school, operator, "template") == 1, "the metric", MINUTE)
        school.policy("template")
        school.completed(school.backup("template-2", "template"))
        school.workspace.wait_condition(policy, "Ready")


class TestStorage:
    def test_a_missing_bucket_is_named_and_heals_once_it_is_made(self, school: School) -> None:
        bucket = f"later-{secrets.token_hex(3)}"
        policy = school.policy("bucket", immediate=True, full=NIGHTLY, bucket=bucket)
        assert bucket in school.workspace.says(policy, "StorageReachable", "BucketNotFound")
        by_hand = school.backup("bucket", "bucket")
        school.workspace.says(by_hand, "Ready", "BucketNotFound")
        make_bucket(school.workspace.cluster, school.s3.server, bucket)
        school.completed(by_hand)
        found = school.workspace.wait_condition(policy, "Ready", timeout=WAIT)
        assert condition(found, "StorageReachable")["status"] == "True"
        eventually(lambda: len(school.workspace.items("lmsb", "lms.aada.edu/policy=bucket")) == 1, "the first backup")

    def test_wrong_credentials_are_told_from_a_dead_server_and_heal(self, school: School) -> None:
        right = school.s3.server.credentials
        wrong = {**right, "AWS_SECRET_ACCESS_KEY": WRONG_SECRET_KEY}
        school.workspace.secret("s3-wrong", **wrong)
        s3 = {"credentialsSecretRef": {"name": "s3-wrong"}}
        policy = school.policy("wrong", storage=[{"name": "primary", "s3": s3}])
        assert "Secret" in school.workspace.says(policy, "StorageReachable", "StorageAccessDenied")
        ref = school.backup("wrong", "wrong")
        school.workspace.says(ref, "Ready", "StorageAccessDenied")
        assert school.workspace.items("jobs", "lms.aada.edu/policy=wrong") == [], "no pod is started for nothing"
        school.workspace.secret("s3-wrong", **right)
        school.completed(ref)

    def test_a_missing_secret_is_named_and_heals(self, school: School) -> None:
        s3 = {"credentialsSecretRef": {"name": "s3-later"}}
        policy = school.policy("nosecret", storage=[{"name": "primary", "s3": s3}])
        assert "s3-later" in school.workspace.says(policy, "StorageReachable", "SecretMissing")
        ref = school.backup("nosecret", "nosecret")
        school.workspace.says(ref, "Ready", "SecretMissing")
        school.workspace.secret("s3-later", **school.s3.server.credentials)
        school.completed(ref)

    def test_an_unknown_host_is_named(self, school: School) -> None:
        policy = school.policy("nohost", endpoint="http://no-such-host:7070")
        assert "no-such-host" in school.workspace.says(policy, "StorageReachable", "StorageUnreachable")

    def test_an_endpoint_on_the_operators_own_address_is_refused(self, school: School) -> None:
        policy = school.policy("loopback", endpoint="http://127.0.0.1:8080")
        assert "loopback" in school.workspace.says(policy, "StorageReachable", "StorageAccessDenied")

    def test_a_server_that_goes_during_a_backup_and_comes_back(self, fragile_school: School) -> None:
        school = fragile_school
        school.policy("outage", job=SLOW)
        ref = school.backup("outage", "outage")
        school.running(ref)
        school.s3.stop()
        school.policy("outage")
        found = school.workspace.wait_for(ref, lambda body: "nextAttempt" in body["status"], LONG)
        assert condition(found, "Completed")["reason"] == "StorageUnreachable"
        school.s3.start()
        body = school.completed(ref, LONG)
        assert body["status"]["attempt"] >= 2
        folder = body["status"]["location"]["prefix"]
        assert sum(key.endswith("manifest.json") for key in school.s3.keys(folder)) == 1

    def test_dead_servers_of_others_hold_up_nobody(self, school: School) -> None:
        for number in range(25):
            endpoint = f"http://no-such-host-{number}:7070"
            school.policy(f"dead-{number}", endpoint=endpoint, immediate=True, full=NIGHTLY)
        school.policy("alive")
        school.completed(school.backup("alive", "alive"), timeout=60)
        for number in range(25):
            school.workspace.delete(f"bp/dead-{number}", wait=False)


class TestDatabase:
    def test_a_server_that_stops_during_the_dump_and_comes_back(self, fragile_school: School) -> None:
        school = fragile_school
        school.policy("crash", job=SLOW)
        ref = school.backup("crash", "crash")
        school.running(ref)
        school.database.stop()
        school.policy("crash")
        found = school.workspace.wait_for(ref, lambda body: "nextAttempt" in body["status"], LONG)
        assert condition(found, "Completed")["reason"] == "DatabaseUnreachable"
        school.database.start()
        assert school.completed(ref, LONG)["status"]["attempt"] >= 2

    def test_a_wrong_password_is_told_and_heals(self, school: School) -> None:
        school.workspace.secret("admin-wrong", username="postgres", password=WRONG_PASSWORD)
        lms = builders.aada_lms("wrongpw", host=school.database.host)
        lms["spec"]["database"]["adminSecretRef"]["name"] = "admin-wrong"
        school.workspace.apply(lms)
        school.policy("wrongpw", lmsRef={"name": "wrongpw"})
        ref = school.backup("wrongpw", "wrongpw")
        assert "Secret" in school.workspace.says(ref, "Completed", "DatabaseAuthenticationFailed")
        school.workspace.secret("admin-wrong", **school.database.server.credentials)
        school.completed(ref, LONG)
        school.workspace.delete("lms/wrongpw", wait=False)


class TestOperatorAndWorker:
    def test_an_operator_killed_during_a_backup_goes_on_with_the_same_job(
        self, school: School, operator: Operator
    ) -> None:
        school.policy("killed", job=SLOW)
        ref = school.backup("killed", "killed")
        school.running(ref)
        operator.kill()
        body = school.completed(ref, LONG)
        assert body["status"]["attempt"] == 1
        assert school.jobs_made("killed") == ["killed-1"]
        operator.rolled_out()

    def test_a_worker_killed_during_a_backup_is_followed_by_another(self, school: School) -> None:
        school.policy("lost", job=SLOW)
        ref = school.backup("lost", "lost")
        school.running(ref)
        school.policy("lost")
        (pod,) = school.workspace.items("pods", "batch.kubernetes.io/job-name=lost-1")
        school.workspace.kubectl("delete", f"pod/{pod['metadata']['name']}", "--grace-period=0", "--force")
        body = school.completed(ref, LONG)
        assert school.jobs_made("lost") == [f"lost-{n}" for n in range(1, body["status"]["attempt"] + 1)]
        assert [job["metadata"]["name"] for job in school.workspace.items("jobs", "lms.aada.edu/policy=lost")] == [
            f"lost-{body['status']['attempt']}"
        ], "the last attempt's Job alone is kept"

    def test_a_job_that_somebody_deletes_is_followed_by_another(self, school: School) -> None:
        school.policy("nojob", job=SLOW)
        ref = school.backup("nojob", "nojob")
        school.running(ref)
        school.policy("nojob")
        school.workspace.delete("job/nojob-1")
        school.completed(ref, LONG)
        assert school.jobs_made("nojob") == ["nojob-1", "nojob-2"]

    def test_a_policy_deleted_during_a_backup_lets_it_end(self, school: School) -> None:
        policy = school.policy("gone", job=SLOW)
        ref = school.backup("gone", "gone")
        school.running(ref)
        school.workspace.delete(policy)
        school.completed(ref, LONG)

    def test_one_deleted_while_it_runs_leaves_no_backup_and_the_next_has_its_turn(self, school: School) -> None:
        school.policy("aborted", job=SLOW)
        ref = school.backup("aborted", "aborted")
        school.running(ref)
        school.policy("aborted")
        folder = (school.workspace.get(ref) or {})["status"]["location"]["prefix"]
        school.workspace.delete(ref)
        school.workspace.kubectl(
            "wait", "--for=delete", "pods", "--selector=batch.kubernetes.io/job-name=aborted-1", "--timeout=90s"
        )
        assert not any(key.endswith("manifest.json") for key in school.s3.keys(folder))
        school.completed(school.backup("aborted", "aborted"), LONG)

    def test_a_restart_of_the_api_server_disturbs_no_backup(self, school: School) -> None:
        school.policy("apiless", job=SLOW)
        ref = school.backup("apiless", "apiless")
        school.running(ref)
        school.workspace.cluster.restart_apiserver()
        assert school.completed(ref, LONG)["status"]["attempt"] == 1
        assert school.jobs_made("apiless") == ["apiless-1"]

    def test_a_migration_waits_for_a_backup_and_says_so(self, school: School) -> None:
        school.policy("before", job=SLOW)
        ref = school.backup("before-the-release", "before")
        school.running(ref)
        school.workspace.kubectl("annotate", "--overwrite", "lms/aada", "lms.aada.edu/reset-at=during-a-backup")
        assert "Backup before-the-release" in school.workspace.says("lms/aada", "SchemaCurrent", "OperationInProgress")
        seen = school.workspace.get("lms/aada") or {}
        assert seen["status"]["operation"]["holder"] == "Backup/before-the-release"
        assert "Backup/before-the-release" in school.workspace.kubectl("get", "lease/aada-operations")
        end = school.completed(ref, LONG)["status"]["completionTime"]
        school.workspace.says("lms/aada", "SchemaCurrent", "AtRevision")
        jobs = school.workspace.items("jobs", "lms.aada.edu/owner=aadalms")
        assert max(job["status"]["startTime"] for job in jobs) >= end
        school.workspace.wait_for("lms/aada", lambda body: "operation" not in body["status"])

    def test_two_at_once_run_one_after_the_other(self, school: School) -> None:
        school.policy("one", job=SLOW)
        school.policy("two")
        first = school.backup("first", "one")
        school.running(first)
        second = school.backup("second", "two")
        waiting = school.workspace.wait_phase(second, "Queued")
        assert "first" in condition(waiting, "Completed")["message"]
        end = school.completed(first, LONG)["status"]["completionTime"]
        assert school.completed(second, LONG)["status"]["startTime"] >= end


def test_no_secret_is_in_any_object_event_log_metric_or_key(school: School, operator: Operator) -> None:
    hidden = {
        "password of the database": school.database.server.credentials["password"],
        "secret key of the storage": school.s3.server.credentials["AWS_SECRET_ACCESS_KEY"],
        "identity": school.identity,
        "wrong password": WRONG_PASSWORD,
        "wrong secret key": WRONG_SECRET_KEY,
    }
    places = [*everything_said(school.workspace, operator), ("keys in the bucket", "\n".join(school.s3.keys()))]
    assert len(places) > 10
    assert [(what, where) for what, value in hidden.items() for where, text in places
            if any(form in text for form in forms(value))] == []  # fmt: skip
