"""What programs of PostgreSQL print becomes a reason with a way out, and no row ever gets through."""

from __future__ import annotations

import pytest

from aada_operator.adapters.postgres_errors import Place
from aada_operator.core.errors import Stalled
from aada_operator.worker.failures import connection_failure, program_failure

PLACE = Place("db", 5432, "aada_lms", "the database's Secret")


@pytest.mark.parametrize(
    ("text", "reason", "for_good"),
    [
        ('pg_dump: error: connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused',
         "DatabaseUnreachable", False),
        ('pg_dump: error: connection to server at "db", port 5432 failed: FATAL:  password authentication failed for '
         'user "u"', "DatabaseAuthenticationFailed", False),
        ('pg_dump: error: connection to server at "db", port 5432 failed: FATAL:  database "x" does not exist',
         "DatabaseMissing", False),
        ("pg_dump: error: Dumping the contents of table \"t\" failed: PQgetCopyData() failed.\n"
         "pg_dump: detail: Error message from server: server closed the connection unexpectedly",
         "DatabaseUnreachable", False),
        ("pg_dump: error: query failed: FATAL:  terminating connection due to administrator command",
         "DatabaseUnreachable", False),
        ("pg_dump: error: query failed: ERROR:  permission denied for table t", "InsufficientPrivilege", True),
        ('pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "t"',
         "InsufficientPrivilege", True),
        ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", "LockTimeout", False),
        ("pg_dump: error: aborting because of server version mismatch", "VersionUnsupported", True),
        ('pg_restore: error: could not execute query: ERROR:  extension "postgis" is not available',
         "VersionUnsupported", True),
        ('pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "b": No space left on device',
         "NoSpace", False),
        ("psql:<stdin>:5: error: COPY data transfer failed: server closed the connection unexpectedly",
         "DatabaseUnreachable", False),
        ("psql:<stdin>:5: error: connection to server was lost", "DatabaseUnreachable", False),
        ("psql:<stdin>:3: ERROR:  permission denied for table t", "InsufficientPrivilege", True),
        ("pg_dump: error: something new", "DumpFailed", False),
        ("", "DumpFailed", False),
    ],
)  # fmt: skip
def test_each_cause_has_its_reason(text: str, reason: str, for_good: bool) -> None:
    failure = program_failure("pg_dump", text, PLACE, "DumpFailed")
    assert (failure.reason, isinstance(failure, Stalled)) == (reason, for_good)


def test_a_load_that_fails_for_an_unknown_reason_fails_for_good() -> None:
    assert isinstance(program_failure("pg_restore", "pg_restore: error: new", PLACE, "RestoreFailed"), Stalled)


@pytest.mark.parametrize(
    "text",
    [
        'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "Jane Canary"\n'
        "CONTEXT:  COPY t, line 1, column a: Jane Canary",
        'pg_restore: error: could not execute query: ERROR:  duplicate key value violates unique constraint "k"\n'
        "DETAIL:  Key (email)=(Jane Canary) already exists.\nCommand was: COPY t (email) FROM stdin;\nJane Canary",
        "Jane Canary: connection to server at Broken pipe",
    ],
)
def test_rows_do_not_get_through(text: str) -> None:
    failure = program_failure("pg_restore", text, PLACE, "RestoreFailed")
    assert "Jane" not in failure.message
    assert failure.reason == "RestoreFailed"


def test_a_name_without_address_is_told_as_such() -> None:
    for text in ("failed to resolve host 'db': [Errno -2]", 'could not translate host name "db" to address'):
        failure = connection_failure(text, PLACE)
        assert failure.reason == "DatabaseUnreachable"
        assert "db has no address" in failure.message
