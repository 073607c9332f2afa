"""An AadaLms on a real PostgreSQL that is ready, and a ScalingPolicy for its pods."""

from __future__ import annotations

from typing import Any

import psycopg

from aada_operator.core.controller import Controller
from aada_operator.core.managed_fields import SCALING_MANAGER
from aada_operator.core.resources import DEPLOYMENTS, SCALING_POLICIES, ApiResource, Object
from aada_operator.core.workqueue import Key
from aada_operator.scaling import reconcile
from tests.service.lms_world import LmsServer, LmsWorld
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, NoEvents, custom_resource

POLICY = "backend"
KEY = Key(SCALING_POLICIES.plural, NAMESPACE, POLICY)
COMPONENT: dict[str, Any] = {
    "name": "backend", "role": "api", "image": "lms", "replicas": 2, "command": ["serve"],
    "connections": {"workers": 2, "poolSize": 3, "maxOverflow": 2},
}  # fmt: skip


class Server(LmsServer):
    """Adds what a policy applies, one field of a Deployment that is there, and that nobody else resets it."""

    async def apply(self, resource: ApiResource, body: Object, manager: str = "") -> Object:
        if manager != SCALING_MANAGER:
            if resource == DEPLOYMENTS and "replicas" not in body["spec"]:
                kept = self.read(resource, body["metadata"]["name"])["spec"]["replicas"]
                body = body | {"spec": body["spec"] | {"replicas": kept}}
            return await super().apply(resource, body)
        live = self.read(resource, body["metadata"]["name"])
        live["spec"] |= body["spec"]
        fields: Object = {"f:spec": {"f:replicas": {}}}
        live["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": fields}]
        return live


class ScalingWorld(LmsWorld):
    """An AadaLms that is ready, and a policy for its backend."""

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        super().__init__(postgres, database)
        self.server = Server(self.clock)
        self.server.secret("db-admin", username=postgres.user, password=postgres.password)
        self.restart()

    def restart(self) -> None:
        super().restart()
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.scaling = Controller(capability, self.server, NoEvents(), self.clock)

    def declare(self, **spec: Any) -> None:
        target = {"lmsRef": {"name": "aada"}, "component": "backend"}
        self.server.add(SCALING_POLICIES, custom_resource("ScalingPolicy", POLICY, {"target": target} | spec))

    async def turns(self) -> None:
        """The AadaLms and the policy take turns until nothing is left to do."""
        for _ in range(4):
            await self.settle()
            await self.look()

    async def look(self) -> None:
        """The policy's next visit."""
        await self.scaling.visit(KEY)

    @property
    def status(self) -> Object:
        return dict(self.server.read(SCALING_POLICIES, POLICY)["status"])

    def said(self, kind: str) -> str:
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def limit(self, role: str = "a") -> int:
        """CONNECTION LIMIT of a role of the application."""
        query = f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{self.database}_{role}'"
        return int(self.postgres.value(query))

    def log_in(self) -> psycopg.Connection[Any]:
        """A session of the application."""
        secret = self.secret()
        return psycopg.connect(host=self.postgres.host, port=self.postgres.port, dbname=self.database,
                               user=secret["username"], password=secret["password"])  # fmt: skip
