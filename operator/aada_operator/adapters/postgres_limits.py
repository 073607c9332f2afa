"""What bounds the connections of an application on its server, and the limit that leaves others theirs."""

from collections.abc import Collection

from psycopg import sql

from aada_operator.adapters.postgres import OF_OTHERS, Session, one
from aada_operator.core.database import ConnectionLimits, RoleLimit

# One statement, not two: a class waits for the answer.
_LIMITS = f"""
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int
         + coalesce(current_setting('reserved_connections', true), '0')::int AS superusers,
       coalesce((SELECT datconnlimit FROM pg_database WHERE datname = %(database)s), -1) AS database_limit,
       (SELECT count(*) FROM pg_stat_activity
         WHERE {OF_OTHERS} AND usename <> ALL (%(logins)s))::int AS others,
       coalesce((SELECT json_agg(roles) FROM (
         SELECT rolname AS name, rolconnlimit AS limit,
                coalesce(shobj_description(oid, 'pg_authid'), '') = %(mark)s AS ours
           FROM pg_roles WHERE rolname = ANY (%(logins)s) ORDER BY 1) AS roles), '[]') AS roles
"""  # noqa: S608 - nothing but constants


async def look(connection: Session, database: str, logins: Collection[str], mark: str) -> ConnectionLimits:
    """The server's limits, and those of ``logins`` that are there; ``mark`` is the comment on roles of ours."""
    found = await one(connection, _LIMITS, {"database": database, "logins": list(logins), "mark": mark})
    roles = tuple(RoleLimit(**row) for row in found.pop("roles"))
    return ConnectionLimits(**found, roles=roles)


async def limit(connection: Session, roles: Collection[str], connections: int) -> None:
    """Let each role have so many sessions at a time, -1 for any number; those that are open stay."""
    for role in roles:
        statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(role), sql.Literal(connections))
        await connection.execute(statement)
