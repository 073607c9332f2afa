"""A restored database put in the place of the live one: names swapped in one transaction, and what goes with a name.

PostgreSQL keeps settings, grants and limits with the database itself, not with its name: they are copied before. A
rename needs that nobody is in the database; while it waits, its lock keeps new sessions out, and a second session ends
those that are in.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import psycopg
from psycopg import sql

from aada_operator.adapters.postgres import Session, one
from aada_operator.adapters.postgres_globals import GRANTS, OWNER_AND_LIMIT, SETTINGS
from aada_operator.adapters.postgres_roles import give_setting
from aada_operator.core.database import (
    CutoverNames,
    CutoverServer,
    DatabaseProperties,
    Grant,
    Setting,
    replaced_mark,
)
from aada_operator.core.errors import Waiting
from aada_operator.core.failpoints import failpoint

DATABASE_IN_USE = "DatabaseInUse"
# How often sessions that are still in, or came in before the lock, are ended.
_END_SECONDS = 0.05

_PRIVILEGES = {"CREATE": sql.SQL("CREATE"), "CONNECT": sql.SQL("CONNECT"), "TEMPORARY": sql.SQL("TEMPORARY")}


async def look(connection: Session, names: CutoverNames) -> CutoverServer:
    """What is there, and whether the session's role may do it."""
    row = await one(
        connection,
        """
        SELECT current_user AS username,
               (SELECT rolsuper OR (rolcreatedb AND NOT EXISTS (
                   SELECT FROM pg_database WHERE datname = ANY(ARRAY[%(live)s, %(restored)s])
                      AND NOT pg_has_role(datdba, 'USAGE')))
                  FROM pg_roles WHERE rolname = current_user) AS may_rename,
               pg_has_role('pg_signal_backend', 'USAGE') AS may_terminate,
               (SELECT coalesce(jsonb_object_agg(datname, coalesce(shobj_description(oid, 'pg_database'), '')), '{}')
                  FROM pg_database WHERE datname = ANY(ARRAY[%(live)s, %(restored)s, %(old)s])) AS comments,
               ARRAY(SELECT 'logical replication slot ' || slot_name FROM pg_replication_slots
                      WHERE database = %(live)s
                      UNION ALL SELECT 'subscription ' || subname FROM pg_subscription s
                        JOIN pg_database d ON d.oid = s.subdbid WHERE datname = %(live)s
                      UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
                      WHERE database = %(live)s ORDER BY 1) AS holds
        """,
        vars(names),
    )
    return CutoverServer(**(row | {"holds": tuple(row["holds"])}))


async def properties(connection: Session, database: str) -> DatabaseProperties:
    """What belongs to a database that is there."""
    row = await one(connection, OWNER_AND_LIMIT, [database])
    grants = await connection.execute(GRANTS, [database])
    settings = await connection.execute(SETTINGS, [database])
    return DatabaseProperties(
        row["owner"],
        row["connection_limit"],
        frozenset([Grant(**found) for found in await grants.fetchall()]),
        frozenset([Setting(**found) for found in await settings.fetchall()]),
    )


async def give_properties(connection: Session, database: str, wanted: DatabaseProperties) -> None:
    """Make a database have exactly these; all or none."""
    present, name = await properties(connection, database), sql.Identifier(database)
    async with connection.transaction():
        if present.owner != wanted.owner:
            await connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(wanted.owner))
            )
        limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
        await connection.execute(limit.format(name, sql.Literal(wanted.connection_limit)))
        failpoint("restore.cutover.half-of-properties")
        for grantee in {grant.grantee for grant in present.grants}:
            await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(name, _role(grantee)))
        for grant in wanted.grants:
            await connection.execute(_grant(name, grant))
        for role in {setting.role for setting in present.settings}:
            await connection.execute(sql.SQL("{} RESET ALL").format(_sessions(name, role)))
        for setting in wanted.settings:
            await give_setting(connection, _sessions(name, setting.role), setting.name, setting.value)


def _grant(database: sql.Identifier, grant: Grant) -> sql.Composed:
    further = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
    privilege = _PRIVILEGES[grant.privilege]
    return sql.SQL("GRANT {} ON DATABASE {} TO {}").format(privilege, database, _role(grant.grantee)) + further


def _role(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


def _sessions(database: sql.Identifier, role: str | None) -> sql.Composed:
    """Whose settings are altered: those of all sessions in the database, or of one role's."""
    if role is None:
        return sql.SQL("ALTER DATABASE {}").format(database)
    return sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)


@dataclass(frozen=True)
class Swap:
    """Gives the restored database the name of the live one; ``renaming`` and ``ending`` are sessions of the admin."""

    renaming: Session
    ending: Session
    names: CutoverNames
    uid: str

    async def run(self, *, has_live: bool) -> None:
        """Swap the names, all or nothing, while the sessions in both databases are ended.

        Raises:
            Waiting: DatabaseInUse, somebody whose session may not be ended did not leave.
        """
        swapping = asyncio.create_task(self._rename(has_live=has_live))
        try:
            while not swapping.done():
                await self._end_sessions()
                await asyncio.wait({swapping}, timeout=_END_SECONDS)
        finally:
            if not swapping.done():
                swapping.cancel()
                await asyncio.wait({swapping})
        try:
            swapping.result()
        except psycopg.errors.ObjectInUse:
            message = f"sessions in {self.names.live} did not end, and the admin may not end them: end them yourself"
            raise Waiting(DATABASE_IN_USE, message) from None

    async def _rename(self, *, has_live: bool) -> None:
        rename, connection = sql.SQL("ALTER DATABASE {} RENAME TO {}"), self.renaming
        live, restored, old = map(sql.Identifier, (self.names.live, self.names.restored, self.names.old))
        async with connection.transaction():
            if has_live:
                await connection.execute(rename.format(live, old))
                comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(old, sql.Literal(replaced_mark(self.uid)))
                await connection.execute(comment)
            failpoint("restore.cutover.between-renames")
            await connection.execute(rename.format(restored, live))
            failpoint("restore.cutover.before-commit")

    async def _end_sessions(self) -> None:
        """End the sessions in both databases, as far as the role may; its rename waits for that, at most 5 s."""
        await self.ending.execute(
            """
            SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
             WHERE a.datname = ANY(%s) AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
               AND (NOT r.rolsuper OR current_setting('is_superuser')::bool)
            """,
            [[self.names.live, self.names.restored]],
        )


async def drop_marked(connection: Session, name: str, marks: Collection[str]) -> bool:
    """Drop a database whose comment is one of these marks of a Restore; False when there is none any more.

    Raises:
        Waiting: DatabaseInUse, somebody is in it.
    """
    row = await one(
        connection,
        "SELECT (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s) AS comment",
        [name],
    )
    if row["comment"] not in marks:
        return False
    try:
        await connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.ObjectInUse:
        raise Waiting(DATABASE_IN_USE, f"somebody is in database {name}: it is dropped later", 3600.0) from None
    return True
