"""A restore from the copy of a backup in a second place."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.adapters import storage
from aada_operator.api.task import S3Location
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import BACKUPS
from tests.unit.backups.school import Bucket
from tests.unit.restores.rehearsal import JOB, RESTORE, Rehearsal

PREFIX = "copies/school/aada"


@pytest.fixture
def offsite(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A second bucket, with the copy of ``monday``; the first one is unreachable."""
    offsite = Bucket()
    offsite.objects[f"{PREFIX}/monday/manifest.json"] = rehearsal.bucket.objects["school/aada/monday/manifest.json"]

    def opened(location: S3Location, *_: Any) -> Bucket:
        return offsite if location.bucket == "offsite" else rehearsal.bucket

    monkeypatch.setattr(storage, "ObjectStore", opened)
    rehearsal.bucket.trouble = Waiting("StorageUnreachable", "burnt down")
    copied(rehearsal, "monday")
    return offsite


def copied(rehearsal: Rehearsal, name: str, state: str = "Completed") -> None:
    location = {"bucket": "offsite", "prefix": f"{PREFIX}/{name}", "credentialsSecret": "s3"}
    copy = {"name": "offsite", "state": state, "location": location}
    rehearsal.api.read(BACKUPS, name)["status"]["copies"] = [copy]


def source(**fields: Any) -> dict[str, Any]:
    return {"source": {"copy": "offsite"} | fields}


LATEST = {"policyRef": {"name": "nightly"}, "latest": True}


@pytest.mark.parametrize("fields", [{"backupName": "monday"}, LATEST], ids=["by name", "latest"])
@pytest.mark.usefixtures("offsite")
def test_the_copy_alone_is_read(rehearsal: Rehearsal, fields: dict[str, Any]) -> None:
    rehearsal.restore(**source(**fields))
    rehearsal.settle()
    task = rehearsal.task(JOB)
    assert (task["storage"]["bucket"], task["folder"]) == ("offsite", f"{PREFIX}/monday")
    rehearsal.end_job()
    rehearsal.settle()
    assert rehearsal.condition("Completed")[0] == "True"


@pytest.mark.usefixtures("offsite")
def test_the_plan_says_from_where_and_its_hash_is_another_one(rehearsal: Rehearsal) -> None:
    rehearsal.restore(**source(backupName="monday"), mode="Observe")
    rehearsal.settle()
    from_copy = rehearsal.status["plan"]
    assert "read from its copy in offsite" in from_copy["summary"]
    rehearsal.bucket.trouble = None
    rehearsal.restore("monday", mode="Observe")
    rehearsal.settle()
    own = rehearsal.status["plan"]
    assert "source.copy would read it from offsite" in own["summary"]
    assert own["hash"] != from_copy["hash"]


def test_a_copy_that_is_not_what_was_written_is_refused(rehearsal: Rehearsal, offsite: Bucket) -> None:
    offsite.objects[f"{PREFIX}/monday/manifest.json"] += b"\n"
    rehearsal.restore(**source(backupName="monday"))
    rehearsal.settle()
    assert rehearsal.condition("Failed") == ("True", "Corrupt")
    assert rehearsal.jobs == []


@pytest.mark.usefixtures("offsite")
def test_a_copy_that_is_not_completed_is_waited_for_and_its_place_named(rehearsal: Rehearsal) -> None:
    copied(rehearsal, "monday", state="Running")
    rehearsal.restore(**source(backupName="monday"))
    assert rehearsal.settle()
    assert rehearsal.condition("Ready") == ("False", "CopyNotFound")
    assert "has no copy in offsite" in rehearsal.message("Ready")
    copied(rehearsal, "monday")
    rehearsal.settle()
    assert rehearsal.jobs == [JOB]


@pytest.mark.usefixtures("offsite")
def test_the_latest_is_the_latest_that_has_a_copy(rehearsal: Rehearsal) -> None:
    rehearsal.backup("tuesday", completed="2026-03-02T01:00:00Z")
    rehearsal.restore(**source(**LATEST))
    rehearsal.settle()
    assert rehearsal.status["plan"]["backup"] == "monday"
    assert rehearsal.jobs == [f"{RESTORE}-restore-1"]
