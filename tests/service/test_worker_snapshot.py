"""The snapshot protocol: what the manifest counts is what the dump holds, whatever DDL happens at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from aada_operator.core.errors import Waiting
from aada_operator.worker.catalog import TableName, list_tables
from aada_operator.worker.content import measure_tables
from aada_operator.worker.server import Connection, Login, Server
from aada_operator.worker.snapshot import Snapshot, hold_snapshot, joined
from tests.service.servers import PostgresServer, wait_for


@pytest.fixture
def server(postgres: PostgresServer) -> Server:
    return Server(str(postgres.folder), postgres.port, "disable", lambda: Login(postgres.user, ""))


def counts(server: Server, database: str, snapshot: Snapshot) -> dict[str, int]:
    with joined(server, database, snapshot) as reader:
        return {table.name: table.rows for table in measure_tables(reader, snapshot.tables, {})}


def seen(postgres: PostgresServer, server: Server, database: str, meanwhile: str) -> dict[str, int]:
    """Rows per table in a snapshot, when statements run between its first look at the catalog and its locks."""

    def take() -> dict[str, int]:
        with hold_snapshot(server, database, 20) as snapshot:
            return counts(server, database, snapshot)

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
    with ThreadPoolExecutor(1) as executor, postgres.admin(database) as blocker:
        blocker.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        taken = executor.submit(take)
        wait_for(lambda: bool(postgres.value(waiting) == 1), "the backup to wait for its locks")
        blocker.execute(meanwhile.encode())
        blocker.execute("COMMIT")
        return taken.result()


class TestBetweenLookAndLock:
    @pytest.fixture
    def database(self, database: str, postgres: PostgresServer) -> str:
        postgres.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS i", database)
        return database

    def test_a_truncated_and_refilled_table_is_seen_as_it_is_then(
        self, postgres: PostgresServer, server: Server, database: str
    ) -> None:
        """With a snapshot from before the lock it would look empty, to the count and to the dump alike."""
        meanwhile = "TRUNCATE t; INSERT INTO t SELECT generate_series(1, 5)"
        assert seen(postgres, server, database, meanwhile) == {"t": 5}

    def test_a_new_table_is_in_it(self, postgres: PostgresServer, server: Server, database: str) -> None:
        assert seen(postgres, server, database, "CREATE TABLE u AS SELECT 1 AS i") == {"t": 10, "u": 1}

    def test_a_dropped_table_is_not(self, postgres: PostgresServer, server: Server, database: str) -> None:
        postgres.execute("CREATE TABLE u AS SELECT 1 AS i", database)
        assert seen(postgres, server, database, "DROP TABLE u") == {"t": 10}

    def test_a_new_column_is_no_obstacle(self, postgres: PostgresServer, server: Server, database: str) -> None:
        assert seen(postgres, server, database, "ALTER TABLE t ADD COLUMN late text DEFAULT 'late'") == {"t": 10}


class TestHeld:
    def test_what_is_written_later_is_not_in_it(self, postgres: PostgresServer, server: Server, database: str) -> None:
        postgres.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS i", database)
        with hold_snapshot(server, database, 5) as snapshot:
            postgres.execute("INSERT INTO t SELECT generate_series(1, 10); UPDATE t SET i = i + 1", database)
            assert counts(server, database, snapshot) == {"t": 10}

    def test_ddl_cannot_pull_a_table_away(self, postgres: PostgresServer, server: Server, database: str) -> None:
        postgres.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS i", database)
        with hold_snapshot(server, database, 5) as snapshot:
            refused = "DO $$ BEGIN SET lock_timeout = '100ms'; TRUNCATE t; RAISE 'not refused';"
            postgres.execute(f"{refused} EXCEPTION WHEN lock_not_available THEN NULL; END $$", database)
            assert counts(server, database, snapshot) == {"t": 10}

    def test_a_database_whose_tables_never_stand_still_is_given_up(
        self, postgres: PostgresServer, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = iter(range(100))

        def listing(connection: Connection) -> list[TableName]:
            tables = list_tables(connection)
            postgres.execute(f"CREATE TABLE restless_{next(number)} (i int)", database)
            return tables

        monkeypatch.setattr("aada_operator.worker.snapshot.list_tables", listing)
        with pytest.raises(Waiting) as given_up, hold_snapshot(server, database, 5):
            pass
        assert given_up.value.reason == "SnapshotFailed"
