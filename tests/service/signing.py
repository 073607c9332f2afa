"""A school whose signing key is replaced: both variables of it, refresh tokens in its database, and who asks for it."""

from __future__ import annotations

from typing import Any

from aada_operator.core.clock import to_rfc3339
from tests.service.rotation_world import RotationWorld

KEYS = "lms-keys"
VARIABLES = [
    {"name": "JWT_SECRET_KEY", "secretRef": {"name": KEYS, "key": "jwt"}},
    {"name": "JWT_SECRET_KEYS_ACCEPTED", "secretRef": {"name": KEYS, "key": "accepted"}},
]
REVOKE = "UPDATE refresh_tokens SET revoked_at = now() WHERE revoked_at IS NULL"


def ask(school: RotationWorld) -> None:
    """Somebody asks for a rotation now."""
    school.clock.advance(hours=1)
    school.rotation["metadata"]["annotations"] = {"lms.aada.edu/rotate-at": to_rfc3339(school.clock.now())}


async def signing(school: RotationWorld, statement: str = REVOKE, **spec: Any) -> None:
    """An LMS with refresh tokens, two of three of them alive, whose signing key has leaked."""
    school.server.secret(KEYS, jwt="first-key", accepted="")
    connections = {"workers": 1, "poolSize": 5, "maxOverflow": 0}
    component = {"name": "backend", "role": "api", "image": "lms", "command": ["serve"], "connections": connections}
    school.create(secrets=VARIABLES, components=[component])
    await school.settle()
    held = school.secret()
    with school.log_in(held["username"], held["password"]) as session:
        session.execute("CREATE TABLE refresh_tokens (id serial PRIMARY KEY, revoked_at timestamptz)")
        session.execute("INSERT INTO refresh_tokens (revoked_at) VALUES (NULL), (NULL), ('2026-01-01')")
    school.postgres.execute("CREATE TABLE payroll (id int)", school.database)
    jwt = {"revokeSql": statement}
    school.declare(**{"type": "JwtSigningKey", "emergency": True, "jwt": jwt} | spec)
    school.run_pods()
    await school.turns()


def alive(school: RotationWorld) -> int:
    return len(school.column("SELECT id FROM refresh_tokens WHERE revoked_at IS NULL AND %s <> ''"))
