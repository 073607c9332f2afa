"""The roles and the database of one application: what is there, and the few statements that make them.

Each statement can be repeated, and what is made together is made in one transaction. Whose roles they are stands in
comments on them: so it survives everything that the roles survive.
"""

from psycopg import sql

from aada_operator.adapters.postgres import Session, one
from aada_operator.adapters.postgres_globals import LISTS
from aada_operator.core.database import Inventory, Names


async def inventory(connection: Session, names: Names) -> Inventory:
    """Which of the roles and the database are there, and whom they belong to."""
    row = await one(
        connection,
        """
        SELECT current_user AS admin,
               (SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles
                 WHERE rolname = %(owner)s) AS owner_comment,
               (SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles
                 WHERE rolname = %(login)s) AS login_comment,
               (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %(database)s) AS database_owner
        """,
        {"owner": names.owner, "login": names.login, "database": names.database},
    )
    return Inventory(**row)


async def is_empty(connection: Session) -> bool:
    """Whether the database of this session holds nothing of a user's: no relation, type, function or large object."""
    row = await one(
        connection,
        """
        SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace)
           AND NOT EXISTS (SELECT FROM pg_proc WHERE oid >= 16384)
           AND NOT EXISTS (SELECT FROM pg_type WHERE oid >= 16384)
           AND NOT EXISTS (SELECT FROM pg_largeobject_metadata) AS empty
        """,
    )
    return bool(row["empty"])


async def create_roles(connection: Session, names: Names, owner_comment: str, login_comment: str) -> None:
    """Make the owner and the login role, without a password yet, and say in comments whose they are; all or none."""
    owner, login = sql.Identifier(names.owner), sql.Identifier(names.login)
    async with connection.transaction():
        await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(owner))
        await connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(login, owner))
        # Whatever the application makes belongs to the owner, so that the login role can be replaced one day.
        setting = sql.SQL("ALTER ROLE {} SET role = {}").format(login, sql.Literal(names.owner))
        await connection.execute(setting)
        await comment_on(connection, names.owner, owner_comment)
        await comment_on(connection, names.login, login_comment)


async def create_database(connection: Session, names: Names) -> None:
    """Make the database, owned by the owner role: on PostgreSQL 15 nobody else may create in schema public."""
    await join(connection, names.owner)
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'")
    await connection.execute(statement.format(sql.Identifier(names.database), sql.Identifier(names.owner)))


async def take_database(connection: Session, names: Names) -> None:
    """Give an existing database to the owner role."""
    await join(connection, names.owner)
    statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
    await connection.execute(statement.format(sql.Identifier(names.database), sql.Identifier(names.owner)))


async def join(connection: Session, *roles: str) -> None:
    """Who is no superuser can give things only to a role that it can act as, and act for others only as their member.

    Asking whether it can is no use: since PostgreSQL 16 the maker of a role is its member and yet may not act as it.
    """
    row = await one(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for role in () if row["rolsuper"] else dict.fromkeys(roles):
        await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


async def set_password(connection: Session, names: Names, password: str, comment: str) -> None:
    """Give the login role its password, and say that it has it."""
    async with connection.transaction():
        await give_password(connection, names.login, password)
        await connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(names.login)))
        await comment_on(connection, names.login, comment)


async def give_password(connection: Session, role: str, password: str) -> None:
    """Give a role a password, sent as a SCRAM verifier so that no log of the server ever holds it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
    await connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))


async def comment_on(connection: Session, role: str, comment: str) -> None:
    """Say in a comment whose role it is."""
    await connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(comment)))


async def give_setting(connection: Session, target: sql.Composable, name: str, value: str) -> None:
    """Keep a setting as it is written in the catalog; ``target`` is ``ALTER ROLE`` or ``ALTER DATABASE`` with a name.

    In a transaction: a list is first set for that, since a list in quotes would become one name.
    """
    identifier = sql.Identifier(*name.split("."))
    if name.lower() in LISTS:
        await connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        await connection.execute(sql.SQL("{} SET {} FROM CURRENT").format(target, identifier))
        return
    await connection.execute(sql.SQL("{} SET {} TO {}").format(target, identifier, sql.Literal(value)))
