"""The server that a restore goes to, seen before anything on it is touched."""

from aada_operator.adapters import postgres
from aada_operator.adapters.postgres import Session
from aada_operator.core.database import RestoreTarget


async def restore_target(connection: Session, database: str) -> RestoreTarget:
    """The server, the rights of the session's role on it, and what already has the name ``database``."""
    row = await postgres.one(
        connection,
        """
        SELECT current_user AS username,
               current_setting('server_version_num')::int / 10000 AS major,
               (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user) AS may_create,
               (SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database
                 WHERE datname = %s) AS comment
        """,
        [database],
    )
    return RestoreTarget(**row)
