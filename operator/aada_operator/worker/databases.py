"""Making databases and roles on a server that receives a backup, and telling our own databases by their comment."""

import psycopg
from psycopg import sql

from aada_operator.api.manifest import Database, Extension, Role
from aada_operator.api.task import RESTORE_FAILED
from aada_operator.core.errors import Stalled
from aada_operator.worker.server import Connection


def read_comment(connection: Connection, name: str) -> str | None:
    """The comment on a database, empty where it has none; None when there is no database of this name."""
    row = connection.execute(
        "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = %s", [name]
    ).fetchone()
    return row[0] if row else None


def write_comment(connection: Connection, name: str, comment: str) -> None:
    """Set the comment on a database."""
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment)))


def create(connection: Connection, name: str, like: Database, owner: str | None = None) -> None:
    """An empty database with the encoding and the locale that another one had.

    Raises:
        Stalled: RestoreFailed, this server does not know the locale.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
        sql.Identifier(name), sql.Literal(like.encoding), sql.Literal(like.collate), sql.Literal(like.ctype)
    )
    statement += _provider(like)
    if owner:
        statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
    try:
        connection.execute(statement)
    except (psycopg.errors.WrongObjectType, psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        locale = like.locale or f"{like.collate}/{like.ctype}"
        message = f"the server has no locale {locale} for encoding {like.encoding}: install it there"
        raise Stalled(RESTORE_FAILED, message) from None


def _provider(like: Database) -> sql.Composable:
    if like.locale_provider == "libc" or like.locale is None:
        return sql.SQL("")
    option = "ICU_LOCALE" if like.locale_provider == "icu" else "BUILTIN_LOCALE"
    return sql.SQL(" LOCALE_PROVIDER {} {} {}").format(
        sql.SQL(like.locale_provider), sql.SQL(option), sql.Literal(like.locale)
    )


def drop(connection: Connection, name: str) -> None:
    """Remove a database and whoever uses it."""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def rename(connection: Connection, old: str, new: str) -> None:
    """Give a database that nobody uses another name."""
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


def missing_roles(connection: Connection, roles: list[Role]) -> list[Role]:
    """Those that the server does not have."""
    there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    return [role for role in roles if role.name not in there]


def missing_extensions(connection: Connection, extensions: list[Extension]) -> list[str]:
    """Names of those that cannot be installed on this server."""
    there = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")}
    return [extension.name for extension in extensions if extension.name not in there]


def create_roles(
    connection: Connection, roles: list[Role], *, all_powerful: bool = False, comment: str | None = None
) -> None:
    """Make roles that cannot log in, with the memberships among them, so that owners and grants can be restored.

    ``all_powerful`` is for a scratch server: materialized views are refreshed with the rights of their owner, who may
    have been a superuser. A role that is no superuser must be a member of an owner to hand objects over to it.
    """
    made = {role.name for role in roles}
    power = sql.SQL("SUPERUSER" if all_powerful else "NOSUPERUSER")
    for role in roles:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN {}").format(sql.Identifier(role.name), power))
        if comment:
            mark = sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role.name), sql.Literal(comment))
            connection.execute(mark)
        if not _is_superuser(connection):
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role.name)))
    for role in roles:
        for group in made.intersection(role.member_of):
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(role.name)))


def _is_superuser(connection: Connection) -> bool:
    row = connection.execute("SELECT current_setting('is_superuser') = 'on'").fetchone()
    return bool(row and row[0])
