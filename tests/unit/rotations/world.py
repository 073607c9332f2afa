"""An LMS that needs no database server: Secrets, pods that have what was in them when they were started, a rotation."""

from __future__ import annotations

import base64
from typing import Any

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.controller import Controller
from aada_operator.core.resources import AADA_LMS, PODS, SECRET_ROTATIONS, SECRETS, Object
from aada_operator.core.workqueue import Key
from aada_operator.rotations import reconcile
from tests.unit.backups.api_server import NAMESPACE, ApiServer, Crash, NoEvents, SetClock, custom_resource

ROTATION, SECRET = "keys", "lms-keys"
VERIFYING = f"{ROTATION}-verify"
MARK = f"rotation.lms.aada.edu/{ROTATION}"
KEY = Key(SECRET_ROTATIONS.plural, NAMESPACE, ROTATION)
WELL = [
    {"type": kind, "status": "True", "reason": "RolledOut"}
    for kind in ("DatabaseReachable", "SchemaCurrent", "RolloutHealthy")
]
LMS: Object = {
    "components": [{"name": "backend", "role": "api", "image": "lms", "port": 8000}],
    "database": {"host": "db", "adminSecretRef": {"name": "db-admin"}},
    "secrets": [
        {"name": "JWT_SECRET_KEY", "secretRef": {"name": SECRET, "key": "jwt"}},
        {"name": "JWT_SECRET_KEYS_ACCEPTED", "secretRef": {"name": SECRET, "key": "accepted"}},
    ],
}


class World:
    """``pods`` have the Secret as it was when they were started; ``stuck`` ones are not started anew.

    ``exit_code`` is how a command that verifies ends; None: it does not.
    """

    def __init__(self, **spec: Any) -> None:
        self.clock = SetClock()
        self.server = ApiServer(self.clock)
        self.stuck = False
        self.pods: dict[str, dict[str, str]] = {}
        self.exit_code: int | None = None
        self.commands: list[Object] = []
        self.server.add(AADA_LMS, custom_resource("AadaLms", "aada", LMS) | {"status": {"conditions": WELL}})
        self.server.secret(SECRET, jwt="first-key", accepted="", other="left alone")
        wanted = {"lmsRef": {"name": "aada"}, "schedule": "0 4 1 * *", "gracePeriod": "15m"} | spec
        self.server.add(SECRET_ROTATIONS, custom_resource("SecretRotation", ROTATION, wanted))
        self.restart()
        self.run_pods()

    def restart(self) -> None:
        """The operator begins anew, knowing nothing."""
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.controller = Controller(capability, self.server, NoEvents(), self.clock)

    @property
    def lms(self) -> Object:
        return self.server.read(AADA_LMS, "aada")

    @property
    def rotation(self) -> Object:
        return self.server.read(SECRET_ROTATIONS, ROTATION)

    @property
    def status(self) -> Object:
        return dict(self.rotation.get("status") or {})

    def said(self, kind: str = "Ready") -> str:
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def told(self, kind: str = "Ready") -> str:
        return str(next(c for c in self.status["conditions"] if c["type"] == kind)["message"])

    def past(self) -> list[str]:
        return [f"{one['result']} {one.get('reason', '')}".strip() for one in self.status.get("history", [])]

    def secret(self) -> dict[str, str]:
        data = self.server.read(SECRETS, SECRET)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def revisions(self) -> list[str]:
        return [name for name in self.server.names(SECRETS) if name.startswith(f"{ROTATION}-r")]

    def run_pods(self) -> None:
        """Two pods; one is replaced at a time, as in a rolling update, when the Secret's revision is another."""
        revision = (self.server.read(SECRETS, SECRET)["metadata"].get("annotations") or {}).get(MARK)
        for name in ("backend-1", "backend-2"):
            known = name in self.pods
            if known and (self.stuck or self.server.read(PODS, name)["metadata"]["annotations"].get(MARK) == revision):
                continue
            self.pods[name] = self.secret()
            source = {"secretKeyRef": {"name": SECRET, "key": "jwt"}}
            container = {"name": "backend", "env": [{"name": "JWT_SECRET_KEY", "valueFrom": source}]}
            labels = {LABEL_LMS: "aada", LABEL_COMPONENT: "backend"}
            annotations = {MARK: revision} if revision else {}
            body = {"metadata": {"name": name, "labels": labels, "annotations": annotations}}
            self.server.add(PODS, body | {"spec": {"containers": [container]}, "status": {"phase": "Running"}})
            if known:
                return

    def run_command(self) -> None:
        """A pod that verifies runs its command, with the Secret as it is."""
        if VERIFYING not in self.server.names(PODS):
            return
        pod = self.server.read(PODS, VERIFYING)
        if "status" not in pod:
            self.commands.append(pod | {"secret": self.secret()})
            pod["status"] = {"phase": "Running"}
        if self.exit_code is not None:
            ended = {"terminated": {"exitCode": self.exit_code, "message": "token=canary-output"}}
            pod["status"] = {"phase": "Failed", "containerStatuses": [{"name": "backend", "state": ended}]}

    async def turn(self) -> None:
        """The cluster does a little, the rotation takes a step."""
        self.run_pods()
        self.run_command()
        try:
            await self.controller.visit(KEY)
        except Crash:
            self.restart()

    async def turns(self, count: int = 60, *, until: str = "", seconds: float = 1) -> None:
        """Let time go by, until a step is reached if one is named, or nothing is under way."""
        for _ in range(count):
            await self.turn()
            if (until and self.status.get("step") == until) or (not until and self.is_at_rest()):
                return
            self.clock.advance(seconds=seconds)
        raise AssertionError(f"not there after {count} turns: {self.status.get('step')}, {self.told()}")

    def is_at_rest(self) -> bool:
        return self.status.get("step") == "" and self.revisions() == [] and not self.server.claims()
