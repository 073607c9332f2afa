"""A Cutover between a real PostgreSQL and an API server in memory, by an operator that may be killed anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aada_operator.core.database import complete_mark
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, JOBS, RESTORES, Object
from tests.service.cutover_process import FiledServer, visit_restore
from tests.service.operator_kills import Killer
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import SetClock, custom_resource
from tests.unit.backups.school import LMS_SPEC, POLICY_SPEC, Bucket
from tests.unit.restores.rehearsal import JOB, RESTORE, RESULT, Rehearsal
from tests.unit.restores.rehearsal import PostgresServer as NoServer

PASSWORD = "canary-of-the-application"
SAFETY = f"{RESTORE}-safety"
REVISION = "0002"
# What belongs to a database itself: a Cutover must leave the live one with all of it.
_PROPERTIES = """
SELECT datallowconn, datconnlimit, pg_get_userbyid(datdba) AS owner,
       ARRAY(SELECT item::text FROM unnest(datacl) AS item ORDER BY 1) AS grants,
       ARRAY(SELECT setrole::regrole::text || array_to_string(setconfig, ',') FROM pg_db_role_setting
              WHERE setdatabase = d.oid ORDER BY 1) AS settings
  FROM pg_database d WHERE datname = %s
"""


@dataclass
class CutoverWorld(Rehearsal):
    """One Restore in mode Cutover of ``live``, which has content of its own; ``revision`` is that of the restored."""

    postgres: PostgresServer = field(kw_only=True)
    killer: Killer = field(kw_only=True)
    live: str = field(kw_only=True)
    revision: str = REVISION
    sessions: list[psycopg.Connection[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.role = f"{self.live}_app"
        self._make_live()
        database = {"host": self.postgres.host, "port": self.postgres.port, "name": self.live, "sslMode": "disable"}
        spec = LMS_SPEC | {"database": database | {"adminSecretRef": {"name": "db-admin"}}}
        self.api.add(AADA_LMS, custom_resource("AadaLms", "aada", spec))
        self.api.add(BACKUP_POLICIES, custom_resource("BackupPolicy", "nightly", POLICY_SPEC))
        self.api.secret("s3", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
        self.api.secret("db-admin", username=self.postgres.user, password=self.postgres.password)
        self.api.secret("aada-db", username=self.role, password=PASSWORD)
        self.api.secret("identity", key="AGE-SECRET-KEY-1")
        self.backup("monday", schemaRevision=REVISION)
        self.restore("monday", target={"mode": "Cutover"}, mode="Auto")
        self.before = self.properties(self.live)

    def _make_live(self) -> None:
        self.postgres.execute(f"CREATE ROLE {self.role} LOGIN PASSWORD '{PASSWORD}'")
        self._fill(self.postgres.createdb(self.live, owner=self.role), "live", REVISION)
        self.postgres.execute(f"""
            ALTER DATABASE {self.live} CONNECTION LIMIT 42;
            REVOKE TEMPORARY ON DATABASE {self.live} FROM PUBLIC;
            ALTER DATABASE {self.live} SET work_mem TO '7MB';
            ALTER ROLE {self.role} IN DATABASE {self.live} SET timezone TO 'Europe/Berlin';
        """)

    def _fill(self, database: str, word: str, revision: str) -> None:
        statements = f"""
            CREATE TABLE content AS SELECT '{word}' AS word;
            CREATE TABLE alembic_version AS SELECT '{revision}' AS version_num;
            GRANT SELECT ON alembic_version TO {self.role};
        """
        self.postgres.execute(statements, database)

    def visit(self) -> float | None:
        """One visit by a new process of the operator, killed where the killer wants; the world goes on meanwhile."""
        filed = self.api
        assert isinstance(filed, FiledServer)
        filed.clock, filed.killer = self.clock, self.killer
        filed.save()
        visit_restore(filed.file, self.bucket, RESTORE)
        self.api = found = FiledServer.load(filed.file)
        assert found.killer
        vars(self.killer).update(vars(found.killer))
        self.clock.advance(seconds=3)
        return None

    def turn(self) -> None:
        """A visit, and then the part of the cluster: the worker has loaded, the safety backup is taken."""
        self.visit()
        if JOB in self.jobs and not self.api.read(JOBS, JOB).get("status"):
            self.end_job()
        if SAFETY in self.api.names(BACKUPS):
            self.api.read(BACKUPS, SAFETY)["status"] = {"phase": "Completed"}

    def end_job(self, name: str = JOB, said: Object | None = RESULT) -> None:
        """The worker has made the restored database."""
        made, uid = self.task(name)["database"]["name"], self.task(name)["uid"]
        self._fill(self.postgres.createdb(made), "restored", self.revision)
        self.postgres.execute(f"COMMENT ON DATABASE {made} IS '{complete_mark(uid)}'")
        super().end_job(name, said)

    def turns(self, field: str, until: str, most: int = 80) -> None:
        """Turns until a field of the status, of two levels at most, has a value of this beginning."""
        for _ in range(most):
            self.turn()
            found: Any = self.status
            for part in field.split("."):
                found = found.get(part) or {}
            if str(found or "").startswith(until) and found:
                return
        raise AssertionError(f"{field} is not {until} after {most} turns: {self.status}")

    def content(self, database: str) -> str:
        """The word that tells which of the two it is."""
        return str(self.postgres.value("SELECT word FROM content", database))

    def databases(self) -> set[str]:
        """Those of this world on the server."""
        query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        with self.postgres.admin() as connection:
            return {name for (name,) in connection.execute(query, [self.live])}

    def properties(self, database: str) -> tuple[Any, ...]:
        """Who may be in it, how many, and with which settings."""
        with self.postgres.admin() as connection:
            row = connection.execute(_PROPERTIES, [database]).fetchone()
        assert row, f"no database {database}"
        return row

    @property
    def restored(self) -> Object:
        """The Restore."""
        return self.api.read(RESTORES, RESTORE)

    def log_in(self) -> psycopg.Connection[Any]:
        """A session of the application in the live database, until the world ends."""
        where: dict[str, Any] = {"host": self.postgres.host, "port": self.postgres.port, "dbname": self.live}
        session = psycopg.connect(user=self.role, password=PASSWORD, autocommit=True, **where)
        self.sessions.append(session)
        return session

    def may_log_in(self) -> bool:
        """Whether the application gets in."""
        return self.log_in().execute("SELECT 1").fetchone() == (1,)

    def locks(self) -> int:
        """Locks of the operator that are held on the server."""
        return int(self.postgres.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

    def remove(self) -> None:
        """What it has left on the server."""
        for session in self.sessions:
            session.close()
        for name in self.databases():
            self.postgres.dropdb(name)
        self.postgres.execute(f"DROP ROLE {self.role}")


@contextmanager
def cutover_world(postgres: PostgresServer, folder: Path, killer: Killer, **fields: Any) -> Iterator[CutoverWorld]:
    """A school with a backup, a live database, and a Restore that is to take its place."""
    clock, live = SetClock(), f"cut_{os.urandom(4).hex()}"
    server = FiledServer(clock, file=folder / "api-server")
    world = CutoverWorld(clock, server, Bucket(), NoServer(), postgres=postgres, killer=killer, live=live, **fields)
    try:
        yield world
    finally:
        world.remove()
