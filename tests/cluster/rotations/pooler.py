"""A school whose application connects through a PgBouncer that asks the server who may log in."""

from __future__ import annotations

import secrets

from tests.cluster.rotations.school import DATABASE, School
from tests.cluster.workspace import LONG
from tests.service.poolers import AUTH_QUERY, CONFIGURATION, LOOKUP
from tests.testbed.cluster import Cluster
from tests.testbed.services import install_pgbouncer

ROLE = "pgbouncer"
CONSOLE = "console"
ADMIN_SECRET = "pooler-admin"
PLACE = {"host": "pgbouncer", "port": 5432, "adminSecretRef": {"name": ADMIN_SECRET}}


def open_school(cluster: Cluster, name: str) -> School:
    """The school, ready, as docs/rotations.md describes it."""
    return School.open(cluster, name, before=_install, database={"pooler": PLACE})


def _install(school: School) -> None:
    """PgBouncer, once there is the database in which its function is made."""
    passwords = {user: secrets.token_urlsafe(16) for user in (ROLE, CONSOLE)}
    school.workspace.secret(ADMIN_SECRET, username=CONSOLE, password=passwords[CONSOLE])
    school.workspace.wait_condition("lms/aada", "DatabaseReachable", timeout=LONG)
    school.database.sql(LOOKUP.format(role=ROLE, password=passwords[ROLE]), DATABASE)
    files = {"pgbouncer.ini": _configuration(school), "users.txt": _users(passwords)}
    install_pgbouncer(school.workspace.cluster, school.workspace.namespace, files)


def _configuration(school: School) -> str:
    text = CONFIGURATION.format(
        database=DATABASE, host=school.database.host, server_port=5432, port=6432, folder="/config", admin=CONSOLE,
        auth_type="scram-sha-256", auth_query=AUTH_QUERY.format(role=ROLE), settings="", options="",
    )  # fmt: skip
    return text.replace("listen_addr = 127.0.0.1", "listen_addr = *")


def _users(passwords: dict[str, str]) -> str:
    return "".join(f'"{user}" "{password}"\n' for user, password in passwords.items())
