"""A PostgreSQL server as the worker reaches it: pinned session settings, logins read anew, programs without secrets in
their arguments."""

import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aada_operator.adapters.postgres_errors import Place
from aada_operator.api.task import DATABASE_AUTHENTICATION_FAILED
from aada_operator.worker.failures import connection_failure

Connection = psycopg.Connection[tuple[Any, ...]]

# What a database's or a role's own settings may be, content must read and write the same: a date style or a time zone
# would change values silently, row security would make half a table look whole, time-outs would end a long dump.
PINNED = {
    "row_security": "off",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "client_encoding": "UTF8",
    "search_path": "",
    "timezone": "UTC",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
# Settings that older servers do not know, by the server_version_num that brought them.
PINNED_SINCE = {140000: ("idle_session_timeout", "0"), 170000: ("transaction_timeout", "0")}
APPLICATION = "aada-operator-worker"
# A server whose machine or network is gone says no goodbye: without these a session waits for it for 15 minutes, which
# is how long Linux goes on sending what nobody acknowledges. Seconds, but tcp_user_timeout is in milliseconds.
NETWORK: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_SERVICE = "worker"


@dataclass(frozen=True)
class Login:
    """A user with its password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Server:
    """Address and login of a server; ``login`` is asked at every connection, so that a rotated Secret is used."""

    host: str
    port: int
    ssl_mode: str
    login: Callable[[], Login]
    ca_file: Path | None = None

    def connect(self, database: str) -> Connection:
        """A new autocommit session with pinned settings; a refused login is read and tried once more.

        Raises:
            Waiting: DatabaseUnreachable, DatabaseAuthenticationFailed or DatabaseMissing.
        """
        login = self.login()
        try:
            return self._connect(database, login)
        except psycopg.OperationalError as error:
            failure = connection_failure(str(error), self.place(database))
        renewed = self.login()
        if failure.reason != DATABASE_AUTHENTICATION_FAILED or renewed == login:
            raise failure
        try:
            return self._connect(database, renewed)
        except psycopg.OperationalError as error:
            raise connection_failure(str(error), self.place(database)) from None

    def _connect(self, database: str, login: Login) -> Connection:
        connection = psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=database,
            user=login.username,
            password=login.password,
            sslmode=self.ssl_mode,
            sslrootcert=self._root_certificate(),
            gssencmode="disable",
            connect_timeout=10,
            application_name=APPLICATION,
            options=_options(PINNED),
            **NETWORK,
            autocommit=True,
            prepare_threshold=None,
        )
        for name, value in _newer_settings(connection.info.server_version).items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        return connection

    @contextmanager
    def tool_environment(self, server_version: int, database: str | None = None) -> Iterator[dict[str, str]]:
        """Variables that lead a program of PostgreSQL here; its password is in a file that lives as long as this.

        Nothing here is secret but that file: an environment can be read through /proc.
        """
        login = self.login()
        with tempfile.TemporaryDirectory(prefix="aada-login-") as folder:
            password_file = Path(folder) / "pgpass"
            password_file.touch(mode=0o600)
            password_file.write_text(f"*:*:*:*:{_escaped(login.password)}\n")
            # The programs read what has no variable of its own from a service file.
            service_file = Path(folder) / "pg_service.conf"
            service_file.write_text("\n".join([f"[{_SERVICE}]", *(f"{k}={v}" for k, v in NETWORK.items()), ""]))
            variables = {
                "PGHOST": self.host,
                "PGPORT": str(self.port),
                "PGUSER": login.username,
                "PGDATABASE": database,
                "PGPASSFILE": str(password_file),
                "PGSERVICEFILE": str(service_file),
                "PGSERVICE": _SERVICE,
                "PGSSLMODE": self.ssl_mode,
                "PGSSLROOTCERT": self._root_certificate(),
                "PGGSSENCMODE": "disable",
                "PGCONNECT_TIMEOUT": "10",
                "PGAPPNAME": APPLICATION,
                "PGOPTIONS": _options(PINNED | _newer_settings(server_version)),
                "PGTZ": "UTC",
                "LC_ALL": "C.UTF-8",
                "PATH": "/usr/bin:/bin",
            }
            yield {name: value for name, value in variables.items() if value is not None}

    def place(self, database: str) -> Place:
        """Where a session leads, for messages."""
        return Place(self.host, self.port, database, "the database's Secret")

    def _root_certificate(self) -> str | None:
        if self.ca_file:
            return str(self.ca_file)
        return ssl.get_default_verify_paths().cafile if self.ssl_mode.startswith("verify-") else None


def _newer_settings(server_version: int) -> dict[str, str]:
    return dict(setting for since, setting in PINNED_SINCE.items() if server_version >= since)


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")
