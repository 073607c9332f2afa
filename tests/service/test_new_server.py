"""The roles of a backup on a real server: made once, as they were, and nobody else's touched."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from aada_operator.adapters import postgres as adapter
from aada_operator.adapters.postgres import Endpoint, Login
from aada_operator.adapters.postgres_new_server import look, make_roles
from aada_operator.adapters.postgres_roles import give_password
from aada_operator.api.bundle import Membership, RoleDefinition, RoleSetting
from aada_operator.core.errors import Waiting
from aada_operator.restores.rebuild import roles_to_make
from tests.service.servers import PostgresServer

MARK = "lms.aada.edu/restore=u1"
OWNER = RoleDefinition(name="new owner")
APP = RoleDefinition(
    name='new"app',
    login=True,
    connection_limit=9,
    valid_until="2040-01-01T12:00:00.000000Z",
    member_of=[Membership(role="new owner")],
    settings=[RoleSetting(name="role", value="new owner"), RoleSetting(name="search_path", value='"$user", public')],
)
ROLES = [APP, OWNER]
NAMES = [role.name for role in ROLES]


@pytest.fixture(autouse=True)
def clean(postgres: PostgresServer) -> Iterator[None]:
    yield
    postgres.execute('DROP ROLE IF EXISTS "new""app", "new owner", builder')


async def make(postgres: PostgresServer, username: str = "", password: str = "") -> int:
    """What a visit of the operator does; returns how many roles it made or changed."""
    endpoint = Endpoint(postgres.host, postgres.port, "disable", allow_local=True)
    login = Login(username or postgres.user, password or postgres.password, "Secret db-admin")
    async with adapter.session(endpoint, login, adapter.MAINTENANCE) as session:
        there = await look(session, NAMES)
        wanted = roles_to_make(ROLES, there.roles, MARK)
        await make_roles(session, wanted, there, MARK)
    return len(wanted)


async def test_roles_come_back_as_they_were_and_once(postgres: PostgresServer) -> None:
    assert await make(postgres) == 2
    assert await make(postgres) == 0
    assert (
        postgres.value("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'new owner'") == MARK
    )


async def test_an_admin_that_is_no_superuser_can_make_them(postgres: PostgresServer) -> None:
    postgres.execute("CREATE ROLE builder LOGIN CREATEDB CREATEROLE PASSWORD 'canary-b'")
    assert await make(postgres, "builder", "canary-b") == 2
    assert await make(postgres, "builder", "canary-b") == 0


async def test_roles_that_the_load_made_without_login_get_what_they_lack(postgres: PostgresServer) -> None:
    postgres.execute(f'CREATE ROLE "new""app" NOLOGIN; COMMENT ON ROLE "new""app" IS \'{MARK}\'')
    assert await make(postgres) == 2
    assert postgres.value("SELECT rolcanlogin FROM pg_roles WHERE rolname LIKE 'new_app'") is True


async def test_a_role_of_somebody_else_is_not_touched(postgres: PostgresServer) -> None:
    postgres.execute('CREATE ROLE "new owner" LOGIN CONNECTION LIMIT 3')
    assert await make(postgres) == 1
    row = "SELECT (rolcanlogin, rolconnlimit)::text FROM pg_roles WHERE rolname = 'new owner'"
    assert postgres.value(row) == "(t,3)"


async def test_all_or_none_are_made(postgres: PostgresServer) -> None:
    postgres.execute("CREATE ROLE builder LOGIN CREATEROLE PASSWORD 'canary-b'; CREATE ROLE \"new owner\" SUPERUSER")
    with pytest.raises(Waiting, match="InsufficientPrivilege"):
        await make(postgres, "builder", "canary-b")
    assert postgres.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'new_app'") == 0


async def test_the_password_opens_the_door_and_no_log_has_it(postgres: PostgresServer) -> None:
    postgres.execute("ALTER ROLE postgres SET log_statement = 'all'")
    try:
        await make(postgres)
        endpoint = Endpoint(postgres.host, postgres.port, "disable", allow_local=True)
        admin = Login(postgres.user, postgres.password, "Secret db-admin")
        async with adapter.session(endpoint, admin, adapter.MAINTENANCE) as session:
            await give_password(session, APP.name, "canary-new-password")
    finally:
        postgres.execute("ALTER ROLE postgres RESET log_statement")
    psycopg.connect(
        host=postgres.host, port=postgres.port, dbname="postgres", user=APP.name, password="canary-new-password"
    ).close()
    log = postgres.log.read_text()
    assert "ALTER ROLE" in log
    assert "canary-new-password" not in log
