"""Retention on the real cluster: the rule is told first, then acts, and what is left over is collected."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR
from aada_operator.api.manifest import manifest_key
from tests.cluster import builders
from tests.cluster.backups.school import FILL, WAIT, School
from tests.cluster.workspace import Object
from tests.testbed.services import make_bucket

RULE = {"daily": 1, "minCount": 1}
WRITE_ONCE = "write-once"


def taken(school: School, name: str, slot: str, policy: str = "tidy") -> Object:
    """A completed backup as a schedule makes it."""
    body = builders.backup(name, policy=policy)
    school.workspace.apply(body | {"metadata": body["metadata"] | {"annotations": {ANNOTATION_SCHEDULED_FOR: slot}}})
    return school.completed(f"lmsb/{name}")


def test_what_would_go_is_said_then_goes_and_is_collected(school: School) -> None:
    policy = school.policy("tidy", retention=RULE | {"mode": "Observe"})
    first = taken(school, "tidy-monday", "2026-01-05T02:00:00Z")
    taken(school, "tidy-tuesday", "2026-01-06T02:00:00Z")

    def said(body: Object) -> Object:
        return dict(body["status"].get("retention") or {})

    school.workspace.wait_for(policy, lambda body: said(body).get("expired") == ["tidy-monday"], WAIT)
    folder = first["status"]["location"]["prefix"]
    assert manifest_key(folder) in school.s3.keys(folder)

    school.policy("tidy", retention=RULE)
    school.workspace.wait_gone("lmsb/tidy-monday", timeout=WAIT)
    assert manifest_key(folder) not in school.s3.keys(folder)
    settled = school.workspace.wait_for(
        policy, lambda body: (body["status"].get("collection") or {}).get("result") == "Done", WAIT
    )
    assert (said(settled)["kept"], said(settled)["deleted"]) == (1, 1)
    assert settled["status"]["collection"]["orphanBytes"] > 0, "too young to be deleted"
    school.workspace.kubectl("annotate", "lmsb/tidy-tuesday", "lms.aada.edu/verify-at=now")
    school.workspace.wait_for(
        "lmsb/tidy-tuesday", lambda body: body["status"].get("verification", {}).get("result") == "Passed", WAIT
    )


def test_what_is_locked_outlives_the_rule_and_nobody_can_delete_it(school: School) -> None:
    make_bucket(school.workspace.cluster, school.s3.server, WRITE_ONCE, object_lock=True)
    lock = {"bucket": WRITE_ONCE, "objectLock": {"mode": "Compliance", "days": 1}}
    policy = school.policy("locked", retention=RULE, storage=[{"name": "primary", "s3": lock}])
    first = taken(school, "locked-monday", "2026-01-05T02:00:00Z", "locked")
    taken(school, "locked-tuesday", "2026-01-06T02:00:00Z", "locked")
    said = school.workspace.wait_for(
        policy, lambda body: (body["status"].get("retention") or {}).get("locked") == ["locked-monday"], WAIT
    )
    assert not said["status"]["retention"].get("deleted")
    assert first["status"]["immutableUntil"] in school.workspace.says("lmsb/locked-monday", "Immutable", "Locked")
    key = manifest_key(first["status"]["location"]["prefix"])
    with school.s3.client() as client:
        (version,) = client.list_object_versions(Bucket=WRITE_ONCE, Prefix=key)["Versions"]
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=WRITE_ONCE, Key=key, VersionId=version["VersionId"])


def test_on_a_new_cluster_a_policy_finds_the_backups_of_the_lost_one(school: School) -> None:
    """The objects are gone as with a cluster, the bucket is there; another policy of that name comes."""
    policy = school.policy("gone-cluster")
    before = school.completed(school.backup("of-gone-cluster", "gone-cluster"))
    school.workspace.delete(policy)
    school.workspace.delete("lmsb/of-gone-cluster")
    school.policy("gone-cluster")
    found = school.workspace.wait_for(
        policy, lambda body: (body.get("status", {}).get("inventory") or {}).get("found") == 1, WAIT
    )
    assert found["status"]["inventory"]["takenAt"] != ""
    after = school.completed("lmsb/of-gone-cluster")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["manifestSha256"] == before["status"]["manifestSha256"]
    assert school.jobs_made("of-gone-cluster") == ["of-gone-cluster-1"], "it never runs again"


def test_the_data_of_a_deleted_backup_stays_unless_its_policy_says_delete(school: School) -> None:
    school.policy("whole", deletionPolicy="Delete")
    going = school.completed(school.backup("whole-going", "whole"))["status"]["location"]["prefix"]
    staying = school.completed(school.backup("whole-staying", "whole"))["status"]["location"]["prefix"]
    school.workspace.delete("lmsb/whole-going")
    assert manifest_key(going) not in school.s3.keys(going)
    school.policy("whole", deletionPolicy="Retain")
    school.workspace.wait_for("lmsb/whole-staying", lambda body: not body["metadata"].get("finalizers"), WAIT)
    school.workspace.delete("lmsb/whole-staying")
    assert manifest_key(staying) in school.s3.keys(staying)


def test_a_backup_of_less_than_half_takes_no_place_until_a_person_accepts_it(school: School) -> None:
    policy = school.policy("shrunk", retention=RULE | {"mode": "Observe"})
    taken(school, "shrunk-before", "2026-01-05T02:00:00Z", "shrunk")
    school.database.sql("TRUNCATE notes", builders.DATABASE_NAME)
    try:
        taken(school, "shrunk-after", "2026-01-06T02:00:00Z", "shrunk")
    finally:
        school.database.sql(f"DROP TABLE notes; {FILL}", builders.DATABASE_NAME)
    message = school.workspace.says("lmsb/shrunk-after", "SuspiciousSize", "LessThanHalf")
    assert "LessThanHalf" in {event["reason"] for event in school.workspace.events("Backup/shrunk-after")}
    observed = school.workspace.wait_for(policy, lambda body: (body["status"].get("retention") or {}).get("kept") == 2)
    assert not observed["status"]["retention"].get("expired")
    school.workspace.follow(message.split("accepted: ")[1])
    school.workspace.says("lmsb/shrunk-after", "SuspiciousSize", "SizeAccepted")
    school.workspace.wait_for(
        policy, lambda body: body["status"]["retention"].get("expired") == ["shrunk-before"], WAIT
    )
