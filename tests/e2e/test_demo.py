"""The demo's story on a small school: what a person sees who runs ``make demo``, and runs it twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.workspace import condition
from tests.e2e.demo.story import Story
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Iterator[Story]:
    """The story, told once in a namespace of its own."""
    told = Story(cluster, namespace="demo-test", size="16MB")
    told.tell()
    yield told
    cluster.kubectl("delete", "namespace", told.namespace, "--wait=false")


def test_the_lms_is_ready_with_its_schema_and_all_components(story: Story) -> None:
    lms = story.school.wait_condition("aadalms/aada", "Ready")
    assert lms["status"]["schema"]["revision"] == "0003"
    assert lms["status"]["ready"] == "3/3"


def test_the_backup_is_completed_encrypted_and_verified(story: Story) -> None:
    backup = story.school.get(f"backup.lms.aada.edu/{story.backup_name()}") or {}
    assert backup["status"]["phase"] == "Completed"
    assert condition(backup, "Encrypted")["status"] == "True"
    assert condition(backup, "Verified")["status"] == "True"
    assert backup["status"]["tables"]["rows"] > 1000


def test_kubectl_get_shows_the_whole_story(story: Story) -> None:
    shown = story.overview()
    for word in ("aadalms.lms.aada.edu/aada", "nightly", "Completed", "NewDatabase", "100%"):
        assert word in shown


def test_told_a_second_time_it_finds_everything_done(story: Story) -> None:
    backups = [body["metadata"]["uid"] for body in story.school.items("backups.lms.aada.edu")]
    story.tell()
    assert [body["metadata"]["uid"] for body in story.school.items("backups.lms.aada.edu")] == backups
