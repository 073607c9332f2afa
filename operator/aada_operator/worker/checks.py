"""What the policy wants to hold in a restored copy, and what PostgreSQL itself can say of it.

The policy's checks run in a role that may only read. What is wrong in the original too (a sequence behind its column, a
key that was never validated) is told and makes no backup bad: it is what was backed up.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from aada_operator.api.task import CHECK_FAILED, CHECK_INVALID, CORRUPT, INTERNAL, Check, SqlCheck
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.worker.scratch import ScratchServer
from aada_operator.worker.server import Connection, Login, Server
from aada_operator.worker.tools import Tool

_READER = "aada_check"
_SECONDS = 300
_NUMBERS = (int, float)
_SHOWN = 3
_BEHIND = """
SELECT n.nspname, c.relname, a.attname, s.last_value, s.increment_by
FROM pg_depend d
JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
JOIN pg_namespace qn ON qn.oid = q.relnamespace
JOIN pg_sequences s ON s.schemaname = qn.nspname AND s.sequencename = q.relname
JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
ORDER BY 1, 2, 3
"""
# They are of the original, and would meet what is made in the copy for its checks.
_EVENT_TRIGGERS = "SELECT format('ALTER EVENT TRIGGER %I DISABLE', evtname) FROM pg_event_trigger"
# What pg_amcheck says of each damaged object, before it quotes the server.
_DAMAGED = re.compile(rb'(btree index|heap table) "[^".]*\.([^"]*)"')
_NOT_VALIDATED = """
SELECT conrelid::regclass::text || '.' || conname FROM pg_constraint
WHERE contype IN ('f', 'c') AND NOT convalidated ORDER BY 1
"""


@dataclass(frozen=True)
class Inspection:
    """The checks of one restored database on a scratch server."""

    scratch: ScratchServer
    database: str
    programs: Path

    def run(self, wanted: list[SqlCheck]) -> list[Check]:
        """All checks.

        Raises:
            Stalled: CheckFailed or CheckInvalid, naming the policy's check.
            Waiting: Corrupt, pg_amcheck found damage, which another copy may not have.
        """
        with closing(self.scratch.server.connect(self.database)) as connection:
            found = [_told("sequences behind", _behind(connection)), _told("not validated", _not_validated(connection))]
            for (statement,) in connection.execute(_EVENT_TRIGGERS).fetchall():
                connection.execute(statement.encode())
            make_reader(connection)
            server_version = connection.info.server_version
        with closing(self.reader()) as connection:
            found += [passed(connection, check) for check in wanted]
        return [*found, self._amcheck(server_version)]

    def reader(self) -> Connection:
        """A session of the role that may only read, once `run` has made it."""
        return as_reader(self.scratch.server, self.database)

    def _amcheck(self, server_version: int) -> Check:
        """Heap and btree indexes of the copy, by PostgreSQL's own tool."""
        program = self.programs / "pg_amcheck"
        if not program.exists():
            return Check(name="amcheck", ok=True, message="not done: this image has no pg_amcheck")
        argv = [str(program), "--install-missing=pg_catalog", "--no-password", self.database]
        place = self.scratch.server.place(self.database)
        with (
            self.scratch.server.tool_environment(server_version) as environment,
            Tool(argv, environment, place, INTERNAL, stdout=subprocess.PIPE) as tool,
        ):
            if damaged := _damaged(tool.stdout):
                raise Waiting(CORRUPT, f"pg_amcheck finds damage in the restored copy: {_some(damaged)}")
            tool.finish()
        return Check(name="amcheck", ok=True)


def make_reader(connection: Connection) -> None:
    """Make the role that may only read."""
    connection.execute(f"CREATE ROLE {_READER} LOGIN BYPASSRLS IN ROLE pg_read_all_data")


def as_reader(server: Server, database: str) -> Connection:
    """A session of that role, and one of its own: a session of the owner could become the owner again."""
    return replace(server, login=lambda: Login(_READER, "")).connect(database)


def passed(connection: Connection, check: SqlCheck) -> Check:
    """One check, asked by a session that may do no harm.

    Raises:
        Stalled: CheckFailed, its value is out of bounds; CheckInvalid, it has none.
    """
    value = _value(connection, check)
    if not isinstance(value, _NUMBERS):
        raise Stalled(CHECK_INVALID, f"check {check.name}: the first column is no number: correct its sql")
    low, high = check.bounds
    if low is not None and value < low:
        raise Stalled(CHECK_FAILED, f"check {check.name}: {value:g} is less than {low:g}")
    if high is not None and value > high:
        raise Stalled(CHECK_FAILED, f"check {check.name}: {value:g} is more than {high:g}")
    return Check(name=check.name, ok=True, message=f"{value:g}")


def _value(connection: Connection, check: SqlCheck) -> "float | object":
    try:
        with read_only(connection):
            # With results in binary it is one statement: none that would end this transaction and begin another one.
            row = connection.execute(check.sql.encode(), binary=True).fetchone()
    except psycopg.Error as error:
        if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
            raise  # the server has gone
        message = f"check {check.name} fails with SQLSTATE {error.sqlstate or '(it is no query)'}: correct its sql"
        raise Stalled(CHECK_INVALID, message) from None
    value = row[0] if row else None
    return float(value) if isinstance(value, Decimal) else value


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """A transaction in which a query of the policy can do no harm."""
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
        connection.execute("""SET LOCAL search_path = "$user", public""")
        yield


def _damaged(report: IO[bytes]) -> list[str]:
    """The tables and indexes that pg_amcheck complains of."""
    found = (_DAMAGED.match(line) for line in report)
    return list(dict.fromkeys(f"{match[1].decode()} {match[2].decode(errors='replace')}" for match in found if match))


def _told(name: str, noticed: list[str]) -> Check:
    return Check(name=name, ok=True, message=_some(noticed) or "none")


def _some(noticed: list[str]) -> str:
    more = f" and {len(noticed) - _SHOWN} more" if len(noticed) > _SHOWN else ""
    return ", ".join(noticed[:_SHOWN]) + more


def _behind(connection: Connection) -> list[str]:
    """Columns whose next value is taken already: inserting will fail until the sequence is set."""
    behind = []
    for schema, table, column, last, step in connection.execute(_BEHIND).fetchall():
        edge = sql.SQL("SELECT {}({}) FROM {}").format(
            sql.SQL("max" if step > 0 else "min"), sql.Identifier(column), sql.Identifier(schema, table)
        )
        (reached,) = connection.execute(edge).fetchone() or (None,)
        if reached is not None and (last is None or (reached > last if step > 0 else reached < last)):
            behind.append(f"{schema}.{table}.{column}")
    return behind


def _not_validated(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute(_NOT_VALIDATED)]
