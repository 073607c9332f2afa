"""A real PgBouncer before the PostgreSQL of the tests, and an AadaLms whose application connects through it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from aada_operator.core.resources import Object
from tests.service.rotation_world import RotationWorld, drop
from tests.service.servers import PostgresServer, free_port, unprivileged, wait_for

PGBOUNCER = "/usr/sbin/pgbouncer"
CONSOLE = {"username": "console", "password": "canary-console"}
# As docs/rotations.md shows it.
LOOKUP = """
CREATE ROLE {role} LOGIN PASSWORD '{password}';
CREATE SCHEMA pgbouncer;
CREATE FUNCTION pgbouncer.user_lookup(login name) RETURNS TABLE (username name, verifier text)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT usename, passwd FROM pg_shadow WHERE usename = login AND NOT usesuper';
REVOKE ALL ON FUNCTION pgbouncer.user_lookup FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO {role};
GRANT EXECUTE ON FUNCTION pgbouncer.user_lookup TO {role};
"""
CONFIGURATION = """
[databases]
{database} = host={host} port={server_port} {options}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {folder}/users.txt
{auth_query}
admin_users = {admin}
pool_mode = transaction
{settings}
"""
AUTH_QUERY = """auth_user = {role}
auth_query = SELECT username, verifier FROM pgbouncer.user_lookup($1)"""


class PoolerServer:
    """One PgBouncer, as its documentation advises: transactions, SCRAM, and users asked of the server.

    ``users`` are those of its auth_file; ``asks`` is whether it has an auth_query for all others;
    ``settings`` are further lines of its file, ``options`` those of the database in it.
    """

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        self.postgres, self.database, self.role = postgres, database, f"pooler_{database}"
        self.folder = Path(tempfile.mkdtemp(prefix="aada-pooler-"))
        self.host, self.port = "127.0.0.1", free_port()
        self.users: dict[str, str] = {}
        self.asks, self.admin, self.auth_type = True, CONSOLE["username"], "scram-sha-256"
        self.settings = self.options = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self) -> None:
        """The role and the function with which it asks the server for users."""
        self.postgres.execute(LOOKUP.format(role=self.role, password="canary-lookup"), self.database)

    def _configure(self) -> None:
        """Write its files."""
        users = {self.role: "canary-lookup", CONSOLE["username"]: CONSOLE["password"], **self.users}
        (self.folder / "users.txt").write_text("".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
        asked = AUTH_QUERY.format(role=self.role) if self.asks else ""
        told = {
            name: getattr(self, name)
            for name in ("database", "host", "port", "folder", "admin", "auth_type", "settings", "options")
        }
        text = CONFIGURATION.format(**told, server_port=self.postgres.port, auth_query=asked)
        (self.folder / "pgbouncer.ini").write_text(text)
        if unprivileged():
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")

    def start(self) -> None:
        """Start it, as it is to be, and wait until it listens."""
        self._configure()
        argv = ["setpriv", "--pdeathsig", "KILL", PGBOUNCER, str(self.folder / "pgbouncer.ini")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder, **unprivileged())
        wait_for(self._listens, "PgBouncer to listen")

    def _listens(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PgBouncer ended: {self.log()[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def stop(self) -> None:
        """Kill it: the connections of all clients break."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def log(self) -> str:
        """What it wrote since it was first started."""
        return (self.folder / "log").read_text()

    def connect(self, user: str, password: str) -> psycopg.Connection[Any]:
        """Log in as the application does; prepared statements would stay with a session of somebody else."""
        where: dict[str, Any] = {"host": self.host, "port": self.port, "dbname": self.database}
        return psycopg.connect(user=user, password=password, autocommit=True, prepare_threshold=None, **where)


class Crowd(threading.Thread):
    """Pods that log in again and again with what they were started with; ``refused`` counts what must never be."""

    def __init__(self, pooler: PoolerServer) -> None:
        super().__init__(daemon=True)
        self.pods: dict[str, tuple[str, str]] = {}
        self.lock = threading.Lock()
        self.logins = 0
        self.refused: list[str] = []
        self._pooler = pooler
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):  # all the time, and the processors are there for the others too
            with self.lock:
                for user, password in self.pods.values():
                    self._log_in(user, password)

    def _log_in(self, user: str, password: str) -> None:
        self.logins += 1
        try:
            with self._pooler.connect(user, password) as session:
                session.execute("SELECT 1")
        except psycopg.Error as error:
            self.refused.append(str(error))

    def leave(self) -> None:
        """The last login is over."""
        self._over.set()
        self.join()


class PooledWorld(RotationWorld):
    """The application's pods go through the pooler; operator and migrations do not. ``crowd`` is there on request."""

    def __init__(self, pooler: PoolerServer) -> None:
        self.pooler = pooler
        self.crowd = Crowd(pooler)
        super().__init__(pooler.postgres, pooler.database)
        self.server.secret("pooler-admin", **CONSOLE)

    def create(self, **patch: Any) -> Object:
        made = super().create(**patch)
        place = {"host": self.pooler.host, "port": self.pooler.port, "adminSecretRef": {"name": "pooler-admin"}}
        made["spec"]["database"]["pooler"] = place
        return made

    def declare(self, **patch: Any) -> Object:
        """The pooler is there once the database is."""
        self.pooler.prepare()
        self.pooler.start()
        return super().declare(**patch)

    async def turns(self, count: int = 200, *, until: str = "", seconds: float = 1) -> None:
        """More of them: a pooler ends sessions in its own time, whatever the clock of the test says."""
        await super().turns(count, until=until, seconds=seconds)

    def log_in(self, user: str, password: str) -> psycopg.Connection[Any]:
        return self.pooler.connect(user, password)

    def direct(self, user: str, password: str) -> psycopg.Connection[Any]:
        """Log in past the pooler."""
        return super().log_in(user, password)

    def run_pods(self) -> None:
        """Each pod asks something at each turn, so that the pooler needs a session for it; a lost one is made anew."""
        with self.crowd.lock:
            before = dict(self.sessions)
            with suppress(psycopg.OperationalError):
                super().run_pods()
            for name, session in self.sessions.items():
                if session is not before.get(name):
                    held = self.secret()
                    self.crowd.pods[name] = (held["username"], held["password"])
        for name in self.sessions:
            with suppress(psycopg.OperationalError):
                self._ask(name)

    def _ask(self, name: str) -> None:
        if self.sessions[name].closed:
            self.sessions[name] = self.log_in(*self.crowd.pods[name])
        self.sessions[name].execute("SELECT 1")

    def server_sessions(self, user: str) -> int:
        """How many sessions of a login the server has."""
        return int(self.postgres.value(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'"))

    def may_log_in(self, user: str, password: str) -> bool:
        """Whether pooler and server let it in as far as a question."""
        with suppress(psycopg.Error), self.log_in(user, password) as session:
            session.execute("SELECT 1")
            return True
        return False

    def clear(self) -> None:
        """What it left on the server."""
        if self.crowd.is_alive():
            self.crowd.leave()
        self.close()
        self.pooler.stop()
        drop(self)
        self.postgres.execute(f"DROP ROLE IF EXISTS {self.pooler.role}")
