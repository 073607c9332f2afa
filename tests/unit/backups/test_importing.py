"""A backup that lies in a bucket becomes an object, is verified and restored, and is never deleted."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, JOBS, Object
from tests.unit.backups.api_server import NAMESPACE, Crash, custom_resource
from tests.unit.backups.school import School

NAME = "from-elsewhere"
SOURCE: Object = {
    "s3": {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}},
    "lms": "aada",
    "backup": "monday",
    "identitySecretRef": {"name": "identity", "key": "key"},
}


def imported(school: School, **patch: Any) -> None:
    spec = {"type": "Imported", "importFrom": SOURCE | patch}
    school.api.add(BACKUPS, custom_resource("Backup", NAME, spec))
    school.settle(BACKUPS, NAME)


def verify(school: School) -> Object:
    """What the worker is told."""
    school.api.read(BACKUPS, NAME)["metadata"].setdefault("annotations", {})["lms.aada.edu/verify-at"] = "now"
    school.settle(BACKUPS, NAME)
    return school.api.task(f"{NAME}-verify-1")


def test_is_completed_without_any_job_or_policy(school: School) -> None:
    school.manifest("monday")
    imported(school)
    status = school.status(BACKUPS, NAME)
    assert (status["phase"], status["type"], status["lms"], status["policy"]) == ("Completed", "Imported", "aada", "")
    assert status["tables"] == {"count": 1, "rows": 99, "digest": "cd" * 32}
    assert status["location"]["prefix"] == f"{NAMESPACE}/aada/monday"
    assert school.condition(BACKUPS, NAME, "Ready") == ("True", "BackupCompleted")
    assert school.condition(BACKUPS, NAME, "Completed") == ("True", "Adopted")
    assert school.api.names(JOBS) == []


def test_says_where_it_looked_while_there_is_nothing(school: School) -> None:
    imported(school, namespace="elsewhere")
    assert school.condition(BACKUPS, NAME, "Completed") == ("Unknown", "BackupNotFound")
    assert "backups/elsewhere/aada/monday" in school.message(BACKUPS, NAME, "Completed")


@pytest.mark.parametrize("content", [b"{}", b"no manifest"])
def test_refuses_what_is_no_manifest(school: School, content: bytes) -> None:
    school.bucket.objects[f"{NAMESPACE}/aada/monday/manifest.json"] = content
    imported(school)
    assert school.condition(BACKUPS, NAME, "Failed") == ("True", "Corrupt")


def test_is_verified_with_its_own_key(school: School) -> None:
    school.manifest("monday")
    imported(school)
    task = verify(school)
    assert task["folder"] == f"{NAMESPACE}/aada/monday"
    volumes = school.api.read(JOBS, f"{NAME}-verify-1")["spec"]["template"]["spec"]["volumes"]
    assert "identity" in {volume.get("secret", {}).get("secretName") for volume in volumes}


def test_without_a_key_says_which_field_names_it(school: School) -> None:
    school.manifest("monday")
    source = {key: value for key, value in SOURCE.items() if key != "identitySecretRef"}
    school.api.add(BACKUPS, custom_resource("Backup", NAME, {"type": "Imported", "importFrom": source}))
    school.api.read(BACKUPS, NAME)["metadata"]["annotations"] = {"lms.aada.edu/verify-at": "now"}
    school.settle(BACKUPS, NAME)
    assert school.condition(BACKUPS, NAME, "Verified") == ("Unknown", "NoIdentity")
    assert "importFrom.identitySecretRef" in school.message(BACKUPS, NAME, "Verified")


def test_is_let_go_by_no_policy(school: School) -> None:
    school.manifest("monday")
    imported(school)
    school.policy(retention={"maxAge": "1h", "minCount": 1}, full=None, immediate=False)
    school.clock.advance(days=400)
    for _ in range(4):
        school.settle(BACKUP_POLICIES, "nightly")
        school.settle(BACKUPS, NAME)
    assert school.status(BACKUPS, NAME)["phase"] == "Completed"
    assert f"{NAMESPACE}/aada/monday/manifest.json" in school.bucket.objects


def test_an_operator_that_is_killed_completes_it_all_the_same(school: School) -> None:
    school.manifest("monday")
    school.api.crash_after = len(school.api.writes)
    with pytest.raises(Crash):
        imported(school)
    school.api.crash_after = None
    school.restart_operator()
    school.settle(BACKUPS, NAME)
    assert school.status(BACKUPS, NAME)["phase"] == "Completed"
