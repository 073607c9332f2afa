"""The whole story of a second place: each backup is in it, and when the first one is lost the content is not."""

from __future__ import annotations

from tests.cluster import builders
from tests.cluster.backups.school import WAIT
from tests.cluster.restores.rehearsal import Rehearsal
from tests.cluster.servers import Bucket
from tests.cluster.workspace import Object, condition
from tests.testbed.services import S3_SECRET, make_bucket

POLICY = "twofold"


def place(school: Rehearsal, name: str) -> Object:
    """An entry of spec.storage: a new bucket of that name."""
    make_bucket(school.workspace.cluster, school.s3.server, name)
    credentials = {"name": S3_SECRET}
    return {"name": name, "s3": {"bucket": name, "endpoint": school.s3.endpoint, "credentialsSecretRef": credentials}}


def test_the_content_comes_back_from_the_copy_when_the_first_bucket_is_lost(school: Rehearsal) -> None:
    body = builders.backup_policy(POLICY, endpoint=school.s3.endpoint, recipients=[school.recipient])
    body["spec"]["storage"] = [place(school, "first-place"), place(school, "second-place")]
    school.workspace.apply(body)
    before = school.content()
    backup = school.backup("twofold", POLICY)
    school.completed(backup)
    copied = school.workspace.wait_condition(backup, "Replicated", timeout=WAIT)
    (copy,) = copied["status"]["copies"]
    assert copy["bytes"] == copied["status"]["storedBytes"]
    school.workspace.wait_condition(f"bp/{POLICY}", "CopiesCurrent", timeout=WAIT)

    first = Bucket(school.workspace, school.s3.server, "first-place")
    lost = first.keys()
    with first.client() as client:
        for key in lost:
            client.delete_object(Bucket=first.name, Key=key)
    refused = school.ended(school.restore("from-nothing", backup="twofold"))
    assert condition(refused, "Failed")["reason"] == "Corrupt"

    source = {"copy": "second-place"}
    restored = school.restored(school.restore("from-the-copy", backup="twofold", source=source))
    assert "read from its copy in second-place" in restored["status"]["plan"]["summary"]
    assert school.content(restored["status"]["database"]) == before

    s3 = place(school, "second-place")["s3"]
    identity = {"name": builders.IDENTITY_SECRET, "key": builders.IDENTITY_KEY}
    origin: Object = {"s3": s3, "lms": builders.LMS, "backup": "twofold", "identitySecretRef": identity}
    school.workspace.apply(builders.custom_resource("Backup", "found", {"type": "Imported", "importFrom": origin}))
    imported = school.completed("lmsb/found")
    assert imported["status"]["tables"] == copied["status"]["tables"]
    restored = school.restored(school.restore("from-the-imported", backup="found"))
    assert school.content(restored["status"]["database"]) == before
