"""The application's login rotated on the real cluster, under load: no login fails, and the old one is dead."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import pytest

from tests.bench import rotation_kills as kills
from tests.bench import rotations as show
from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.rotations import logins, runs
from tests.cluster.rotations.school import (
    CONSUMERS,
    DATABASE,
    JWT,
    MAIL,
    MAIL_KEY,
    MAIL_LENGTH,
    REF,
    ROTATION,
    SECRET,
    School,
    newest,
)
from tests.cluster.workspace import LONG, Object, condition
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.versions import SAMPLE_LMS_RELEASES

# Requests a second: half of the show's, beside all else that the machine does.
RATE = 10.0
SIGNED_IN = r"""
INSERT INTO users (email_encrypted, password_hash, full_name, role, profile, created_at)
VALUES ('\x00', '', 'Ada', 'student', '{}', now());
INSERT INTO refresh_tokens (id, user_id, token_sha256, issued_at, expires_at)
SELECT gen_random_uuid(), (SELECT min(id) FROM users), sha256(g::text::bytea), now(), now() + '1 day'
FROM generate_series(1, 3) AS g;
"""
REVOKE = "UPDATE refresh_tokens SET revoked_at = now() WHERE revoked_at IS NULL"
NOT_REVOKED = "SELECT count(*) FROM refresh_tokens WHERE revoked_at IS NULL"
NEW_VERSION = SAMPLE_LMS_RELEASES[1]


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """A school of its own, whose login these tests rotate."""
    opened = School.open(cluster, f"rotation-{secrets.token_hex(3)}", every=0.1)
    opened.declare()
    yield opened
    cluster.kubectl("delete", "namespace", opened.workspace.namespace, "--wait=false")


def test_two_rotations_under_load_fail_no_login_and_no_request(school: School) -> None:
    shown = show.rotations([school], 2, RATE)
    assert shown["logins"] >= 500
    assert shown["requests"] >= 100
    assert (shown["rotations"], shown["failed_logins"], shown["failed_requests"]) == (2, 0, 0)
    status = (school.workspace.get(REF) or {})["status"]
    assert [past["result"] for past in status["history"]] == ["Rotated", "Rotated"]
    assert (status["proof"]["sqlState"], status["proof"]["login"]) == ("28P01", f"{DATABASE}_b")
    assert school.open_logins() == [f"{DATABASE}_a"]
    assert school.secrets() == []
    school.workspace.wait_condition("lms/aada", "Ready")


def test_it_is_seen_with_kubectl(school: School) -> None:
    header, row = school.workspace.kubectl("get", "rot").splitlines()
    assert header.split() == ["NAME", "LMS", "TYPE", "STRATEGY", "STEP", "REV", "LAST", "NEXT", "PROVEN", "AGE"]
    assert "28P01" in row


@pytest.mark.parametrize("step", ["Canary", "Converge"])
def test_the_operator_killed_in_the_middle_goes_on(school: School, operator: Operator, step: str) -> None:
    revision = school.next_revision()
    school.ask_until(step)
    operator.kill()
    school.rotated(revision)
    assert len(school.open_logins()) == 1
    assert school.secrets() == []
    assert school.use().failed == {}
    operator.rolled_out()


def test_the_signing_key_is_replaced_and_nobody_is_logged_out(school: School) -> None:
    shown = show.tokens(school, RATE)
    assert shown["jwt_requests"] >= 200
    assert (shown["jwt_401"], shown["jwt_failed"]) == (0, 0)
    assert shown["jwt_old_refused"], "the old key is forgotten"
    assert shown["jwt_new_accepted"]


def test_another_key_is_kept_when_a_command_in_a_pod_is_content_with_it(school: School) -> None:
    before = school.mail_key()
    code = f"import os; raise SystemExit(len(os.environ['{MAIL_KEY}']) != {MAIL_LENGTH})"
    school.declare_mail(["python3", "-c", code])
    school.ask(MAIL)
    school.rotated(1, ref=MAIL)
    assert len(school.mail_key()) == MAIL_LENGTH
    assert school.mail_key() != before
    school.workspace.wait_gone("pod/mail-verify")


def test_another_key_that_the_command_is_not_content_with_goes_and_the_old_one_is_back(school: School) -> None:
    before = school.mail_key()
    school.declare_mail(["python3", "-c", "raise SystemExit(3)"])
    school.ask(MAIL)
    school.workspace.wait_for(MAIL, lambda body: body["status"]["history"][0]["result"] == "RolledBack", LONG)
    body = school.workspace.wait_for(MAIL, lambda body: body["status"]["phase"] == "Idle", LONG)
    newest = body["status"]["history"][0]
    assert newest["reason"] == "VerificationFailed"
    assert "exit code 3" in newest["message"]
    assert school.mail_key() == before
    school.workspace.wait_gone("pod/mail-verify")


def test_without_a_restart_a_value_is_published_and_every_pod_stays(school: School) -> None:
    before, pods = school.mail_key(), school.pods()
    digest = hashlib.sha256(before.encode()).hexdigest()
    held = f"hashlib.sha256(os.environ['{MAIL_KEY}'].encode()).hexdigest()"
    code = f"import hashlib, os; raise SystemExit({held} == '{digest}')"
    school.declare_mail(["python3", "-c", code], restart=False)
    revision = school.next_revision(MAIL)
    school.ask(MAIL)
    body = school.rotated(revision, ref=MAIL)
    assert "an environment keeps the old one until its pod restarts" in condition(body, "Ready")["message"]
    assert school.mail_key() != before
    school.workspace.wait_gone("pod/mail-verify")
    school.workspace.patch("lms/aada", schema={"lockTimeout": "4s"})  # the AadaLms looks at everything once more
    school.workspace.wait_condition("lms/aada", "Ready")
    assert school.pods() == pods


def test_a_run_of_a_cron_job_keeps_its_login_until_it_ends_and_the_next_one_has_the_new_one(school: School) -> None:
    workspace, failed = school.workspace, school.use().failed
    runs.install(workspace, f"{SAMPLE_LMS}:{builders.VERSION}", SECRET)
    runs.begin(workspace, "before")
    old = runs.log_in(workspace, "before")
    school.declare(consumers=[*CONSUMERS, runs.CONSUMER], longestConsumerPeriod="1s")
    revision = school.next_revision()
    words = "until these pods of Jobs have ended: before-"
    workspace.wait_for(REF, lambda body: words in condition(body, "Ready").get("message", ""), LONG, then=school.ask)
    assert runs.log_in(workspace, "before") == old
    runs.end(workspace, "before")
    school.rotated(revision)
    assert old not in school.open_logins()
    pod = runs.begin(workspace, "after")
    assert pod["metadata"]["annotations"]["rotation.lms.aada.edu/login"] == f"{ROTATION}-r{revision}"
    assert [runs.log_in(workspace, "after")] == school.open_logins()
    runs.end(workspace, "after")
    assert school.use().failed == failed
    school.declare()


def test_a_server_that_restarts_in_the_middle_is_waited_for(school: School) -> None:
    revision = school.next_revision()
    school.ask_until("Canary")
    school.database.stop()
    school.database.start()
    school.rotated(revision)
    assert len(school.open_logins()) == 1


def test_an_api_server_that_restarts_in_the_middle_is_waited_for(school: School) -> None:
    failed = school.use().failed
    revision = school.next_revision()
    school.ask_until("Canary")
    school.workspace.cluster.restart_apiserver()
    school.rotated(revision)
    assert len(school.open_logins()) == 1
    assert school.secrets() == []
    assert school.use().failed == failed


def test_a_rollout_undone_in_the_grace_period_harms_nobody_and_git_sees_no_drift(school: School) -> None:
    school.declare(gracePeriod="40s")
    failed, given = school.use().failed, school.given()
    revision = school.next_revision()
    school.ask_until("Grace")
    for deployment in ("deployment/aada-backend", f"deployment/{logins.NAME}"):
        school.workspace.kubectl("rollout", "undo", deployment)
        school.workspace.kubectl("rollout", "status", deployment, "--timeout=120s")
    school.rotated(revision)
    assert len(school.open_logins()) == 1
    assert school.use().failed == failed
    school.workspace.wait_condition("lms/aada", "Ready")
    assert school.given() == given, "the operator changed what stands in Git"
    school.declare()


def test_a_release_and_a_rotation_wait_for_each_other_and_no_login_owns_anything_after_it(school: School) -> None:
    """The release comes in mid-rotation and migrates in its grace period, at whose end a table is still locked."""
    school.declare(gracePeriod="15s")
    failed, revision = school.use().failed, school.next_revision()
    school.ask_until("Canary")
    with school.database.session("BEGIN; LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE", DATABASE):
        school.workspace.patch("lms/aada", version=NEW_VERSION, schema={"lockTimeout": "5m"})
        message = school.workspace.says("lms/aada", "SchemaCurrent", "OperationInProgress")
        assert "SecretRotation login (Rotation)" in message
        school.workspace.wait_for(REF, waits_for_the_migration, LONG)
        assert len(school.open_logins()) == 2
    school.rotated(revision)
    school.workspace.wait_for("lms/aada", lambda body: body["status"].get("version") == NEW_VERSION, LONG)
    assert school.owners() == [f"{DATABASE}_owner"]
    school.declare()
    school.rotate()
    assert school.owners() == [f"{DATABASE}_owner"]
    assert school.use().failed == failed


def waits_for_the_migration(rotation: Object) -> bool:
    """Whether it says so, by the operation or by the pod that still may have the old login."""
    message = str(condition(rotation, "Ready").get("message", ""))
    return "AadaLms aada (Migration)" in message or "aada-migrate" in message


def test_a_leaked_login_is_closed_without_a_grace_period_and_who_uses_it_is_cut_off(school: School) -> None:
    school.declare(emergency=True, gracePeriod="24h")
    failed, leaked = school.use().failed, school.values(SECRET)["username"]
    with school.database.session("SELECT", DATABASE, login=leaked) as thief:
        body = school.rotate()
        thief.communicate("SELECT 1;", timeout=30)
    assert thief.returncode != 0
    proof = body["status"]["proof"]
    assert (newest(body)["emergency"], proof["sqlState"], proof["sessionsLeft"]) == (True, "28P01", 0)
    assert leaked not in school.open_logins()
    assert school.use().failed == failed, "the LMS and its consumers had the new one"
    school.declare()


def test_a_leaked_key_is_accepted_by_nobody_and_the_refresh_tokens_are_revoked(school: School) -> None:
    school.database.sql(SIGNED_IN, DATABASE)
    school.declare_tokens(emergency=True, gracePeriod="24h", jwt={"revokeSql": REVOKE})
    leaked, open_tokens = school.token(), int(school.database.sql(NOT_REVOKED, DATABASE))
    assert open_tokens >= 3
    school.ask(JWT)
    body = school.workspace.wait_for(JWT, lambda body: bool(newest(body).get("emergency")), LONG)
    assert newest(body)["result"] == "Rotated"
    assert body["status"]["proof"]["tokensRevoked"] == open_tokens
    assert school.database.sql(NOT_REVOKED, DATABASE) == "0"
    assert school.answers(leaked) == {"401"}
    assert school.answers(school.token()) == {"200"}


def test_the_show_counts_kills_and_the_runbooks_failures(school: School, operator: Operator) -> None:
    """`make show-rotation` in short; its yardstick is what the same use sees when a password is changed in place."""
    point = "rotation.PromoteInStore.after-act"
    assert point in kills.points(back=False)
    assert kills.in_the_cluster(school, operator, [kills.Round([point])]) == {"kill_points": 1, "kill_failures": 0}
    shown = show.runbook(school)
    assert 0 < shown["runbook_failed_logins"] < shown["runbook_logins"]
