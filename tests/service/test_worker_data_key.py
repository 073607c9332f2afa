"""A restore proves first that the application's key decrypts what the backup holds: nobody could sign in otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aada_operator.api.common import SecretKeyRef
from aada_operator.api.data_key import DataKey
from aada_operator.api.task import Outcome
from tests.service.servers import PostgresServer, S3Server
from tests.service.worker_harness import Job

TARGET, KEY = "restored_with_key", "canary-key-of-the-school"
# ``users`` is copied in binary, as that of the sample LMS; ``letters`` as text, because of its array. The first rows of
# both have nothing encrypted.
ROWS = f"""
CREATE EXTENSION pgcrypto;
CREATE TABLE users (id int PRIMARY KEY, email_encrypted bytea, name text);
INSERT INTO users SELECT i, CASE WHEN i > 9 THEN pgp_sym_encrypt('a' || i || '@b', '{KEY}') END, 'x' FROM generate_series(1, 60) i;
CREATE TABLE letters (tags text[], content bytea, armoured text);
INSERT INTO letters VALUES ('{{a,b}}', NULL, NULL), (NULL, pgp_sym_encrypt('dear', '{KEY}'), armor(pgp_sym_encrypt('me', '{KEY}')));
CREATE TABLE empty (content bytea);
"""  # noqa: E501


@pytest.fixture(scope="module")
def job(postgres: PostgresServer, s3: S3Server) -> Iterator[Job]:
    name = postgres.createdb()
    postgres.execute(ROWS, name)
    with Job(postgres, s3, s3.make_bucket()) as it:
        it.backup(name)
        yield it
    postgres.dropdb(name)


@pytest.fixture(autouse=True)
def _key(job: Job) -> Iterator[None]:
    job.secret("data-key/key", KEY)
    yield
    if TARGET in there(job):
        job.postgres.dropdb(TARGET)


def there(job: Job) -> str:
    return str(job.postgres.value("SELECT string_agg(datname, ',') FROM pg_database"))


def asked(column: str, **fields: Any) -> DataKey:
    table, _, name = column.partition(".")
    secret = SecretKeyRef(name="lms-secrets", key="ENCRYPTION_KEY")
    return DataKey(secret_ref=secret, table=table, column=name, **fields)


def told(job: Job, wanted: DataKey) -> str:
    """What a restore that succeeds tells of the key."""
    result = job.restore(TARGET, data_key=wanted)
    (check,) = [check for check in result.checks if check.name == "data key"]
    return check.message


def refused(job: Job, wanted: DataKey) -> Outcome:
    """How a restore fails that touches nothing."""
    before = there(job)
    failure = job.run("restore", job.restore_task(TARGET, data_key=wanted)).failure
    assert there(job) == before
    assert not failure.retryable
    assert job.left_behind() == []
    return failure


def test_another_key_is_refused_before_anything_is_touched(job: Job) -> None:
    job.secret("data-key/key", "canary-another-key")
    failure = refused(job, asked("users.email_encrypted"))
    assert failure.reason == "DataKeyMismatch"
    assert "key ENCRYPTION_KEY of Secret lms-secrets does not decrypt users.email_encrypted" in failure.message
    job.secret("data-key/key", KEY)
    assert told(job, asked("users.email_encrypted")) == "decrypts users.email_encrypted"
    assert job.left_behind() == []


@pytest.mark.parametrize(
    ("column", "query"),
    [
        ("content", "SELECT pgp_sym_decrypt($1, $2)"),
        ("armoured", "SELECT pgp_sym_decrypt(dearmor(convert_from($1, 'UTF8')), $2)"),
    ],
)
def test_values_of_a_table_that_is_copied_as_text_are_decrypted_too(job: Job, column: str, query: str) -> None:
    assert told(job, asked(f"letters.{column}", sql=query)) == f"decrypts letters.{column}"


def test_sql_that_is_no_question_is_named(job: Job) -> None:
    failure = refused(job, asked("users.email_encrypted", sql="SELECT 1; DROP TABLE public.users"))
    assert failure.reason == "CheckInvalid"
    assert "database.dataKey.sql" in failure.message


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("users.later", "what is restored has no users.later"),
        ("empty.content", "no row has a empty.content"),
    ],
)
def test_a_backup_without_such_values_needs_no_key(job: Job, column: str, words: str) -> None:
    job.secret("data-key/key", "canary-another-key")
    assert told(job, asked(column)) == f"not asked: {words}"
