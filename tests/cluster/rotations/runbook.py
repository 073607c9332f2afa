"""A rotation as the operations runbook has it: ALTER USER, the Secret, a restart of everything."""

from __future__ import annotations

import base64
import json
import secrets

from tests.cluster.rotations import logins
from tests.cluster.rotations.school import DATABASE, SECRET, School


def by_the_runbook(school: School) -> None:
    """Change the password in place and wait until everybody has it."""
    workspace = school.workspace
    held = {
        key: base64.b64decode(value).decode()
        for key, value in (workspace.get(f"secret/{SECRET}") or {})["data"].items()
    }
    password = secrets.token_urlsafe(24)
    school.database.sql(f"ALTER ROLE {held['username']} PASSWORD '{password}'", DATABASE)
    changed = {"password": password, "url": held["url"].replace(held["password"], password)}
    workspace.kubectl("patch", "secret", SECRET, "--patch", json.dumps({"stringData": changed}))
    logins.restarted(workspace)
    workspace.kubectl("rollout", "status", "deployment/aada-backend", "--timeout=120s")
