"""The generator makes a database of the size asked for, of rows as a school has them."""

import json
import zlib
from collections.abc import Callable

import psycopg
import pytest

from tests.service.sample_lms.conftest import MakeRelease, NewDatabase
from tests.service.sample_lms.harness import ENCRYPTION_KEY
from tests.service.servers import PostgresServer

Generate = Callable[..., tuple[str, dict[str, object]]]

TABLES = {
    "users": "id, pgp_sym_decrypt(email_encrypted, 'KEY'), password_hash, full_name, role, profile, created_at",
    "refresh_tokens": "*",
    "courses": "*",
    "lessons": "*",
    "enrolments": "*",
    "submissions": "*",
    "audit_log": "*",
}
UNIQUE_VALUES = [
    "users.full_name", "users.password_hash", "users.profile", "users.created_at", "courses.description",
    "lessons.body", "enrolments.progress", "submissions.body", "submissions.attachment", "submissions.submitted_at",
    "audit_log.detail", "audit_log.at",
]  # fmt: skip


@pytest.fixture(scope="module")
def generate(new_database: NewDatabase, release: MakeRelease) -> Generate:
    """Make a migrated database with generated rows: its name and the generator's report."""

    def run(*arguments: str) -> tuple[str, dict[str, object]]:
        name, url = new_database()
        release("v1.3.0").migrate(url)
        done = release("v1.3.0").run("python", "-m", "sample_lms.generate", *arguments, url=url)
        assert done.returncode == 0, done.stderr
        return name, json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def generated(generate: Generate) -> tuple[str, dict[str, object]]:
    return generate("--size", "20MB", "--seed", "7")


def digests(session: psycopg.Connection) -> dict[str, str]:
    """A digest of each table's content, e-mail addresses in the clear: their ciphertext is salted."""
    found = {}
    for table, columns in TABLES.items():
        query = f"SELECT md5(string_agg(r::text, ';' ORDER BY id)) FROM (SELECT {columns} FROM {table}) r"
        [[found[table]]] = session.execute(query.replace("KEY", ENCRYPTION_KEY)).fetchall()
    return found


@pytest.mark.parametrize("megabytes", [16, 60])
def test_the_database_has_the_size_asked_for(server: PostgresServer, generate: Generate, megabytes: int) -> None:
    name, report = generate("--size", f"{megabytes}MB")
    with server.admin(name) as session:
        [[size]] = session.execute("SELECT pg_database_size(current_database())").fetchall()
    assert size == pytest.approx(megabytes * 1_000_000, rel=0.1)
    assert report["databaseBytes"] == pytest.approx(size, rel=0.01)


def test_the_report_counts_what_is_there(server: PostgresServer, generated: tuple[str, dict[str, object]]) -> None:
    name, report = generated
    with server.admin(name) as session:
        counted = {table: session.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in TABLES}
    assert report["rows"] == counted
    assert min(counted.values()) > 20


@pytest.mark.parametrize("column", UNIQUE_VALUES)
def test_no_value_is_repeated(server: PostgresServer, generated: tuple[str, dict[str, object]], column: str) -> None:
    table, name = column.split(".")
    with server.admin(generated[0]) as session:
        query = f"SELECT count({name}), count(DISTINCT {name}::text) FROM {table}"
        [[values, different]] = session.execute(query).fetchall()
    assert values == different > 0


def test_texts_compress_as_prose_does(server: PostgresServer, generated: tuple[str, dict[str, object]]) -> None:
    """A backup of them must have the work of a real one: repeated filler would shrink twentyfold and more."""
    with server.admin(generated[0]) as session:
        [[text]] = session.execute("SELECT string_agg(body, ' ') FROM submissions").fetchall()
    raw = text.encode()
    assert 2 < len(raw) / len(zlib.compress(raw)) < 6


def test_the_same_seed_makes_the_same_rows_and_another_does_not(
    server: PostgresServer, generate: Generate, generated: tuple[str, dict[str, object]]
) -> None:
    again, _ = generate("--size", "20MB", "--seed", "7")
    other, _ = generate("--size", "20MB", "--seed", "8")
    with server.admin(generated[0]) as first, server.admin(again) as second, server.admin(other) as third:
        assert digests(first) == digests(second)
        assert not set(digests(first).items()) & set(digests(third).items())


def test_a_filled_database_is_not_filled_twice(
    server: PostgresServer, school: tuple[str, str], release: MakeRelease
) -> None:
    name, url = school
    with server.admin(name) as session:
        before = digests(session)
        done = release("v1.2.3").run("python", "-m", "sample_lms.generate", "--size", "16MB", url=url)
        assert done.returncode != 0
        assert "already holds users" in done.stderr
        assert digests(session) == before


@pytest.mark.parametrize("size", ["1MB", "much", "-50MB"])
def test_an_impossible_size_is_refused(size: str, release: MakeRelease) -> None:
    done = release("v1.2.3").run("python", "-m", "sample_lms.generate", f"--size={size}", url="unused")
    assert done.returncode == 2
    assert "--size" in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_is_told_on_standard_error_only_when_wanted(new_database: NewDatabase, release: MakeRelease) -> None:
    _, url = new_database()
    release("v1.2.3").migrate(url)
    done = release("v1.2.3").run("python", "-m", "sample_lms.generate", "--size", "16MB", "--progress", url=url)
    assert "submissions: 1,700 of 1,700 rows" in done.stderr
    assert len(done.stdout.splitlines()) == 1
