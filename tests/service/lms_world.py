"""An AadaLms between a real PostgreSQL and an API server in memory, which a test can stop at any write."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aada_operator.core.conditions import Transition
from aada_operator.core.controller import Controller
from aada_operator.core.resources import (
    AADA_LMS,
    DEPLOYMENTS,
    JOBS,
    SECRETS,
    ApiResource,
    Object,
)
from aada_operator.core.workqueue import Key
from aada_operator.lms import reconcile
from tests.service.operator_kills import Killer
from tests.service.secrecy import secret_values
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, ApiServer, Crash, SetClock, custom_resource

LMS = "aada"
KEY = Key(AADA_LMS.plural, NAMESPACE, LMS)


@dataclass
class LmsServer(ApiServer):
    """Adds server-side apply, and Secrets that are written as text; ``killer`` kills at writes of its own choice.

    ``held`` is each secret value that a Secret ever had, by its name, ``made`` those of them that the operator brought;
    ``statuses`` and ``events`` are all that there ever were.
    """

    killer: Killer | None = None
    held: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def tell(self, body: Object, transitions: list[Transition]) -> None:
        """What an Event would say."""
        self.events.append(f"{body['metadata']['name']}: {transitions}")

    async def create(self, resource: ApiResource, body: Object) -> Object | None:
        before = set(self.held)
        created = await super().create(resource, body)
        self._note_made(before)
        return created

    async def patch(self, resource: ApiResource, body: Object, patch: Object) -> Object | None:
        before = set(self.held)
        changed = await super().patch(resource, body, patch)
        self._note()
        self._note_made(before)
        return changed

    async def patch_status(self, resource: ApiResource, body: Object, status: Object) -> None:
        self.statuses.append(json.dumps(status))
        await super().patch_status(resource, body, status)

    def objects_but_secrets(self) -> list[tuple[tuple[str, str], Object]]:
        """All that others may read."""
        return [(key, body) for key, body in self._objects.items() if key[0] != SECRETS.plural]

    def _note(self) -> None:
        for name in self.names(SECRETS):
            data = self.read(SECRETS, name).get("data") or {}
            values = {key: base64.b64decode(value).decode() for key, value in data.items()}
            self.held = secret_values(name, values) | self.held

    def _note_made(self, before: set[str]) -> None:
        self.made |= {value: name for value, name in self.held.items() if value not in before}

    def _write(self, what: str, act: Callable[[], Any]) -> Any:
        if self.killer:
            self.killer.before(what)
        result = super()._write(what, act)
        if self.killer:
            self.killer.after(what)
        return result

    async def apply(self, resource: ApiResource, body: Object) -> Object:
        name = body["metadata"]["name"]

        def act() -> Object:
            before = self._objects.get((resource.plural, name))
            if before is None:
                return self.add(resource, body)
            told = {field: copy.deepcopy(value) for field, value in body.items() if field != "metadata"}
            changed = any(before.get(field) != value for field, value in told.items())
            before |= told
            for told_of in ("labels", "annotations"):
                before["metadata"][told_of] = copy.deepcopy(body["metadata"].get(told_of) or {})
            before["metadata"]["generation"] += changed
            return before

        made: Object = self._write(f"apply {resource.plural}/{name}", act)
        return copy.deepcopy(made)

    def add(self, resource: ApiResource, body: Mapping[str, Any], *args: Any, **kwargs: Any) -> Object:
        made = super().add(resource, body, *args, **kwargs)
        for key, value in (made.pop("stringData", None) or {}).items():
            made.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
        self._note()
        return made


# Of roles that are called after a database: those that the operator makes, and those that tests do.
ROLES = ("a", "b", "owner", "app", "boss")


class LmsWorld:
    """The operator, the cluster and the server; ``settle`` lets each do its part until nothing is left to do."""

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        self.clock = SetClock()
        self.server = LmsServer(self.clock)
        self.postgres, self.database = postgres, database
        self.revision, self.owner = "0002", f"{database}_owner"
        self.server.secret("db-admin", username=postgres.user, password=postgres.password)
        self.restart()

    def restart(self) -> None:
        """The operator begins anew, knowing nothing."""
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.controller = Controller(capability, self.server, self.server, self.clock)

    def create(self, **patch: Any) -> Object:
        """The AadaLms, on the real server."""
        spec = {
            "version": "v1",
            "components": [{"name": "backend", "role": "api", "image": "lms", "replicas": 2, "command": ["serve"]}],
            "database": {
                "host": self.postgres.host,
                "port": self.postgres.port,
                "name": self.database,
                "sslMode": "disable",
                "adminSecretRef": {"name": "db-admin"},
            },
        }
        return self.server.add(AADA_LMS, custom_resource("AadaLms", LMS, spec | patch))

    def drop(self, *roles: str) -> None:
        """Nothing of it is left on the server, nor of further ``roles``."""
        self.postgres.dropdb(self.database)
        for role in (*(f"{self.database}_{suffix}" for suffix in ROLES), *roles):
            if self.postgres.value(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
                self.postgres.execute(f'DROP OWNED BY "{role}"')
                self.postgres.execute(f'DROP ROLE "{role}"')

    @property
    def lms(self) -> Object:
        return self.server.read(AADA_LMS, LMS)

    def condition(self, kind: str) -> str:
        """Status and reason of a condition."""
        found = next(c for c in self.lms["status"]["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def message(self, kind: str) -> str:
        return str(next(c for c in self.lms["status"]["conditions"] if c["type"] == kind)["message"])

    async def visit(self) -> list[str]:
        """One visit; returns the writes."""
        before = len(self.server.writes)
        await self.controller.visit(KEY)
        return self.server.writes[before:]

    async def settle(self, turns: int = 12) -> None:
        """Let the cluster run what there is and visit, until a visit writes nothing; a killed operator begins anew."""
        for _ in range(turns):
            self.run_jobs()
            self.roll_out()
            try:
                if not await self.visit():
                    return
            except Crash:
                self.restart()
        raise AssertionError(f"still writing after {turns} visits: {self.server.writes[-5:]}")

    def run_jobs(self) -> None:
        """Migrations bring the database to ``self.revision`` with the credentials of the application's Secret."""
        for name in self.server.names(JOBS):
            job = self.server.read(JOBS, name)
            if job.get("status"):
                continue
            with self.postgres.admin(self.database) as admin:
                admin.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.owner)))
                admin.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
                admin.execute("TRUNCATE alembic_version")
                admin.execute("INSERT INTO alembic_version VALUES (%s)", [self.revision])
            job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def roll_out(self) -> None:
        """Every Deployment gets all its pods."""
        for name in self.server.names(DEPLOYMENTS):
            live = self.server.read(DEPLOYMENTS, name)
            count = live["spec"].get("replicas", 1)
            pods = {f: count for f in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas") if count}
            condition = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
            live["status"] = {"observedGeneration": live["metadata"]["generation"], "conditions": [condition]} | pods

    def secret(self, name: str = "aada-db") -> dict[str, str]:
        """The content of a Secret."""
        data = self.server.read(SECRETS, name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}
