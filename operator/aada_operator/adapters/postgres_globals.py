"""What a server keeps outside of its databases' content: roles and properties of databases; as queries and as SQL.

pg_dumpall would give the roles of everybody on the server; here are those that have to do with one database.
"""

import re
from collections.abc import Iterable, Iterator

from psycopg import sql

from aada_operator.api.bundle import DatabaseDefinition, RoleDefinition

# Lists of names, which one literal cannot hold (GUC_LIST_QUOTE in guc_tables.c).
LISTS = frozenset({"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"})

# The roles of the connected database: whom its objects belong or are granted to and who has settings in it; then who
# may act as them (the application's login), but neither superusers nor who asks; then the groups of all these.
NAMES = """
    WITH RECURSIVE here AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
    used AS (
        SELECT refobjid AS oid FROM pg_shdepend
         WHERE refclassid = 'pg_authid'::regclass
           AND (dbid = (SELECT oid FROM here)
                OR (dbid = 0 AND classid = 'pg_database'::regclass AND objid = (SELECT oid FROM here)))
        UNION SELECT datdba FROM here
        UNION SELECT setrole FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM here) AND setrole <> 0
    ),
    acting AS (
        SELECT oid FROM used
        UNION SELECT m.member FROM pg_auth_members m JOIN acting ON acting.oid = m.roleid
              JOIN pg_roles r ON r.oid = m.member
               AND NOT r.rolsuper AND r.rolname <> ALL (ARRAY[current_user, session_user])
    ),
    involved AS (
        SELECT oid FROM acting
        UNION SELECT m.roleid FROM pg_auth_members m JOIN involved ON involved.oid = m.member
    )
    SELECT r.rolname AS name FROM pg_roles r JOIN involved USING (oid) WHERE r.rolname !~ '^pg_' ORDER BY 1
"""
# Definitions of the roles of an array of names, those that are there; each with its comment.
DEFINITIONS = """
    SELECT jsonb_build_object(
        'name', r.rolname, 'login', r.rolcanlogin, 'inherit', r.rolinherit, 'superuser', r.rolsuper,
        'createDb', r.rolcreatedb, 'createRole', r.rolcreaterole, 'replication', r.rolreplication,
        'bypassRls', r.rolbypassrls, 'connectionLimit', r.rolconnlimit,
        'validUntil', CASE WHEN isfinite(r.rolvaliduntil)
                           THEN to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.USZ') END,
        'memberOf', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', g.rolname, 'admin', m.admin)
                                               ORDER BY g.rolname), '[]')
                       FROM (SELECT roleid, bool_or(admin_option) AS admin FROM pg_auth_members
                              WHERE member = r.oid GROUP BY roleid) m JOIN pg_roles g ON g.oid = m.roleid),
        'settings', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                         'name', split_part(entry, '=', 1), 'value', substr(entry, strpos(entry, '=') + 1))), '[]')
                       FROM unnest(r.rolconfig) entry)) AS definition,
        coalesce(shobj_description(r.oid, 'pg_authid'), '') AS comment
      FROM pg_roles r WHERE r.rolname = ANY (%s) ORDER BY r.rolname
"""
# Of the database of a name.
OWNER_AND_LIMIT = (
    "SELECT pg_get_userbyid(datdba) AS owner, datconnlimit AS connection_limit FROM pg_database WHERE datname = %s"
)
GRANTS = """
    SELECT r.rolname AS grantee, a.privilege_type AS privilege, a.is_grantable AS grantable
      FROM pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
      LEFT JOIN pg_roles r ON r.oid = a.grantee
     WHERE d.datname = %s AND (a.grantee = 0 OR r.oid IS NOT NULL)
"""
SETTINGS = """
    SELECT r.rolname AS role, split_part(entry, '=', 1) AS name, substr(entry, strpos(entry, '=') + 1) AS value
      FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
     CROSS JOIN unnest(s.setconfig) entry
      LEFT JOIN pg_roles r ON r.oid = s.setrole
     WHERE d.datname = %s AND (s.setrole = 0 OR r.oid IS NOT NULL)
"""
# Where the text for psql has the name of the database, which the reader chooses.
_DATABASE = sql.SQL(':"database"')


def create_role(role: RoleDefinition) -> sql.Composed:
    """CREATE ROLE with all attributes but those that reach beyond the database: SUPERUSER, REPLICATION, BYPASSRLS."""
    return _role("CREATE", role)


def set_attributes(role: RoleDefinition) -> sql.Composed:
    """The same attributes for a role that is there."""
    return _role("ALTER", role)


def _role(verb: str, role: RoleDefinition) -> sql.Composed:
    words = {"LOGIN": role.login, "INHERIT": role.inherit, "CREATEDB": role.create_db, "CREATEROLE": role.create_role}
    attributes = " ".join(word if given else f"NO{word}" for word, given in words.items())
    statement = sql.SQL("{} ROLE {} {} CONNECTION LIMIT {}").format(
        sql.SQL(verb), sql.Identifier(role.name), sql.SQL(attributes), sql.Literal(role.connection_limit)
    )
    until = sql.SQL(" VALID UNTIL {}").format(sql.Literal(role.valid_until)) if role.valid_until else sql.SQL("")
    return statement + until


def join_groups(role: RoleDefinition) -> Iterator[sql.Composed]:
    """The GRANTs of its memberships."""
    for membership in role.member_of:
        further = sql.SQL(" WITH ADMIN OPTION" if membership.admin else "")
        statement = sql.SQL("GRANT {} TO {}").format(sql.Identifier(membership.role), sql.Identifier(role.name))
        yield statement + further


def role_settings(role: RoleDefinition) -> Iterator[sql.Composed]:
    """The settings that its sessions begin with in every database."""
    target = sql.SQL("ALTER ROLE {}").format(sql.Identifier(role.name))
    return (_set(target, setting.name, setting.value) for setting in role.settings)


def roles_sql(roles: Iterable[RoleDefinition]) -> str:
    """Text for psql that makes the roles that are missing; none of them has a password."""
    known = list(roles)
    made = [role for role in known if not role.superuser]
    lines = [f"-- {len(known) - len(made)} of them are superusers, which are not made"]
    lines += [_unless_there(role) for role in made]
    lines += [line for role in made for line in _text([*join_groups(role), *role_settings(role)])]
    return "\n".join([*lines, ""])


def _unless_there(role: RoleDefinition) -> str:
    query = sql.SQL("SELECT {} WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) \\gexec")
    return query.format(sql.Literal(create_role(role).as_string()), sql.Literal(role.name)).as_string()


def database_sql(database: DatabaseDefinition) -> str:
    """Text for psql with the variable ``database``: the properties of a database that is there."""
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(_DATABASE, sql.Literal(database.connection_limit))
    statements = [limit, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(_DATABASE)]
    for grant in database.grants:
        role = sql.SQL("PUBLIC") if grant.grantee is None else sql.Identifier(grant.grantee)
        further = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
        privilege = sql.SQL(grant.privilege)
        statements.append(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(privilege, _DATABASE, role) + further)
    for setting in database.settings:
        whose = sql.SQL("ALTER DATABASE {}") if setting.role is None else sql.SQL("ALTER ROLE {} IN DATABASE {}")
        names = [_DATABASE] if setting.role is None else [sql.Identifier(setting.role), _DATABASE]
        statements.append(_set(whose.format(*names), setting.name, setting.value))
    return "\n".join([*_text(statements), ""])


def _set(target: sql.Composed, name: str, value: str) -> sql.Composed:
    setting = sql.Identifier(*name.split("."))
    values = _elements(value) if name.lower() in LISTS else [value]
    written = sql.SQL(", ").join(map(sql.Literal, values))
    return sql.SQL("{} SET {} TO {}").format(target, setting, written)


def _elements(value: str) -> list[str]:
    """The names in a list of names, as ``"$user", public``."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,]+)', value)
    return [quoted.replace('""', '"') or plain for quoted, plain in found] or [""]


def _text(statements: Iterable[sql.Composed]) -> list[str]:
    return [f"{statement.as_string()};" for statement in statements]
