"""A SecretRotation beside its AadaLms: a real PostgreSQL, an API server in memory, and pods that hold real sessions."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import psycopg

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Controller
from aada_operator.core.resources import BACKUP_POLICIES, DEPLOYMENTS, PODS, SECRET_ROTATIONS, SECRETS, Object
from aada_operator.core.workqueue import Key
from aada_operator.rotations import reconcile
from tests.service.lms_world import LmsWorld
from tests.service.servers import PostgresServer
from tests.unit.backups.api_server import NAMESPACE, Crash, custom_resource

ROTATION = "login"
CANARY = f"{ROTATION}-canary"
KEY = Key(SECRET_ROTATIONS.plural, NAMESPACE, ROTATION)
SPEC: Object = {
    "lmsRef": {"name": "aada"},
    "type": "DatabasePassword",
    "schedule": "0 4 1 * *",
    "gracePeriod": "15m",
    "drainTimeout": "10m",
}


class RotationWorld(LmsWorld):
    """``sessions`` are those of the pods, by pod; ``stuck`` pods are not replaced, ``sick`` canaries never ready.

    No pod is ever refused where the strategy ``is_steady``: one that is raises psycopg.OperationalError.
    """

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        self.sessions: dict[str, psycopg.Connection[Any]] = {}
        self.stuck = self.sick = False
        self.is_steady = True
        super().__init__(postgres, database)

    def restart(self) -> None:
        super().restart()
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.rotations = Controller(capability, self.server, self.server, self.clock)

    def close(self) -> None:
        """All pods end."""
        for session in self.sessions.values():
            session.close()

    def declare(self, **patch: Any) -> Object:
        """The SecretRotation."""
        return self.server.add(SECRET_ROTATIONS, custom_resource("SecretRotation", ROTATION, SPEC | patch))

    @property
    def rotation(self) -> Object:
        return self.server.read(SECRET_ROTATIONS, ROTATION)

    @property
    def status(self) -> Object:
        return dict(self.rotation["status"])

    def said(self, kind: str) -> str:
        """Status and reason of a condition of the SecretRotation."""
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def told(self, kind: str = "Ready") -> str:
        """The message of a condition of the SecretRotation."""
        return str(next(c for c in self.status["conditions"] if c["type"] == kind)["message"])

    def past(self) -> list[str]:
        """How the rotations ended, the newest first."""
        return [f"{one['result']} {one.get('reason', '')}".strip() for one in self.status.get("history", [])]

    async def turn(self) -> None:
        """The cluster does its part, the rotation takes a step, the AadaLms is woken by it."""
        self.run_jobs()
        self.roll_out()
        self.run_pods()
        self.run_canary()
        try:
            await self.rotations.visit(KEY)
            await self.visit()
        except Crash:
            self.restart()

    async def turns(self, count: int = 40, *, until: str = "", seconds: float = 1) -> None:
        """Let time go by, until a step is reached if one is named, or nothing is under way."""
        for _ in range(count):
            await self.turn()
            status = self.rotation.get("status") or {}
            if (until and status.get("step") == until) or (not until and self.is_at_rest()):
                return
            self.clock.advance(seconds=seconds)
        message = (self.rotation.get("status") or {}).get("conditions")
        raise AssertionError(f"not there after {count} turns: {status.get('step')}, {message}")

    def is_at_rest(self) -> bool:
        """Whether no rotation is under way and nothing of one is left."""
        status = self.rotation.get("status") or {}
        return status.get("step") == "" and self.revisions() == [] and not self.server.claims()

    async def rotate(self, **span: float) -> None:
        """Wait until it is due, and then for its end."""
        self.clock.advance(**(span or {"days": 31}))
        await self.turns(until="Grace")
        self.clock.advance(minutes=16)
        await self.turns()

    def revisions(self) -> list[str]:
        """Names of the Secrets of revisions."""
        return [name for name in self.server.names(SECRETS) if name.startswith(f"{ROTATION}-r")]

    def run_pods(self) -> None:
        """One pod of each Deployment; another one when its template changed, which logs in with the Secret as it is."""
        for gone in self.sessions.keys() - set(self.server.names(DEPLOYMENTS)):
            self.sessions.pop(gone).close()
            self.server.remove(PODS, gone)
        for name in self.server.names(DEPLOYMENTS):
            template = self.server.read(DEPLOYMENTS, name)["spec"]["template"]
            before = self.server._objects.get((PODS.plural, name))
            if before and (self.stuck or before["metadata"]["annotations"] == template["metadata"]["annotations"]):
                continue
            held = self.secret()
            try:
                session = self.log_in(held["username"], held["password"])
            except psycopg.OperationalError:
                if self.is_steady:
                    raise
                continue  # the new pod does not become ready, so the old one stays
            if name in self.sessions:
                self.sessions.pop(name).close()
            body = {"metadata": {"name": name, **template["metadata"]}, "spec": template["spec"]}
            self.server.add(PODS, body | {"status": {"phase": "Running"}})
            self.sessions[name] = session

    def run_canary(self) -> None:
        """The canary is ready once it can log in with the Secret that it names."""
        if CANARY not in self.server.names(PODS) or self.sick:
            return
        pod = self.server.read(PODS, CANARY)
        assert LABEL_COMPONENT not in pod["metadata"]["labels"], "a Service would find it"
        assert pod["metadata"]["labels"][LABEL_LMS] == "aada"
        environment = pod["spec"]["containers"][0]["env"]
        source = next(v["valueFrom"]["secretKeyRef"] for v in environment if v["name"] == "DATABASE_URL")
        held = self.secret(source["name"])
        self.log_in(held["username"], held["password"]).close()
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    def log_in(self, user: str, password: str) -> psycopg.Connection[Any]:
        """Log in as the application does; raises psycopg.OperationalError."""
        where: dict[str, Any] = {"host": self.postgres.host, "port": self.postgres.port, "dbname": self.database}
        return psycopg.connect(user=user, password=password, autocommit=True, **where)

    def may_log_in(self, user: str, password: str) -> bool:
        """Whether the server lets it in."""
        with suppress(psycopg.OperationalError):
            self.log_in(user, password).close()
            return True
        return False

    def open_logins(self) -> list[str]:
        """The roles of this database that may log in."""
        return self.column("SELECT rolname FROM pg_roles WHERE rolcanlogin AND starts_with(rolname, %s) ORDER BY 1")

    def owners(self) -> list[str]:
        """Who owns the relations in the database."""
        return self.column("SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE oid >= 16384 AND %s <> ''")

    def column(self, query: str) -> list[str]:
        """What a query gives that is asked about the database of this world, which is its parameter."""
        with self.postgres.admin(self.database) as admin:
            return [str(row[0]) for row in admin.execute(query.encode(), [self.database]).fetchall()]

    def encoded(self, **values: str) -> dict[str, str]:
        """Values as a Secret's data."""
        return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


async def installed(world: RotationWorld, **spec: object) -> RotationWorld:
    """An LMS that serves, and a SecretRotation that is not due yet."""
    world.create()
    await world.settle()
    world.declare(**spec)
    world.run_pods()
    await world.turns()
    return world


async def adopted(world: RotationWorld) -> str:
    """An LMS as people run it by hand: one role owns the database and everything in it; returns that role."""
    name, role = world.database, f"{world.database}_app"
    world.postgres.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'chosen-by-hand' CONNECTION LIMIT 40")
    world.postgres.execute(f'ALTER ROLE "{role}" SET search_path = public, "odd name"')
    world.postgres.createdb(name, owner=role)
    with world.log_in(role, "chosen-by-hand") as session:
        session.execute("CREATE TABLE students (id serial PRIMARY KEY, name text)")
        session.execute("INSERT INTO students (name) VALUES ('Ada')")
    world.postgres.execute("CREATE TABLE lent (id int)", name)
    world.postgres.execute(f'GRANT SELECT, INSERT ON lent TO "{role}"', name)
    values = {
        "url": f"postgresql+psycopg2://{role}:chosen-by-hand@{world.postgres.host}:{world.postgres.port}/{name}?x=1",
        "host": world.postgres.host,
        "port": str(world.postgres.port),
        "name": name,
        "username": role,
        "password": "chosen-by-hand",
    }
    world.server.add(SECRETS, {"metadata": {"name": "aada-db"}, "data": world.encoded(**values)})
    world.create()
    world.owner = role
    await world.settle()
    world.declare()
    world.run_pods()
    await world.turns()
    return role


def fresh_backup(world: RotationWorld) -> None:
    """A BackupPolicy whose newest backup is of now."""
    spec = {"lmsRef": {"name": "aada"}, "objectives": {"rpo": "999d"}}
    policy = custom_resource("BackupPolicy", "nightly", spec)
    world.server.add(BACKUP_POLICIES, policy | {"status": {"lastFull": to_rfc3339(world.clock.now())}})


def rolled_back(school: RotationWorld, reason: str, old: dict[str, str]) -> None:
    """Make sure that a rotation ended where it began, and that the history says which one it was, and why."""
    newest = school.status["history"][0]
    assert (newest["result"], newest["reason"]) == ("RolledBack", reason)
    assert newest["login"] not in ("", old["username"])
    assert newest["message"]
    assert newest["message"] in school.told()
    assert newest["revision"] == school.status["revision"] or school.status["revision"] == 0, "it reached no pod"
    assert school.secret() == old
    assert school.may_log_in(old["username"], old["password"])
    assert school.open_logins() == [old["username"]]
    assert school.revisions() == []
    assert CANARY not in school.server.names(PODS)
    assert school.said("Ready") == "False RolledBack"
    assert school.condition("Ready") == "True Ready", "the LMS serves as before"


def drop(world: RotationWorld) -> None:
    """What a world left on the server."""
    world.close()
    world.drop()
