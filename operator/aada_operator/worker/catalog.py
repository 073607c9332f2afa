"""What a database holds beside rows: tables and their columns, who may read them, roles, extensions, properties."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from aada_operator.api.manifest import Database, Extension, Role
from aada_operator.api.task import INSUFFICIENT_PRIVILEGE
from aada_operator.core.errors import Stalled
from aada_operator.worker.formats import FRAMES, PLAIN_TYPES, Frame
from aada_operator.worker.server import Connection

# The user's own relations; members of an extension come back with CREATE EXTENSION and are not dumped.
_OWN = """
    n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                    AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
"""


@dataclass(frozen=True)
class TableName:
    """A table as the catalog knows it; ``stored``: it has rows of its own (a partitioned parent has none).

    ``columns`` are all of them in alphabetical order, ``given`` those that are not generated, in their own order, and
    ``key`` those of the primary key, if there is one. ``ancestors`` are the partitioned tables that a partition is a
    part of, the nearest first. ``plain``: those that are given have types whose binary form is the same on all servers.
    """

    oid: int
    schema: str
    name: str
    stored: bool
    columns: tuple[str, ...]
    given: tuple[str, ...]
    key: tuple[str, ...]
    ancestors: tuple[tuple[str, str], ...]
    plain: bool = False

    @property
    def frame(self) -> Frame:
        """How COPY writes the rows."""
        return FRAMES["binary" if self.plain else "text"]


def list_tables(connection: Connection) -> list[TableName]:
    """All tables, partitions and partitioned parents."""
    rows = connection.execute(
        f"""
        SELECT c.oid, n.nspname, c.relname, c.relkind = 'r',
               ARRAY(SELECT a.attname::text FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname),
               ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                     AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum),
               ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a
                     ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                     WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attname),
               ARRAY(SELECT ARRAY[place.nspname::text, above.relname::text]
                     FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS line (oid, n)
                     JOIN pg_class above ON above.oid = line.oid
                     JOIN pg_namespace place ON place.oid = above.relnamespace WHERE line.oid <> c.oid ORDER BY line.n),
               NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                           AND a.attgenerated = '' AND a.atttypid <> ALL ('{{{",".join(PLAIN_TYPES)}}}'::regtype[]))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND {_OWN} ORDER BY 2, 3
        """  # noqa: S608 - nothing but constants
    )
    return [
        TableName(
            oid, schema, name, stored, tuple(columns), tuple(given), tuple(key), tuple(map(tuple, ancestors)), plain
        )
        for oid, schema, name, stored, columns, given, key, ancestors, plain in rows
    ]


@dataclass(frozen=True)
class KeySpan:
    """The lowest and the highest value of an integer primary key ``column``, in whose order the rows lie."""

    column: str
    low: int
    high: int


@dataclass(frozen=True)
class Extent:
    """How large a table is: pages of its rows, and bytes with what is stored out of line.

    ``keys`` is there for a table that can be read in the order of its primary key about as fast as page by page.
    """

    pages: int
    size: int
    keys: KeySpan | None = None


def read_extents(connection: Connection) -> dict[int, Extent]:
    """The size of every table with rows of its own, by oid."""
    spans = _read_key_spans(connection)
    rows = connection.execute(
        f"""
        SELECT c.oid, pg_relation_size(c.oid) / current_setting('block_size')::int, pg_table_size(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {_OWN}
        """  # noqa: S608
    )
    return {oid: Extent(pages, size, spans.get(oid)) for oid, pages, size in rows}


# The statistics of ANALYZE say how far the order on disk is that of the key. A table that has none yet is new, and will
# most often turn out to be in order: read page by page until then, all of it would travel again afterwards.
_IN_KEY_ORDER = f"""
    SELECT c.oid, n.nspname, c.relname, a.attname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indnatts = 1
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
                        AND NOT s.inherited
    WHERE c.relkind = 'r' AND {_OWN} AND coalesce(s.correlation, 1) > 0.8
      AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
"""  # noqa: S608


def _read_key_spans(connection: Connection) -> dict[int, KeySpan]:
    spans = {}
    for oid, schema, name, column in connection.execute(_IN_KEY_ORDER).fetchall():
        query = sql.SQL("SELECT min({0}), max({0}) FROM ONLY {1}").format(
            sql.Identifier(column), sql.Identifier(schema, name)
        )
        low, high = _one(connection, query)
        if low is not None:
            spans[oid] = KeySpan(column, low, high)
    return spans


def list_sequences(connection: Connection) -> list[tuple[str, str]]:
    """Schema and name of every sequence."""
    rows = connection.execute(
        f"""
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'S' AND {_OWN} ORDER BY 1, 2
        """  # noqa: S608
    )
    return [(schema, name) for schema, name in rows]


def refuse_unreadable(connection: Connection) -> None:
    """Make sure that the role sees everything: what it does not see would be missing from the backup.

    Raises:
        Stalled: InsufficientPrivilege naming the first object that is hidden, and how many more there are.
    """
    role = connection.info.user
    hidden = [str(name) for (name,) in connection.execute(_ROW_SECURITY)]
    if hidden:
        message = f"row security would hide rows of {_some(hidden)} from role {role}: give it BYPASSRLS"
        raise Stalled(INSUFFICIENT_PRIVILEGE, message)
    refused = [str(name) for (name,) in connection.execute(_NO_RIGHT)]
    if refused:
        remedy = "grant it pg_read_all_data (large objects: SELECT on each)"
        message = f"role {role} may not read {_some(refused)}: {remedy}"
        raise Stalled(INSUFFICIENT_PRIVILEGE, message)


_ROW_SECURITY = f"""
    SELECT format('table %I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND {_OWN} AND row_security_active(c.oid) ORDER BY 1
"""  # noqa: S608

_NO_RIGHT = f"""
    SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND {_OWN}
      AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
    UNION ALL
    SELECT format('large object %s', m.oid) FROM pg_largeobject_metadata m
    WHERE current_setting('is_superuser') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
      AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                      AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
"""  # noqa: S608


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def read_extensions(connection: Connection) -> list[Extension]:
    """The installed extensions."""
    rows = connection.execute("SELECT extname, extversion FROM pg_extension ORDER BY 1")
    return [Extension(name=name, version=version) for name, version in rows]


def read_roles(connection: Connection) -> list[Role]:
    """The roles that objects of this database refer to (owners, grantees, roles in policies), and their groups.

    The bootstrap superuser is always among them: what it owns is not recorded as a dependency.
    """
    rows = connection.execute(
        """
        WITH RECURSIVE used AS (
            SELECT refobjid AS oid FROM pg_shdepend
            WHERE refclassid = 'pg_authid'::regclass
              AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
              AND (dbid <> 0 OR (classid = 'pg_database'::regclass
                                 AND objid = (SELECT oid FROM pg_database WHERE datname = current_database())))
            UNION SELECT datdba FROM pg_database WHERE datname = current_database()
            UNION SELECT 10::oid
            UNION SELECT m.roleid FROM pg_auth_members m JOIN used ON used.oid = m.member
        )
        SELECT r.rolname, ARRAY(SELECT DISTINCT g.rolname::text FROM pg_auth_members m
                                JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1)
        FROM pg_roles r JOIN used ON used.oid = r.oid WHERE r.rolname !~ '^pg_' ORDER BY 1
        """
    )
    return [Role(name=name, member_of=groups) for name, groups in rows]


def read_database(connection: Connection) -> Database:
    """The properties of the connected database."""
    # Columns differ between versions, so the row is read as JSON.
    row = _one(
        connection,
        """
        SELECT to_jsonb(d) - 'datacl', pg_encoding_to_char(d.encoding), pg_get_userbyid(d.datdba),
               pg_database_size(d.oid)
        FROM pg_database d WHERE datname = current_database()
        """,
    )
    properties, encoding, owner, size = row
    providers = {"i": "icu", "b": "builtin"}
    return Database.model_validate(
        {
            "name": properties["datname"],
            "owner": owner,
            "encoding": encoding,
            "collate": properties["datcollate"],
            "ctype": properties["datctype"],
            "localeProvider": providers.get(properties.get("datlocprovider", "c"), "libc"),
            "locale": properties.get("datlocale") or properties.get("daticulocale"),
            "serverVersion": connection.info.server_version,
            "systemIdentifier": _optional(connection, "SELECT system_identifier::text FROM pg_control_system()"),
            "sizeBytes": size,
        }
    )


def read_position(connection: Connection) -> str | None:
    """The position in the WAL; None where the server does not tell (some cloud services)."""
    recovering = _one(connection, "SELECT pg_is_in_recovery()")[0]
    function = "pg_last_wal_replay_lsn" if recovering else "pg_current_wal_lsn"
    return _optional(connection, f"SELECT {function}()::text")


def _optional(connection: Connection, query: str) -> str | None:
    try:
        with connection.transaction():
            value = _one(connection, query)[0]
    except psycopg.DatabaseError as error:
        if error.sqlstate is None:
            raise
        return None
    return None if value is None else str(value)


def _one(connection: Connection, query: str | sql.Composed) -> tuple[Any, ...]:
    row = connection.execute(query.encode() if isinstance(query, str) else query).fetchone()
    if row is None:
        raise psycopg.DataError("no row")
    return row
