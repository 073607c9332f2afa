"""A backup of a database with everything in it is verified, restored, and equal; hostile settings change nothing."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
import zstandard
from psycopg import sql

from aada_operator.api.manifest import Part, lms_folder
from aada_operator.worker.catalog import list_tables
from aada_operator.worker.content import measure_tables
from aada_operator.worker.formats import FRAMES, PLAIN_TYPES
from aada_operator.worker.server import Login, Server
from tests.service.servers import POSTGRES_BIN, PostgresServer, S3Server
from tests.service.worker_harness import Job, folder_of

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
HOSTILE = """
    ALTER DATABASE {0} SET datestyle = 'SQL, DMY'; ALTER DATABASE {0} SET timezone = 'Asia/Kathmandu';
    ALTER DATABASE {0} SET intervalstyle = 'sql_standard'; ALTER DATABASE {0} SET extra_float_digits = -5;
    ALTER DATABASE {0} SET bytea_output = 'escape'; ALTER DATABASE {0} SET search_path = 'nowhere';
    ALTER DATABASE {0} SET client_encoding = 'LATIN1'; ALTER DATABASE {0} SET statement_timeout = '1ms';
    ALTER DATABASE {0} SET lock_timeout = '1ms'; ALTER DATABASE {0} SET idle_in_transaction_session_timeout = '1ms';
    ALTER DATABASE {0} SET idle_session_timeout = '1s'; ALTER DATABASE {0} SET row_security = on;
    ALTER DATABASE {0} SET default_transaction_isolation = 'serializable';
"""


@pytest.fixture(scope="module")
def everything(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.createdb()
    postgres.execute(EVERYTHING, name)
    yield name
    postgres.dropdb(name)


@pytest.fixture(scope="module")
def job(postgres: PostgresServer, s3: S3Server) -> Iterator[Job]:
    with Job(postgres, s3, s3.make_bucket()) as it:
        yield it


@pytest.fixture(scope="module")
def backed_up(job: Job, everything: str) -> str:
    """Name of a backup of everything."""
    job.backup(everything, "everything", revision_table="alembic_version")
    return "everything"


def program(postgres: PostgresServer, name: str, database: str) -> list[str]:
    """Arguments of a program of PostgreSQL that works on a database."""
    where = ["-h", str(postgres.folder), "-p", str(postgres.port), "-U", postgres.user, "-d", database]
    return [str(POSTGRES_BIN / name), *where]


def dump_text(postgres: PostgresServer, database: str) -> list[str]:
    """A plain dump as sorted lines, without the one table whose columns have another physical order after a restore."""
    argv = [
        str(POSTGRES_BIN / "pg_dump"),
        "-h",
        str(postgres.folder),
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
        "-d",
        database,
    ]
    argv += ["--column-inserts", "--no-comments"]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env={"PGTZ": "UTC", "PATH": "/usr/bin"})
    hidden = ("--", "\\restrict", "\\unrestrict", "INSERT INTO public.child ")
    return sorted(line for line in done.stdout.splitlines() if line and not line.startswith(hidden))


KEYS = """
SELECT conrelid::regclass::text, conname, convalidated, condeferrable, condeferred, pg_get_constraintdef(oid)
FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2
"""
TRIGGERS = """
SELECT tgname::text, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal UNION ALL
SELECT evtname::text, evtenabled::text, concat(evtevent, evttags, evtfoid::regproc) FROM pg_event_trigger ORDER BY 1
"""


def rules(postgres: PostgresServer, database: str, query: str) -> list[tuple[object, ...]]:
    """Keys or triggers of a database, as its server understands them."""
    with postgres.admin(database) as connection:
        return list(connection.execute(query.encode()))


class TestRoundTrip:
    def test_the_manifest_says_what_is_in_the_database(
        self, job: Job, backed_up: str, postgres: PostgresServer, everything: str
    ) -> None:
        manifest = job.manifest(backed_up)
        assert manifest is not None
        tables = {(table.schema_, table.name): table.rows for table in manifest.tables}
        assert tables["public", "users"] == 502
        assert tables["Schöne Schule", "Kürs -- %s"] == 3
        assert tables["public", "no_columns"] == 3
        assert (tables["public", "events_2025"], tables["public", "events_rest"]) == (3, 37)
        assert tables["public", "parent"] == 1
        assert tables["pg_catalog", "pg_largeobject"] == 2
        assert ("public", "events") not in tables
        assert manifest.schema_revision == "ae1027a6acf"
        assert {extension.name for extension in manifest.extensions} == {"citext", "pgcrypto", "plpgsql"}
        roles = {role.name: role.member_of for role in manifest.roles}
        assert roles == {"postgres": [], "lms_owner": [], "lms reader": ["lms_group"], "lms_group": []}
        sequences = {sequence.name: (sequence.last_value, sequence.is_called) for sequence in manifest.sequences}
        assert sequences["receipts"] == (995, True)
        assert sequences["untouched"] == (1, False)
        assert manifest.database.name == everything
        assert manifest.database.system_identifier == postgres.value(
            "SELECT system_identifier::text FROM pg_control_system()"
        )

    def test_verification_finds_it_equal(self, job: Job, backed_up: str) -> None:
        result = job.verify(backed_up)
        manifest = job.manifest(backed_up)
        assert manifest is not None
        assert all(check.ok for check in result.checks)
        assert {check.name for check in result.checks} >= {"hashes", "rows", "digests", "sequences", "schema revision"}
        assert (result.tables, result.rows, result.digest) == (
            len(manifest.tables),
            manifest.rows,
            manifest.digest.value,
        )
        assert result.restore_seconds > 0
        assert job.left_behind() == []

    def test_the_restored_database_dumps_like_the_original(
        self, job: Job, backed_up: str, postgres: PostgresServer, everything: str
    ) -> None:
        result = job.restore("restored_copy", backed_up)
        assert not result.adopted
        assert dump_text(postgres, "restored_copy") == dump_text(postgres, everything)
        keys, triggers = (rules(postgres, everything, query) for query in (KEYS, TRIGGERS))
        assert {(key[1], *key[2:5]) for key in keys} == {
            ("courses_lead_fkey", True, False, False),
            ("courses_part_of_fkey", True, False, False),
            ("enrolments_course_fkey", True, True, True),
            ("enrolments_student_fkey", False, False, False),
        }
        assert [trigger[:2] for trigger in triggers] == [
            ("always", "A"), ("asleep", "D"), ("late", "O"), ("no_extensions", "O"), ("noted", "O"), ("off", "D")
        ]  # fmt: skip
        assert rules(postgres, "restored_copy", KEYS) == keys
        assert rules(postgres, "restored_copy", TRIGGERS) == triggers
        assert postgres.value("SELECT count(*) FROM changes", "restored_copy") == 31, "no trigger ran in the load"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'restored_copy'"
        assert postgres.value(owner) == "postgres"
        # The next backup of the copy describes the same content.
        job.backup("restored_copy", "second", revision_table="alembic_version")
        first, second = job.manifest(backed_up), job.manifest("second")
        assert first is not None
        assert second is not None
        assert first.digest == second.digest
        postgres.dropdb("restored_copy")

    def test_a_restored_sequence_goes_on_where_the_original_would(
        self, job: Job, backed_up: str, postgres: PostgresServer
    ) -> None:
        job.restore("going_on", backed_up, uid="going-on")
        assert postgres.value("SELECT nextval('receipts')", "going_on") == 990
        assert postgres.value("SELECT nextval('untouched')", "going_on") == 1
        postgres.dropdb("going_on")

    def test_it_can_be_restored_by_hand_with_age_zstd_psql_and_pg_restore(
        self, job: Job, backed_up: str, postgres: PostgresServer, database: str
    ) -> None:
        manifest = job.manifest(backed_up)
        assert manifest is not None

        def run(name: str, *arguments: str, data: bytes) -> None:
            argv = [*program(postgres, name, database), *arguments]
            subprocess.run(argv, input=data, check=True, capture_output=True)

        schema = b"".join(self.plain(job, backed_up, part) for part in manifest.parts if part.kind == "schema")
        run("pg_restore", "--section=pre-data", data=schema)
        for part in (part for part in manifest.parts if part.kind == "copy"):
            (table,) = [t for t in manifest.tables if (t.schema_, t.name) == (part.schema_, part.table)]
            columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
            target = sql.Identifier(str(part.schema_), str(part.table))
            frame = FRAMES[table.format]
            statement = sql.SQL("COPY {} ({}) FROM STDIN{}").format(target, columns, sql.SQL(frame.option)).as_string()
            data = frame.header + self.plain(job, backed_up, part) + frame.trailer
            run("psql", "-v", "ON_ERROR_STOP=1", "-c", statement, data=data)
        rest = b"".join(self.plain(job, backed_up, part) for part in manifest.parts if part.kind == "rest")
        run("pg_restore", "--section=data", data=rest)
        run("pg_restore", "--section=post-data", data=schema)
        assert postgres.value("SELECT count(*) FROM users", database) == 502
        assert dump_text(postgres, database) == dump_text(postgres, str(manifest.database.name))

    def plain(self, job: Job, name: str, part: Part) -> bytes:
        """A part, decrypted and decompressed, after a look at its hash and its sizes."""
        stored = job.s3.file(job.bucket, f"{lms_folder(folder_of(name))}/{part.key}").read_bytes()
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (part.size, part.sha256)
        compressed = pyrage.decrypt(stored, [pyrage.x25519.Identity.from_str(job.identity)])
        data = zstandard.ZstdDecompressor().decompressobj().decompress(compressed)
        assert len(data) == part.plain_size
        return data

    def test_without_encryption_it_is_plain_zstd(self, job: Job, everything: str) -> None:
        job.backup(everything, "open", recipients=[])
        assert job.part("open", kind="schema").name == "schema-00000.pgc.zst"
        stored = job.part("open", kind="schema").read_bytes()
        assert zstandard.ZstdDecompressor().decompressobj().decompress(stored).startswith(b"PGDMP")
        job.verify("open")

    def test_an_archive_cut_into_several_objects_is_one_backup(self, job: Job, everything: str) -> None:
        job.backup(everything, "pieces", object_bytes=2_000)
        manifest = job.manifest("pieces")
        assert manifest is not None
        names = [part.key.rpartition("/")[2] for part in manifest.parts]
        assert names[:2] == ["schema-00000.pgc.zst.age", "schema-00001.pgc.zst.age"]
        assert all(part.size <= 2_000 for part in manifest.parts if part.kind != "copy")
        job.verify("pieces")

    def test_an_empty_database_is_a_backup_too(self, job: Job, database: str) -> None:
        result = job.backup(database, "nothing", revision_table="alembic_version")
        assert (result.tables, result.rows, result.schema_revision) == (0, 0, None)
        job.verify("nothing")


class TestHostileSettings:
    def test_settings_of_the_database_change_no_value(
        self, job: Job, backed_up: str, everything: str, postgres: PostgresServer
    ) -> None:
        postgres.execute(HOSTILE.format(everything))
        try:
            job.backup(everything, "hostile", revision_table="alembic_version")
        finally:
            postgres.execute(f"ALTER DATABASE {everything} RESET ALL")
        friendly, hostile = job.manifest(backed_up), job.manifest("hostile")
        assert friendly is not None
        assert hostile is not None
        assert hostile.digest == friendly.digest
        job.verify("hostile")

    def test_settings_of_the_role_on_the_target_change_no_value(
        self, job: Job, backed_up: str, postgres: PostgresServer
    ) -> None:
        postgres.execute(HOSTILE.format(postgres.user).replace("DATABASE", "ROLE"))
        try:
            job.restore("hostile_target", backed_up, uid="hostile")
        finally:
            postgres.execute(f"ALTER ROLE {postgres.user} RESET ALL")
        postgres.dropdb("hostile_target")


class TestDigest:
    """The digest notices what a count does not, and nothing else."""

    @pytest.fixture
    def server(self, postgres: PostgresServer) -> Server:
        return Server(str(postgres.folder), postgres.port, "disable", lambda: Login(postgres.user, ""))

    def digest(self, server: Server, database: str) -> tuple[int, str]:
        with server.connect(database) as connection:
            (table,) = measure_tables(connection, list_tables(connection), {})
        return table.rows, table.digest

    def test_the_order_of_rows_does_not_matter(self, server: Server, postgres: PostgresServer, database: str) -> None:
        postgres.execute("CREATE TABLE a AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100) i", database)
        before = self.digest(server, database)
        postgres.execute("CREATE TABLE b AS TABLE a ORDER BY m; DROP TABLE a; ALTER TABLE b RENAME TO a", database)
        assert self.digest(server, database) == before

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE a SET m = 'x' WHERE i = 50",
            "UPDATE a SET m = NULL WHERE i = 50",
            "UPDATE a SET i = i + 1 WHERE i = 50",
            # An XOR of hashes would not see the twins at all.
            "UPDATE a SET m = 'other twins' WHERE m = 'twins'",
            "UPDATE a SET i = CASE i WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE i END",
        ],
    )
    def test_every_change_of_content_is_noticed(
        self, server: Server, postgres: PostgresServer, database: str, change: str
    ) -> None:
        postgres.execute("CREATE TABLE a AS SELECT i, md5(i::text) AS m FROM generate_series(1, 100) i", database)
        postgres.execute("INSERT INTO a VALUES (0, 'twins'), (0, 'twins')", database)
        rows, digest = self.digest(server, database)
        postgres.execute(change, database)
        assert self.digest(server, database) != (rows, digest)
        assert self.digest(server, database)[0] == rows


VALUES = {
    "bool": ["true", "false"],
    "int2": ["-32768", "32767"],
    "int4": ["-2147483648", "2147483647"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "float4": ["NaN", "-Infinity", "1e-45", "-0"],
    "float8": ["NaN", "Infinity", "5e-324", "0.1"],
    "numeric": ["NaN", "-Infinity", "0.00", "-12345678901234567890.123456789"],
    "text": ["", "\\N", "\\.\nCOPY 1\n", "Schöne Grüße 🎓\t\r\n"],
    "varchar": ["", "ab "],
    "bpchar": ["a ", ""],
    "bytea": ["", "\\xffff", "\\x0a5c2e0a434f505920310a"],
    "json": ['{"b": 1, "a":  [null]}', "null"],
    "jsonb": ['{"b": 1e400, "a": "\\u00e4"}', "[]"],
    "uuid": ["00000000-0000-0000-0000-000000000001"],
    "date": ["infinity", "0044-03-15 BC", "2024-02-29"],
    "time": ["24:00:00", "00:00:00.000001"],
    "timetz": ["23:59:59.999999-15:59", "00:00+05:45"],
    "timestamp": ["-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["infinity", "2024-03-31 02:30:00.123456+01"],
    "interval": ["-1 year 2 mons -3 days 04:05:06.789", "178000000 years"],
    "inet": ["10.0.0.1/8", "::ffff:1.2.3.4"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
}


class TestFormats:
    def test_every_type_that_is_copied_in_binary_comes_back_as_it_was(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        assert VALUES.keys() == set(PLAIN_TYPES)
        columns = ", ".join(f"of_{kind} {kind}" for kind in PLAIN_TYPES)
        with postgres.admin(database) as connection:
            connection.execute(f"CREATE TABLE plain (id int, {columns})".encode())
            for kind, values in VALUES.items():
                for value in [*values, None]:
                    connection.execute(f"INSERT INTO plain (of_{kind}) VALUES (%s::text::{kind})".encode(), [value])
        assert self.copied(job, postgres, database, "binary", "plain") == {"plain": "binary"}

    def test_what_one_server_alone_would_understand_is_copied_as_text(
        self, job: Job, postgres: PostgresServer, database: str
    ) -> None:
        postgres.execute(
            """
            CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE TYPE pair AS (a int, b text);
            CREATE TABLE enums (v mood); INSERT INTO enums VALUES ('sad');
            CREATE TABLE rows (v pair); INSERT INTO rows VALUES ((1, 'x'));
            CREATE TABLE arrays (v mood[]); INSERT INTO arrays VALUES ('{glad,sad}');
            CREATE TABLE classes (v regclass); INSERT INTO classes VALUES ('enums');
            """,
            database,
        )
        tables = ("enums", "rows", "arrays", "classes")
        assert self.copied(job, postgres, database, "text", *tables) == dict.fromkeys(tables, "text")

    def copied(self, job: Job, postgres: PostgresServer, database: str, name: str, *tables: str) -> dict[str, str]:
        """The formats of tables that a restored copy has with equal content."""
        job.backup(database, name)
        job.restore(f"restored_{name}", name, uid=name)
        assert dump_text(postgres, f"restored_{name}") == dump_text(postgres, database)
        postgres.dropdb(f"restored_{name}")
        manifest = job.manifest(name)
        assert manifest is not None
        return {table.name: table.format for table in manifest.tables if table.name in tables}
