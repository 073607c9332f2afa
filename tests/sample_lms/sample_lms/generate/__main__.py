"""`python -m sample_lms.generate --size 50MB [--seed N] [--progress]`: fill an empty, migrated database."""

import argparse
import io
import json
import os
import sys
import time
from itertools import islice
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError
from sqlalchemy import create_engine

from sample_lms.generate.plan import SMALLEST, plan_for
from sample_lms.generate.rows import KNOWN_EMAIL, KNOWN_PASSWORD, Rows, Table

ROWS_PER_BATCH = 500
TABLES_WITH_IDENTITY = ("users", "courses", "lessons", "enrolments", "submissions")


class Progress:
    """Says on standard error, once a second, how far a table is."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._last = time.monotonic()

    def report(self, table: Table, done: int) -> None:
        now = time.monotonic()
        if self._wanted and (now - self._last >= 1 or done == table.count):
            print(f"{table.name}: {done:,} of {table.count:,} rows", file=sys.stderr, flush=True)
            self._last = now


def copy(cursor: Any, table: Table, progress: Progress) -> None:
    """Stream a table's rows to the server, some megabytes at a time."""
    lines = table.lines()
    done = 0
    while batch := list(islice(lines, ROWS_PER_BATCH)):
        cursor.copy_expert(f"COPY {table.name} ({table.columns}) FROM STDIN", io.BytesIO("".join(batch).encode()))
        done += len(batch)
        progress.report(table, done)


def copy_users(cursor: Any, users: Table, encryption_key: str, progress: Progress) -> None:
    """Load users into a temporary table; the server encrypts their addresses on the way into the real one."""
    others = "password_hash, full_name, role, profile, created_at"
    cursor.execute(
        f"CREATE TEMPORARY TABLE {users.name} ON COMMIT DROP AS SELECT id, '' AS email, {others} FROM users LIMIT 0"
    )
    copy(cursor, users, progress)
    cursor.execute(
        f"INSERT INTO users (id, email_encrypted, {others})"
        f" SELECT id, pgp_sym_encrypt(email, %s), {others} FROM {users.name}",
        [encryption_key],
    )


def continue_identities(cursor: Any) -> None:
    """COPY brought its own ids; the next row of the application comes after them."""
    for table in TABLES_WITH_IDENTITY:
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")


def fill(cursor: Any, size: int, seed: int, progress: Progress) -> dict[str, int]:
    """Load about `size` bytes of rows and return their count per table; SystemExit when there are users already."""
    cursor.execute("SELECT EXISTS (SELECT FROM users)")
    if cursor.fetchone()[0]:
        sys.exit("the database already holds users: nothing was changed")
    rows = Rows(plan_for(size), seed)
    users = rows.users()
    copy_users(cursor, users, os.environ["ENCRYPTION_KEY"], progress)
    counts = {"users": users.count}
    for table in rows.tables():
        copy(cursor, table, progress)
        counts[table.name] = table.count
    continue_identities(cursor)
    cursor.execute("ANALYZE")
    return counts


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sample_lms.generate", description=__doc__)
    parser.add_argument("--size", type=size_in_bytes, required=True, help="of the whole database, as 50MB or 1GiB")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--progress", action="store_true", help="report on standard error")
    return parser.parse_args()


def size_in_bytes(text: str) -> int:
    """Parse a size; argparse.ArgumentTypeError when it is none, or less than an empty database takes."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 50MB") from error
    if size < SMALLEST:
        raise argparse.ArgumentTypeError(f"the smallest size is {SMALLEST // 1_000_000}MB")
    return size


def main() -> None:
    options = arguments()
    started = time.monotonic()
    engine = create_engine(os.environ["DATABASE_URL"], hide_parameters=True)
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        counts = fill(cursor, options.size, options.seed, Progress(options.progress))
        cursor.execute("SELECT pg_database_size(current_database())")
        database_bytes = cursor.fetchone()[0]
    report = {
        "seed": options.seed,
        "rows": counts,
        "databaseBytes": database_bytes,
        "seconds": round(time.monotonic() - started, 2),
        "login": {"email": KNOWN_EMAIL, "password": KNOWN_PASSWORD},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
