"""What a rotation of the application's login asks of PostgreSQL, and the statements that it is made of.

Every function can be repeated. What belongs together is one transaction with a lock timeout: users are never kept
waiting behind a rotation, which can wait itself.
"""

from collections.abc import Collection
from datetime import datetime

from psycopg import sql

from aada_operator.adapters.postgres import Login, Session, one
from aada_operator.adapters.postgres_roles import comment_on, give_password, give_setting, join
from aada_operator.core.database import LoginRole, Names, RotationServer

LOCK_TIMEOUT = "3s"
# Grants on tables, schemas, the database and functions can be handed on; those on columns, large objects, types and
# others are counted as odd, and so are mappings to users of other servers.
_LOOK = """
WITH here AS (SELECT oid FROM pg_database WHERE datname = %(database)s),
     holder AS (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)
SELECT r.rolname AS name,
       coalesce(shobj_description(r.oid, 'pg_authid'), '') AS comment,
       r.rolcanlogin AS can_login,
       EXISTS (SELECT FROM pg_auth_members m, holder WHERE m.roleid = holder.oid AND m.member = r.oid)
         AND EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0
                      AND 'role=' || %(owner)s = ANY (s.setconfig)) AS acts_as_owner,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)::int AS sessions,
       (SELECT count(*) FROM pg_shdepend d, here WHERE d.refobjid = r.oid AND d.deptype = 'o'
           AND d.refclassid = 'pg_authid'::regclass
           AND (d.dbid = here.oid OR (d.classid = 'pg_database'::regclass AND d.objid = here.oid)))::int AS owns,
       ARRAY(SELECT datname FROM pg_database o, here WHERE o.oid <> here.oid AND (o.datdba = r.oid
           OR EXISTS (SELECT FROM pg_shdepend d WHERE d.refobjid = r.oid AND d.deptype = 'o' AND d.dbid = o.oid
                       AND d.refclassid = 'pg_authid'::regclass)) ORDER BY 1) AS elsewhere,
       (SELECT count(*) FROM pg_shdepend d, here WHERE d.refobjid = r.oid AND d.dbid = here.oid
           AND d.refclassid = 'pg_authid'::regclass AND d.classid = 'pg_default_acl'::regclass)::int
         AS default_privileges,
       (SELECT count(*) FROM pg_shdepend d, here WHERE d.refobjid = r.oid AND d.dbid = here.oid
           AND d.refclassid = 'pg_authid'::regclass AND d.classid <> 'pg_default_acl'::regclass
           AND (d.classid = 'pg_user_mapping'::regclass OR d.deptype = 'a' AND (d.objsubid <> 0 OR
               d.classid::regclass::text NOT IN ('pg_class', 'pg_namespace', 'pg_database', 'pg_proc'))))::int
         AS odd_grants,
       array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
           CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
           CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS powers
FROM pg_roles r WHERE r.rolname = ANY (%(logins)s)
"""


async def look(connection: Session, names: Names, logins: Collection[str]) -> RotationServer:
    """The server, with those of ``logins`` that are there; from whatever database the session is in."""
    server = await one(
        connection,
        """
        SELECT current_user AS admin, rolsuper OR rolcreaterole AS may_make_roles,
               (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %(database)s) AS database_owner
        FROM pg_roles WHERE rolname = current_user
        """,
        {"database": names.database},
    )
    parameters = {"database": names.database, "owner": names.owner, "logins": list(logins)}
    rows = await (await connection.execute(_LOOK.encode(), parameters)).fetchall()
    found = [LoginRole(**row | {"elsewhere": tuple(row["elsewhere"]), "powers": tuple(row["powers"])}) for row in rows]
    return RotationServer(**server, logins={role.name: role for role in found})


_GRANTS = """
SELECT format('GRANT %%s ON DATABASE %%I TO %%I', a.privilege_type, d.datname, %(owner)s::text)
  FROM pg_database d, aclexplode(d.datacl) a, pg_roles r
 WHERE d.datname = current_database() AND a.grantee = r.oid AND r.rolname = %(login)s
UNION ALL
SELECT format('GRANT %%s ON SCHEMA %%I TO %%I', a.privilege_type, n.nspname, %(owner)s::text)
  FROM pg_namespace n, aclexplode(n.nspacl) a, pg_roles r WHERE a.grantee = r.oid AND r.rolname = %(login)s
UNION ALL
SELECT format('GRANT %%s ON %%s %%I.%%I TO %%I', a.privilege_type,
              CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, %(owner)s::text)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a, pg_roles r
 WHERE a.grantee = r.oid AND r.rolname = %(login)s AND c.relowner <> r.oid
UNION ALL
SELECT format('GRANT %%s ON ROUTINE %%s TO %%I', a.privilege_type, p.oid::regprocedure, %(owner)s::text)
  FROM pg_proc p, aclexplode(p.proacl) a, pg_roles r
 WHERE a.grantee = r.oid AND r.rolname = %(login)s AND p.proowner <> r.oid
UNION ALL
SELECT format('GRANT %%I TO %%I', g.rolname, %(owner)s::text)
  FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
 WHERE r.rolname = %(login)s AND g.rolname <> %(owner)s
"""


async def hand_over(connection: Session, names: Names, login: str, comment: str) -> None:
    """Give everything of a login to the owner role, which its sessions act as from now on; all or nothing.

    The session is in the database itself. Sessions that are open go on: the login is a member of the owner.
    """
    owner, role = sql.Identifier(names.owner), sql.Identifier(login)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
        if not (await one(connection, "SELECT to_regrole(quote_ident(%s)) IS NOT NULL AS is", [names.owner]))["is"]:
            await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(owner))
            await comment_on(connection, names.owner, comment)
        await join(connection, names.owner, login)
        rows = await (await connection.execute(_GRANTS.encode(), {"owner": names.owner, "login": login})).fetchall()
        for row in rows:
            await connection.execute(row["format"].encode())
        await connection.execute(sql.SQL("GRANT {} TO {}").format(owner, role))
        await connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(role, owner))
        statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        await connection.execute(statement.format(sql.Identifier(names.database), owner))
        await connection.execute(sql.SQL("ALTER ROLE {} SET role = {}").format(role, sql.Literal(names.owner)))


_SETTINGS = """
SELECT d.datname, split_part(setting, '=', 1) AS name, substr(setting, strpos(setting, '=') + 1) AS value
FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
     unnest(s.setconfig) AS setting
WHERE r.rolname = %s AND split_part(setting, '=', 1) <> 'role' AND (d.datname IS NULL OR d.datname = %s)
"""


async def open_login(connection: Session, names: Names, old: str, new: Login, comment: str) -> None:
    """Make the new login like the old one, with a password of its own; all or nothing."""
    owner, role = sql.Identifier(names.owner), sql.Identifier(new.username)
    async with connection.transaction():
        if not (await one(connection, "SELECT to_regrole(quote_ident(%s)) IS NOT NULL AS is", [new.username]))["is"]:
            await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
            await comment_on(connection, new.username, comment)
        await connection.execute(sql.SQL("GRANT {} TO {}").format(owner, role))
        await connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(role))
        await connection.execute(sql.SQL("ALTER ROLE {} SET role = {}").format(role, sql.Literal(names.owner)))
        for row in await (await connection.execute(_SETTINGS.encode(), [old, names.database])).fetchall():
            place = sql.SQL(" IN DATABASE {}").format(sql.Identifier(row["datname"])) if row["datname"] else sql.SQL("")
            target = sql.SQL("ALTER ROLE {}{}").format(role, place)
            await give_setting(connection, target, row["name"], row["value"])
        limit = await one(connection, "SELECT rolconnlimit AS limit FROM pg_roles WHERE rolname = %s", [old])
        await give_password(connection, new.username, new.password)
        statement = sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT {} VALID UNTIL 'infinity'")
        await connection.execute(statement.format(role, sql.Literal(limit["limit"])))


async def close_login(connection: Session, login: str, password: str) -> None:
    """Let nobody log in as a role any more, whatever password they have, and end its sessions.

    ``password`` is one that nobody knows: a login that is opened again by hand is no way in. A role that is gone is
    fine.
    """
    if not (await one(connection, "SELECT to_regrole(quote_ident(%s)) IS NOT NULL AS is", [login]))["is"]:
        return
    async with connection.transaction():
        await give_password(connection, login, password)
        await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(login)))
    row = await one(connection, "SELECT count(*) AS open FROM pg_stat_activity WHERE usename = %s", [login])
    if row["open"]:
        await join(connection, login)
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [login])


async def change_password(connection: Session, login: Login) -> datetime:
    """Give a role another password; returns the server's time afterwards: sessions from before had the old one."""
    await give_password(connection, login.username, login.password)
    moment: datetime = (await one(connection, "SELECT clock_timestamp() AS moment"))["moment"]
    return moment


# Who may not act for the role sees its sessions without their beginning.
_COUNT_OLDER = """
SELECT count(*)::int AS open FROM pg_stat_activity WHERE usename = %s AND coalesce(backend_start < %s, true)
"""
_END_OLDER = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND backend_start < %s"


async def sessions_before(connection: Session, login: str, moment: datetime) -> int:
    """How many sessions of a role began before a moment of the server's clock, or may have."""
    return int((await one(connection, _COUNT_OLDER, [login, moment]))["open"])


async def end_sessions(connection: Session, login: str, moment: datetime) -> None:
    """End the sessions of a role that began before a moment of the server's clock."""
    await join(connection, login)
    await connection.execute(_END_OLDER, [login, moment])


_END_IDLE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = %s AND state = 'idle' AND state_change < clock_timestamp() - make_interval(secs => %s)
"""


async def end_idle_sessions(connection: Session, login: str, seconds: float) -> None:
    """End those sessions of a role that have been idle, in no transaction, for so long."""
    await join(connection, login)
    await connection.execute(_END_IDLE, [login, seconds])


_PROBE = sql.SQL("CREATE TABLE public.{} (id int)")


async def try_out(connection: Session, probe: str) -> tuple[str, str, bool]:
    """What a session of the application is: who logged in, whom it acts as, and whether TLS protects it.

    It makes a table and takes it back, as a migration would; ``probe`` is a name that nothing has.
    """
    async with connection.transaction(force_rollback=True):
        await connection.execute(_PROBE.format(sql.Identifier(probe)))
    row = await one(
        connection,
        """
        SELECT session_user AS login, current_user AS acts_as,
               coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls
        """,
    )
    return row["login"], row["acts_as"], row["tls"]
