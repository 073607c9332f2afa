"""A backup on the base of another uploads what has changed, and is whole without it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from aada_operator.api.manifest import INTENTS, Manifest, manifest_key
from aada_operator.worker.keys import keygen
from tests.service.servers import PostgresServer
from tests.service.worker_harness import Job, folder_of

KILLED = -9


@pytest.fixture
def school(postgres: PostgresServer) -> Iterator[str]:
    """100 MB in two tables of rows that never repeat."""
    name = postgres.createdb()
    postgres.execute(
        """
        CREATE EXTENSION pgcrypto;
        CREATE TABLE pages (id bigint PRIMARY KEY, body text);
        INSERT INTO pages SELECT i, encode(gen_random_bytes(500), 'hex') FROM generate_series(1, 60000) i;
        CREATE TABLE files (id bigint PRIMARY KEY, data bytea);
        INSERT INTO files SELECT i, gen_random_bytes(1000) FROM generate_series(1, 30000) i;
        """,
        name,
    )
    yield name
    postgres.dropdb(name)


def manifest_of(job: Job, name: str) -> Manifest:
    manifest = job.manifest(name)
    assert manifest is not None
    return manifest


def intents(job: Job) -> list[str]:
    return [key for key in job.s3.keys(job.bucket) if f"/{INTENTS}/" in key]


class TestWhatTravels:
    def test_an_unchanged_database_uploads_less_than_one_percent(self, job: Job, school: str) -> None:
        full = job.backup(school, "full")
        repeat = job.backup(school, "repeat", base="full")
        assert full.new_bytes == full.stored_bytes
        assert repeat.new_bytes < full.stored_bytes / 100
        assert (repeat.base, repeat.digest) == ("full", full.digest)
        assert repeat.stored_bytes == pytest.approx(full.stored_bytes, rel=0.01), "what a restore reads"

    def test_one_percent_of_new_rows_uploads_less_than_five_percent_of_it(
        self, job: Job, school: str, postgres: PostgresServer
    ) -> None:
        full = job.backup(school, "full")
        postgres.execute(
            "INSERT INTO pages SELECT i, encode(gen_random_bytes(500), 'hex') FROM generate_series(60001, 60600) i;"
            "INSERT INTO files SELECT i, gen_random_bytes(1000) FROM generate_series(30001, 30300) i",
            school,
        )
        appended = job.backup(school, "appended", base="full")
        assert appended.new_bytes < full.stored_bytes / 20
        assert job.verify("appended").rows == full.rows + 900

    def test_neither_do_rows_that_fill_holes_all_over_a_table(
        self, job: Job, school: str, postgres: PostgresServer
    ) -> None:
        postgres.execute("DELETE FROM pages WHERE id % 40 = 7; DELETE FROM files WHERE id % 40 = 7", school)
        with postgres.admin(school) as connection:
            connection.execute("VACUUM ANALYZE")
        full = job.backup(school, "full")
        postgres.execute(
            "INSERT INTO pages SELECT i, encode(gen_random_bytes(500), 'hex') FROM generate_series(60001, 60600) i;"
            "INSERT INTO files SELECT i, gen_random_bytes(1000) FROM generate_series(30001, 30300) i",
            school,
        )
        filled = "SELECT count(DISTINCT (ctid::text::point)[0]) FROM pages WHERE id > 60000"
        assert postgres.value(filled, school) > 300, "the new rows lie together: this test would prove nothing"
        appended = job.backup(school, "appended", base="full")
        assert appended.new_bytes < full.stored_bytes / 20
        assert job.verify("appended").rows == full.rows + 900

    def test_it_is_whole_without_its_base(self, job: Job, school: str, postgres: PostgresServer) -> None:
        job.backup(school, "full")
        postgres.execute("UPDATE pages SET body = 'changed' WHERE id = 4711", school)
        second = job.backup(school, "second", base="full")
        for key in job.s3.keys(job.bucket):
            if key.startswith(f"{folder_of('full')}/"):
                job.s3.file(job.bucket, key).unlink()
        assert job.verify("second").digest == second.digest

    def test_a_chain_of_them_ends_where_it_began(self, job: Job, school: str) -> None:
        job.backup(school, "full")
        job.backup(school, "first", base="full")
        third = job.backup(school, "second", base="first")
        assert third.epoch == manifest_of(job, "full").chunks.epoch
        assert third.new_bytes < third.stored_bytes / 100


class TestWhatIsNoBase:
    @pytest.fixture
    def full(self, job: Job, school: str) -> str:
        job.backup(school, "full")
        return school

    def travels(self, job: Job, database: str, **fields: object) -> None:
        result = job.backup(database, "second", base="full", **fields)
        assert (result.base, result.new_bytes) == (None, result.stored_bytes)
        assert result.epoch != manifest_of(job, "full").chunks.epoch
        job.verify("second")

    def test_one_without_a_manifest(self, job: Job, full: str) -> None:
        job.s3.file(job.bucket, manifest_key(folder_of("full"))).unlink()
        result = job.backup(full, "second", base="full")
        assert (result.base, result.new_bytes) == (None, result.stored_bytes)

    def test_one_for_other_recipients(self, job: Job, full: str) -> None:
        self.travels(job, full, recipients=[job.recipient, keygen()[1]])

    def test_one_that_was_packed_in_another_way(self, job: Job, full: str) -> None:
        self.travels(job, full, compression_level=3)

    def test_one_whose_chunks_were_named_with_another_key(self, job: Job, full: str) -> None:
        job.secret("chunk-key/key", "another key after a restored cluster")
        self.travels(job, full)

    def test_any_when_there_is_no_key(self, job: Job, full: str) -> None:
        (job.folder / "secrets" / "chunk-key" / "key").unlink()
        self.travels(job, full)


class TestSafety:
    def test_a_chunk_that_is_missing_is_found_before_there_is_a_manifest(self, job: Job, school: str) -> None:
        job.backup(school, "full")
        job.part("full").unlink()
        failure = job.run("backup", job.task(school, "second", base="full")).failure
        assert (failure.reason, failure.retryable) == ("Corrupt", False)
        assert job.manifest("second") is None

    def test_what_is_used_is_pinned_before_and_let_go_after(self, job: Job, school: str) -> None:
        job.backup(school, "full")
        task = job.task(school, "second", base="full")
        assert job.run("backup", task, "worker.backup.after-intent=kill").exit_code == KILLED
        (left,) = intents(job)
        assert json.loads(job.s3.file(job.bucket, left).read_bytes())["base"] == "full"
        job.backup(school, "second", base="full")
        assert intents(job) == [left], "that of the killed try stays until its time has come"

    def test_no_object_of_the_base_is_written_again(self, job: Job, school: str) -> None:
        job.backup(school, "full")
        before = {key: job.s3.file(job.bucket, key).read_bytes() for key in job.s3.keys(job.bucket)}
        job.backup(school, "second", base="full")
        assert all(job.s3.file(job.bucket, key).read_bytes() == data for key, data in before.items())

    def test_names_of_contents_cannot_be_told_without_the_key(self, job: Job, school: str) -> None:
        job.backup(school, "one")
        job.secret("chunk-key/key", "another key")
        job.backup(school, "two")
        names = [{part.content for part in manifest_of(job, name).parts if part.content} for name in ("one", "two")]
        assert names[0].isdisjoint(names[1])
