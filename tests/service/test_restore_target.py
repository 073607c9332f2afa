"""What a restore sees of a real server before anything on it is touched."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.adapters.postgres_restores import restore_target
from aada_operator.api.common import LocalRef
from aada_operator.api.lms import Database
from aada_operator.core.database import RestoreTarget
from aada_operator.core.errors import Waiting
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, ApiServer, SetClock

UID = "12345678-9abc-4def-8000-000000000000"


def secrets(server: PostgresServer, **values: str) -> Any:
    """An API server with the admin's Secret."""
    api = ApiServer(SetClock())
    api.secret("db-admin", **({"username": server.user, "password": server.password} | values))
    return api


def lms_database(server: PostgresServer) -> Database:
    return Database(host=server.host, port=server.port, ssl_mode="disable", admin_secret_ref=LocalRef(name="db-admin"))


async def seen(server: PostgresServer, name: str, **login: str) -> RestoreTarget:
    api = secrets(server, **login)
    async with admin_session(api, NAMESPACE, lms_database(server), True) as session:
        return await restore_target(session, name)


async def test_a_free_name_on_a_server_whose_admin_may_make_databases(postgres: PostgresServer) -> None:
    target = await seen(postgres, "nobody_has_it")
    assert target == RestoreTarget(postgres.user, 15, may_create=True, comment=None)
    assert not target.is_taken(UID)


async def test_a_database_without_a_comment_is_somebodys(postgres: PostgresServer, database: str) -> None:
    assert (await seen(postgres, database)).is_taken(UID)


@pytest.mark.parametrize("mark", ["", ";complete"])
async def test_a_database_with_our_comment_is_ours_and_of_no_other_restore(
    postgres: PostgresServer, database: str, mark: str
) -> None:
    postgres.execute(f"COMMENT ON DATABASE {database} IS 'lms.aada.edu/restore={UID}{mark}'")
    target = await seen(postgres, database)
    assert not target.is_taken(UID)
    assert target.is_taken("another-uid")


@pytest.mark.parametrize(("right", "may_create"), [("CREATEDB", True), ("NOCREATEDB", False)])
async def test_the_right_to_make_databases_is_seen(postgres: PostgresServer, right: str, may_create: bool) -> None:
    role = f"restorer_{right.lower()}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary' {right}")
    target = await seen(postgres, "nobody_has_it", username=role, password="canary")
    assert (target.username, target.may_create) == (role, may_create)


async def test_a_wrong_password_names_the_secret(postgres: PostgresServer) -> None:
    with pytest.raises(Waiting, match=r"AuthenticationFailed.*Secret db-admin"):
        await seen(postgres, "nobody_has_it", password="canary")
