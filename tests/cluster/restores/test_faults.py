"""Faults during a restore on the real cluster: it goes on by itself, and no secret is said anywhere."""

from __future__ import annotations

import json

import pytest

from tests.cluster.backups.school import everything_said
from tests.cluster.release import Operator
from tests.cluster.restores.rehearsal import Rehearsal
from tests.cluster.workspace import LONG
from tests.service.secrecy import forms


class TestFaults:
    def test_the_operator_killed_while_loading_goes_on_with_the_same_job(
        self, school: Rehearsal, operator: Operator, monday: str
    ) -> None:
        school.slow()
        ref = school.restore("operator-killed", backup="monday")
        school.loading(ref)
        operator.kill()
        body = school.restored(ref, LONG)
        assert school.jobs_made("operator-killed") == ["operator-killed-restore-1"]
        assert school.content(body["status"]["database"]) == monday
        operator.rolled_out()

    def test_a_restart_of_the_api_server_disturbs_no_restore(self, school: Rehearsal, monday: str) -> None:
        school.slow()
        ref = school.restore("api-restarted", backup="monday")
        school.loading(ref)
        school.workspace.cluster.restart_apiserver()
        body = school.restored(ref, LONG)
        assert school.jobs_made("api-restarted") == ["api-restarted-restore-1"]
        assert school.content(body["status"]["database"]) == monday

    def test_a_worker_killed_while_loading_is_followed_by_another(self, school: Rehearsal, monday: str) -> None:
        school.slow()
        ref = school.restore("worker-killed", backup="monday")
        school.loading(ref)
        school.quick()
        (pod,) = school.workspace.items("pods", "lms.aada.edu/restore=worker-killed")
        school.workspace.kubectl("delete", f"pod/{pod['metadata']['name']}", "--grace-period=0", "--force")
        body = school.restored(ref, LONG)
        assert school.jobs_made("worker-killed")[:2] == ["worker-killed-restore-1", "worker-killed-restore-2"]
        assert school.content(body["status"]["database"]) == monday
        left = [job["metadata"]["name"] for job in school.workspace.items("jobs", "lms.aada.edu/restore=worker-killed")]
        assert left == [f"worker-killed-restore-{body['status']['attempt']}"], "the last attempt's Job alone is kept"

    @pytest.mark.parametrize("point", ["after-create", "after-rename", "before-complete"])
    def test_a_worker_killed_between_two_statements_is_no_trouble_for_the_next(
        self, school: Rehearsal, monday: str, point: str
    ) -> None:
        kill = {"name": "AADA_FAILPOINTS", "value": f"worker.restore.{point}=kill"}
        template = {"spec": {"containers": [{"name": "worker", "env": [kill]}]}}
        school.policy("nightly", job={"podTemplate": template})
        ref = school.restore(point, backup="monday")
        school.workspace.says(ref, "Ready", "WorkerLost")
        school.quick()
        body = school.restored(ref, LONG)
        assert school.content(body["status"]["database"]) == monday
        assert [name for name in school.databases() if name.startswith("restore-")] == [], "no half database is left"

    def test_a_server_that_stops_while_loading_and_comes_back(self, fragile_school: Rehearsal, monday: str) -> None:
        school = fragile_school
        school.slow()
        ref = school.restore("server-stopped", backup="monday")
        school.loading(ref)
        school.database.stop()
        school.quick()
        school.workspace.says(ref, "Ready", "DatabaseUnreachable", LONG)
        assert "DatabaseUnreachable" in school.warnings("server-stopped")
        school.database.start()
        body = school.restored(ref, LONG)
        assert body["status"]["attempt"] >= 2
        assert school.content(body["status"]["database"]) == monday

    def test_one_deleted_while_it_loads_stops_and_another_of_its_name_begins_anew(
        self, school: Rehearsal, monday: str
    ) -> None:
        school.slow()
        ref = school.restore("changed-my-mind", backup="monday")
        half = school.loading(ref)["status"]["plan"]["database"]
        assert half in school.databases()
        school.quick()
        school.workspace.delete(ref)
        assert half not in school.databases(), "nothing that is half is left"
        job = "--selector=batch.kubernetes.io/job-name=changed-my-mind-restore-1"
        school.workspace.kubectl("wait", "--for=delete", "pods", job, "--timeout=90s")
        body = school.restored(school.restore("changed-my-mind", backup="monday"), LONG)
        assert school.content(body["status"]["database"]) == monday

    def test_a_lost_status_and_job_lead_to_the_same_database_without_another_load(
        self, school: Rehearsal, monday: str
    ) -> None:
        ref = school.restore("amnesia", backup="monday")
        database = school.restored(ref)["status"]["database"]
        identity = school.identity_of(database)
        school.workspace.delete("job/amnesia-restore-1")
        nothing = json.dumps([{"op": "remove", "path": "/status"}])
        school.workspace.kubectl("patch", ref, "--subresource=status", "--type=json", f"--patch={nothing}")
        body = school.restored(ref)
        assert (body["status"]["database"], school.identity_of(database)) == (database, identity)
        assert school.content(database) == monday


def test_no_secret_is_in_any_restore_event_log_or_task(school: Rehearsal, operator: Operator) -> None:
    hidden = {
        "password of the database": school.database.server.credentials["password"],
        "secret key of the storage": school.s3.server.credentials["AWS_SECRET_ACCESS_KEY"],
        "identity": school.identity,
    }
    places = [*everything_said(school.workspace, operator)]
    places.append(("restores", school.workspace.kubectl("get", "lmsr", "--output=json")))
    for pod in school.workspace.items("pods", "lms.aada.edu/owner=restore"):
        places.append((pod["metadata"]["name"], school.workspace.logs(f"pod/{pod['metadata']['name']}")))
    assert len(places) > 8
    assert [(what, where) for what, value in hidden.items() for where, text in places
            if any(form in text for form in forms(value))] == []  # fmt: skip
