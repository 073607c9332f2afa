"""Restores on the real cluster: the content is equal by the tests' own SQL, and nothing else was touched."""

from __future__ import annotations

import subprocess

import pyrage
import pytest

from tests.cluster import audit
from tests.cluster.backups.school import eventually
from tests.cluster.restores.rehearsal import LIVE, Rehearsal
from tests.cluster.workspace import LONG, Object, condition, summary

LETTERS = """
CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE TABLE public.letters AS SELECT pgp_sym_encrypt('dear teacher', 'key-of-then') AS sealed;
"""


def data_key(key: str) -> Object:
    """What an AadaLms says of the key with which its application seals letters."""
    return {"secretRef": {"name": "data-keys", "key": key}, "table": "letters", "column": "sealed"}


class TestContent:
    def test_by_name_is_that_of_the_backup(self, opened: tuple[Rehearsal, str, str], by_name: Object) -> None:
        school, content, structure = opened
        database = by_name["status"]["database"]
        assert database == f"{LIVE}_restore_{by_name['metadata']['uid'][:8]}"
        assert school.content(database) == content
        assert school.structure(database) == structure
        assert int(school.database.sql("SELECT count(*) FROM audit_log", database)) > 0

    def test_is_counted_and_told(self, school: Rehearsal, by_name: Object) -> None:
        status = by_name["status"]
        backup = school.completed("lmsb/monday")["status"]
        assert (status["rows"], status["digest"]) == (backup["tables"]["rows"], backup["tables"]["digest"])
        assert [step["name"] for step in status["steps"] if step.get("finishedAt")] == [
            "Resolve", "Plan", "Preflight", "Approve", "Load", "Record",
        ]  # fmt: skip
        header, row = school.workspace.kubectl("get", "lmsr", "by-name").splitlines()
        assert header.split() == ["NAME", "SOURCE", "MODE", "PHASE", "STEP", "PROGRESS", "TOOK", "AGE"]
        assert row.split()[:5] == ["by-name", "monday", "NewDatabase", "Completed", "100%"]
        assert school.warnings("by-name") == set()
        told = {event["reason"] for event in school.workspace.events("Restore/by-name")}
        assert told == {"RestoredAndCompared"}

    def test_of_the_latest_is_that_of_the_newest_backup_and_outlives_its_restore(
        self, school: Rehearsal, monday: str
    ) -> None:
        live = school.content()
        school.completed(school.backup("tuesday", "nightly"))
        body = school.restored(school.restore("latest", policy="nightly", target={"database": "latest_copy"}))
        assert body["status"]["plan"]["backup"] == "tuesday"
        assert school.content("latest_copy") == live != monday
        school.workspace.delete("lmsr/latest")
        school.workspace.wait_gone("job/latest-restore-1")
        assert school.content("latest_copy") == live

    @pytest.mark.usefixtures("by_name")
    def test_a_settled_restore_costs_no_write(self, school: Rehearsal) -> None:
        begin = audit.mark(school.workspace)
        school.workspace.kubectl("annotate", "lmsr/by-name", "--overwrite", "lms.aada.edu/reconcile-at=1")
        eventually(lambda: begin.reads("restores", "by-name") > 0, "a visit")
        school.completed(school.backup("wednesday", "nightly"))
        assert [write for write in begin.writes() if "restores" in write] == []

    @pytest.mark.usefixtures("by_name")
    def test_a_restore_cannot_be_changed_afterwards(self, school: Rehearsal) -> None:
        with pytest.raises(subprocess.CalledProcessError):
            school.workspace.patch("lmsr/by-name", timeout="9h")


class TestModes:
    def test_approve_waits_for_the_very_plan_and_its_own_command_approves(self, school: Rehearsal, monday: str) -> None:
        ref = school.restore("approved", backup="monday", mode="Approve", target={"database": "approved_copy"})
        message = school.workspace.says(ref, "Ready", "AwaitingApproval")
        assert school.workspace.get(ref)["status"]["phase"] == "AwaitingApproval"  # type: ignore[index]
        school.workspace.kubectl("annotate", ref, "lms.aada.edu/approve=yes")
        command = message.split("approve with: ")[1].split(";")[0]
        assert school.jobs_made("approved") == []
        assert "approved_copy" not in school.databases()
        school.workspace.follow(command)
        assert school.content(school.restored(ref)["status"]["database"]) == monday

    def test_observe_writes_a_plan_that_says_what_would_be_done(self, school: Rehearsal) -> None:
        ref = school.restore("observed", backup="monday", mode="Observe", target={"database": "observed_copy"})
        school.workspace.says(ref, "Ready", "Observing")
        begin = audit.mark(school.workspace)
        school.workspace.kubectl("annotate", ref, "lms.aada.edu/reconcile-at=1")
        eventually(lambda: begin.reads("restores", "observed") > 0, "a visit")
        plan = school.workspace.get(ref)["status"]["plan"]  # type: ignore[index]
        for words in ("monday", "observed_copy", school.database.host, f"database {LIVE} is not touched"):
            assert words in plan["summary"]
        assert school.jobs_made("observed") == []
        assert "observed_copy" not in school.databases()
        assert [write for write in begin.writes() if "restores" in write] == []


class TestRefusals:
    def test_a_missing_backup_is_waited_for(self, school: Rehearsal) -> None:
        ref = school.restore("early", backup="thursday")
        assert "thursday" in school.workspace.says(ref, "Ready", "BackupNotFound")
        assert school.warnings("early") == {"BackupNotFound"}
        school.backup("thursday", "nightly")
        school.restored(ref)

    def test_a_wrong_identity_fails_and_leaves_nothing_behind(self, school: Rehearsal) -> None:
        school.workspace.secret("another-identity", identity=str(pyrage.x25519.Identity.generate()))
        wrong = {"verificationIdentitySecretRef": {"name": "another-identity", "key": "identity"}}
        school.policy("wrong-key", encryption=wrong)
        school.completed(school.backup("locked", "wrong-key"))
        before = school.databases()
        body = school.ended(school.restore("wrong-key", backup="locked"))
        assert condition(body, "Failed")["reason"] == "WrongKey", summary(body)
        assert school.databases() == before
        assert school.jobs_made("wrong-key") == ["wrong-key-restore-1"], "no retry can mend this"

    def test_a_key_of_the_application_that_decrypts_nothing_of_it_is_refused_before_anything_is_made(
        self, school: Rehearsal
    ) -> None:
        school.database.sql(LETTERS, LIVE)
        school.completed(school.backup("sealed", "nightly"))
        school.workspace.secret("data-keys", then="key-of-then", now="key-of-now")
        school.workspace.patch("lms/aada", database={"dataKey": data_key("now")})
        before = school.databases()
        body = school.ended(school.restore("data-key-of-now", backup="sealed"))
        assert condition(body, "Failed")["reason"] == "DataKeyMismatch", summary(body)
        assert "key now of Secret data-keys" in condition(body, "Failed")["message"]
        assert school.databases() == before
        school.workspace.patch("lms/aada", database={"dataKey": data_key("then")})
        found = school.restored(school.restore("data-key-of-then", backup="sealed"))["status"]["checks"]
        assert "data key: decrypts letters.sealed" in found
        school.workspace.patch("lms/aada", database={"dataKey": None})

    @pytest.mark.parametrize("name", ["precious", LIVE])
    def test_a_database_that_is_there_is_refused_and_untouched(self, school: Rehearsal, name: str) -> None:
        if name not in school.databases():
            school.database.sql(f"CREATE DATABASE {name}")
            school.database.sql("CREATE TABLE kept AS SELECT 42 AS answer", name)
        identity, content = school.identity_of(name), school.content(name)
        restore = f"onto-{name.replace('_', '-')}"
        body = school.ended(school.restore(restore, backup="monday", target={"database": name}))
        assert condition(body, "Failed")["reason"] == "TargetExists", summary(body)
        assert (school.identity_of(name), school.content(name)) == (identity, content)
        assert school.jobs_made(restore) == []

    def test_a_dead_storage_is_named_and_it_heals(self, fragile_school: Rehearsal) -> None:
        school = fragile_school
        school.s3.stop()
        ref = school.restore("no-storage", backup="monday")
        school.workspace.says(ref, "Ready", "StorageUnreachable")
        school.s3.start()
        school.restored(ref, LONG)
