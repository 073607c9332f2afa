"""The roles of a backup on another server: which are there and whose they are, and the statements that make them.

A restore marks with a comment what it makes; a role without it is somebody else's and is never changed.
"""

from collections.abc import Iterable

from psycopg import sql

from aada_operator.adapters.postgres import Session, one
from aada_operator.adapters.postgres_globals import DEFINITIONS, create_role, join_groups, role_settings, set_attributes
from aada_operator.api.bundle import RoleDefinition
from aada_operator.core.database import ServerRole, ServerRoles


async def look(connection: Session, names: Iterable[str]) -> ServerRoles:
    """The server, and which of the roles of these names it has."""
    row = await one(
        connection,
        "SELECT current_user AS username, rolsuper OR rolcreaterole AS may FROM pg_roles WHERE rolname = current_user",
    )
    cursor = await connection.execute(DEFINITIONS.encode(), [list(names)])
    found = [(RoleDefinition.model_validate(r["definition"]), r["comment"]) for r in await cursor.fetchall()]
    return ServerRoles(row["username"], row["may"], {role.name: ServerRole(role, comment) for role, comment in found})


async def make_roles(connection: Session, wanted: Iterable[RoleDefinition], there: ServerRoles, mark: str) -> None:
    """Make roles, or make those of this ``mark`` be as wanted; all or none. They have no password."""
    roles = list(wanted)
    async with connection.transaction():
        for role in roles:
            if role.name in there.roles:
                await connection.execute(set_attributes(role))
                continue
            await connection.execute(create_role(role))
            comment = sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role.name), sql.Literal(mark))
            await connection.execute(comment)
        for role in roles:
            for statement in (*join_groups(role), *role_settings(role)):
                await connection.execute(statement)
