"""What a Backup packs besides the database, and what it says of that."""

from __future__ import annotations

import json

import pytest

from aada_operator.api.bundle import BundleSummary
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, Object
from tests.unit.backups.school import BACKUP_RESULT, LMS_SPEC, School

JOB = "by-hand-1"


def started(school: School) -> Object:
    """The order of a Backup whose Job runs."""
    school.backup()
    school.settle(BACKUPS, "by-hand")
    return dict(school.api.task(JOB)["bundle"])


def ended(school: School, **said: object) -> None:
    started(school)
    result = BACKUP_RESULT["result"] | said
    school.api.end_job(JOB, BACKUP_RESULT | {"result": result})
    school.settle(BACKUPS, "by-hand")


def packed(order: Object) -> set[str]:
    return {secret["name"] for secret in order["secrets"]}


def test_the_lms_its_policies_and_the_secrets_that_they_name_are_packed(school: School) -> None:
    school.policy()
    school.policy("other-school", lmsRef={"name": "other"})
    school.api.secret("aada-db", username="u", password="canary")
    school.api.secret("lms-keys", ENCRYPTION_KEY="canary")
    school.api.read(AADA_LMS, "aada")["spec"] = LMS_SPEC | {
        "secrets": [{"name": "ENCRYPTION_KEY", "secretRef": {"name": "lms-keys", "key": "ENCRYPTION_KEY"}}]
    }
    order = started(school)
    assert [(o["kind"], o["metadata"]["name"]) for o in order["objects"]] == [
        ("AadaLms", "aada"), ("BackupPolicy", "nightly"),
    ]  # fmt: skip
    assert packed(order) == {"aada-chunk-key", "aada-db", "db-admin", "lms-keys", "s3"}
    assert order["missing"] == []
    volumes = school.api.read(JOBS, JOB)["spec"]["template"]["spec"]["volumes"]
    mounted = {v["secret"]["secretName"]: v["secret"] for v in volumes if v["name"].startswith("bundle-")}
    assert mounted.keys() == packed(order)
    assert all(source["optional"] for source in mounted.values())


def test_nothing_secret_is_in_the_job(school: School) -> None:
    school.policy()
    school.api.secret("aada-db", username="u", password="canary")
    started(school)
    text = json.dumps(school.api.read(JOBS, JOB))
    assert "canary" not in text
    assert "Y2FuYXJ5" not in text


def test_a_missing_secret_is_told_and_keeps_no_backup_from_being_taken(school: School) -> None:
    school.policy()
    order = started(school)
    assert order["missing"] == ["Secret/aada-db"]
    assert school.status(BACKUPS, "by-hand")["phase"] == "Running"


def test_a_certificate_that_nobody_made_yet_is_not_missed(school: School) -> None:
    school.policy()
    component = LMS_SPEC["components"][0] | {"host": "lms.example"}
    school.api.read(AADA_LMS, "aada")["spec"] = LMS_SPEC | {"components": [component]}
    assert "Secret/aada-backend-tls" not in started(school)["missing"]
    assert "aada-backend-tls" not in packed(school.api.task(JOB)["bundle"])


def test_without_encryption_no_secret_is_mounted(school: School) -> None:
    policy = school.policy()
    policy["spec"]["encryption"] = {"mode": "None"}
    school.api.secret("aada-db", username="u", password="canary")
    order = started(school)
    assert packed(order) == set()
    assert [o["kind"] for o in order["objects"]] == ["AadaLms", "BackupPolicy"]


@pytest.mark.parametrize(
    ("summary", "encrypted", "told", "words"),
    [
        (BundleSummary(objects=2, secrets=5, roles=3), True, ("True", "Complete"), "5 Secrets"),
        (BundleSummary(objects=2, missing=["Secret/aada-db"]), True, ("False", "Incomplete"), "Secret/aada-db"),
        (BundleSummary(objects=2), False, ("False", "SecretsWithheld"), "no Secret"),
        (None, True, ("Unknown", "NoBundle"), "database alone"),
    ],
)
def test_a_completed_backup_says_what_it_has(
    school: School, summary: BundleSummary | None, encrypted: bool, told: tuple[str, str], words: str
) -> None:
    school.policy()
    ended(school, encrypted=encrypted, bundle=summary.model_dump(by_alias=True) if summary else None)
    assert school.condition(BACKUPS, "by-hand", "Bundled") == told
    assert words in school.message(BACKUPS, "by-hand", "Bundled")
    assert school.condition(BACKUPS, "by-hand", "Ready")[0] == "True", "the database is backed up all the same"


def test_a_backup_that_was_found_says_what_its_manifest_tells(school: School) -> None:
    school.policy()
    school.manifest(bundle=BundleSummary(objects=1, secrets=1, roles=1, missing=["Secret/x"]))
    school.backup()
    school.settle(BACKUPS, "by-hand")
    assert school.condition(BACKUPS, "by-hand", "Bundled") == ("False", "Incomplete")


@pytest.mark.parametrize(
    ("encryption", "told"),
    [
        ({}, ("False", "OnlyInCluster")),
        ({"recipients": ["age1" + "q" * 58, "age1" + "p" * 58]}, ("True", "OutsideCluster")),
        ({"recipients": ["age1" + "q" * 58, "age1" + "q" * 58]}, ("False", "OnlyInCluster")),
        ({"verificationIdentitySecretRef": None}, ("True", "OutsideCluster")),
        ({"mode": "None", "recipients": None, "verificationIdentitySecretRef": None}, ("Unknown", "NotEncrypted")),
    ],
)
def test_a_policy_says_whether_a_key_outlives_the_cluster(
    school: School, encryption: Object, told: tuple[str, str]
) -> None:
    policy = school.policy()
    merged = policy["spec"]["encryption"] | encryption
    policy["spec"]["encryption"] = {field: value for field, value in merged.items() if value is not None}
    school.settle(BACKUP_POLICIES, "nightly")
    assert school.condition(BACKUP_POLICIES, "nightly", "OfflineKey") == told
