"""What counts the damage of killed workers sees each kind of it: otherwise none that it saw would mean nothing."""

from __future__ import annotations

import pytest

from aada_operator.api.manifest import manifest_key
from aada_operator.api.task import CopyResult
from tests.service.faults import flip
from tests.service.places import LMS, Place
from tests.service.worker_harness import Job, folder_of


@pytest.fixture
def place(job: Job, small: str) -> Place:
    """A bucket with one backup that nobody has looked at yet."""
    job.backup(small, "full")
    return Place(job.s3, job.bucket)


def part_of(place: Place) -> str:
    """One object that the backup needs beside its manifest."""
    keys = place.keys()
    return min(key for key in keys if key.startswith(f"{LMS}/") and not key.endswith(".json"))


def test_a_whole_backup_is_neither_torn_nor_lost_nor_damaged(place: Place) -> None:
    place.look()
    assert (place.torn, place.lost, place.damaged(), place.strays()) == (set(), set(), [], [])


def test_a_manifest_without_one_of_its_parts_is_a_torn_backup(place: Place) -> None:
    place.s3.file(place.bucket, part_of(place)).unlink()
    place.look()
    assert place.torn == {"full"}


def test_so_is_a_copy_of_it_in_a_second_bucket(job: Job, place: Place) -> None:
    job.mount("copy", job.s3)
    copy = Place(job.s3, job.s3.make_bucket())
    job.run("copy", job.copy_task("full", copy.location, folder_of("full"))).result(CopyResult)
    copy.s3.file(copy.bucket, part_of(copy)).unlink()
    copy.look()
    place.look()
    assert (copy.torn, place.torn) == ({"full"}, set())


@pytest.mark.parametrize("what", ["manifest", "part"])
def test_a_backup_that_was_whole_and_misses_something_is_lost(place: Place, what: str) -> None:
    place.look()
    key = manifest_key(folder_of("full")) if what == "manifest" else part_of(place)
    place.s3.file(place.bucket, key).unlink()
    place.look()
    assert place.lost == {"full"}


def test_other_bytes_are_damage(place: Place) -> None:
    place.look()
    key = part_of(place)
    flip(place.s3.file(place.bucket, key))
    assert place.damaged() == [key]


def test_what_no_backup_names_is_left_over(place: Place) -> None:
    place.look()
    place.s3.client().put_object(Bucket=place.bucket, Key=f"{LMS}/chunks/nobodys", Body=b"x")
    assert place.strays() == [f"{LMS}/chunks/nobodys"]


def test_an_upload_that_nobody_ended_is_open(place: Place) -> None:
    key = f"{LMS}/chunks/half"
    upload = place.s3.client().create_multipart_upload(Bucket=place.bucket, Key=key)
    assert place.open_uploads() == {upload["UploadId"]: key}
