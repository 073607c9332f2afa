"""A Deployment between an AadaLms, a ScalingPolicy and the cluster's autoscaler, with an API server in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from aada_operator.adapters import postgres_limits
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.conditions import ConditionSet
from aada_operator.core.controller import Controller, Visit
from aada_operator.core.database import Activity, ConnectionLimits, RoleLimit
from aada_operator.core.errors import Waiting
from aada_operator.core.managed_fields import FIELD_MANAGER
from aada_operator.core.resources import AADA_LMS, AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES, ApiResource, Object
from aada_operator.core.workqueue import Key
from aada_operator.lms.workloads import WorkloadsReconciler
from aada_operator.lms.world import Secrets
from aada_operator.lms.world import World as LmsWorld
from aada_operator.scaling import activity, connections, fence, reconcile
from tests.unit.backups.api_server import NAMESPACE, ApiServer, Crash, NoEvents, SetClock, custom_resource
from tests.unit.scaling.samples import TARGET, component

POLICY, DEPLOYMENT = "backend", "aada-backend"
KEY = Key(SCALING_POLICIES.plural, NAMESPACE, POLICY)
CONTROLLER = "kube-controller-manager"


class Cluster(ApiServer):
    """Adds server-side apply as far as the number of pods is concerned: who owns it, and what becomes of it."""

    def owners(self) -> set[str]:
        """Who owns the number of pods."""
        entries = self.read(DEPLOYMENTS, DEPLOYMENT)["metadata"].get("managedFields", ())
        return {entry["manager"] for entry in entries}

    def own(self, managers: set[str]) -> None:
        """Who owned it before is noted with the time of then."""
        metadata = self.read(DEPLOYMENTS, DEPLOYMENT)["metadata"]
        before = {entry["manager"]: entry for entry in metadata.get("managedFields", ())}
        field: Object = {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
        timed = field | {"time": to_rfc3339(self.clock.now())}
        # An autoscaler writes a Scale: of that no time is noted.
        notes = {one: (field if one == CONTROLLER else timed) | {"manager": one} for one in sorted(managers)}
        metadata["managedFields"] = [before.get(one, note) for one, note in notes.items()]

    def give_value(self, managers: set[str]) -> None:
        """Own a number that is another from now on."""
        self.own(set())
        self.own(managers)

    def set_size(self, replicas: int, manager: str) -> None:
        """A change of the number by somebody, who alone owns it then; the same number changes nothing.

        Nobody owns none: a Scale of no pods has no such field.
        """
        live = self.read(DEPLOYMENTS, DEPLOYMENT)
        if live["spec"]["replicas"] != replicas:
            live["spec"]["replicas"] = replicas
            live["metadata"]["resourceVersion"] = str(next(self._numbers))
            self.give_value({manager} if replicas else set())

    async def apply(self, resource: ApiResource, body: Object, manager: str = FIELD_MANAGER) -> Object:
        name = body["metadata"]["name"]

        def act() -> Object:
            live = self._objects.get((resource.plural, name))
            if live is None:
                live = self.add(resource, body)
                if resource == DEPLOYMENTS:
                    self.own({manager})
                return live
            version = body["metadata"].get("resourceVersion")
            if version and version != live["metadata"]["resourceVersion"]:
                raise Waiting("Conflict", "changed meanwhile", 1.0)
            if resource == DEPLOYMENTS:
                self._apply_size(live, body["spec"].get("replicas"), manager)
            live["spec"] |= {key: value for key, value in copy.deepcopy(body["spec"]).items() if key != "replicas"}
            if manager == FIELD_MANAGER:
                for field in ("labels", "annotations"):
                    live["metadata"][field] = copy.deepcopy(body["metadata"].get(field) or {})
            live["metadata"]["resourceVersion"] = str(next(self._numbers))
            return live

        made: Object = self._write(f"apply {resource.plural}/{name} as {manager}", act)
        return copy.deepcopy(made)

    def _apply_size(self, live: Object, wanted: int | None, manager: str) -> None:
        owners = self.owners()
        if wanted is None:
            if owners == {manager}:  # the last owner gave it up: the server's default
                live["spec"]["replicas"] = 1
            self.own(owners - {manager})
        elif wanted == live["spec"]["replicas"]:
            self.own(owners | {manager})
        else:
            live["spec"]["replicas"] = wanted
            self.give_value({manager})


class World:
    """``load`` is how many pods the metrics ask for, None where there are no metrics."""

    def __init__(self, monkeypatch: Any, replicas: int = 2, **spec: Any) -> None:
        self.clock = SetClock()
        self.server = Cluster(self.clock)
        self.load: int | None = 2
        self.limits = ConnectionLimits(100, 3, roles=(RoleLimit("aada_lms_a", -1, ours=True),))
        self.away: Waiting | None = None
        self.sizes: list[int] = []
        # Pods of the newest revision; None for all of them.
        self.updated: int | None = None
        self.declare(replicas)
        self.server.secret("aada-db", url="postgresql://…", username="aada_lms_a")
        self.spec = {"target": TARGET} | spec
        self.activity = Activity(sessions=10, slots=97)
        monkeypatch.setattr(connections, "limits_of", self._limits_of)
        monkeypatch.setattr(activity, "activity_of", self._activity_of)
        monkeypatch.setattr(fence, "admin_session", _nobody)
        monkeypatch.setattr(fence, "alone", _nobody)
        monkeypatch.setattr(postgres_limits, "limit", self._limit)
        self.restart()

    def declare(self, replicas: int) -> None:
        """The AadaLms, with so many replicas of its component."""
        requests = {"requests": {"cpu": "250m"}}
        spec = {
            "components": [component(replicas=replicas, resources=requests)],
            "database": {"host": "db", "adminSecretRef": {"name": "db-admin"}},
        }
        if AADA_LMS.plural in {plural for plural, _ in self.server._objects}:
            self.server.read(AADA_LMS, "aada")["spec"] = spec
        else:
            self.server.add(AADA_LMS, custom_resource("AadaLms", "aada", spec))

    def restart(self) -> None:
        """The operator begins anew, knowing nothing."""
        capability = reconcile.capability(self.server, allow_local=True)  # type: ignore[arg-type]
        self.controller = Controller(capability, self.server, NoEvents(), self.clock)
        self.workloads = WorkloadsReconciler(self.server)  # type: ignore[arg-type]

    def create(self) -> None:
        """The ScalingPolicy."""
        self.server.add(SCALING_POLICIES, custom_resource("ScalingPolicy", POLICY, self.spec))

    async def _limits_of(self, *_: Any) -> ConnectionLimits:
        if self.away:
            raise self.away
        return self.limits

    async def _activity_of(self, *_: Any) -> Activity:
        if self.away:
            raise self.away
        return self.activity

    async def _limit(self, _: Any, roles: list[str], connections_: int) -> None:
        changed = tuple(
            RoleLimit(role.name, connections_ if role.name in roles else role.limit, role.ours)
            for role in self.limits.roles
        )
        self.limits = ConnectionLimits(
            self.limits.max_connections, self.limits.superusers, roles=changed, others=self.limits.others
        )

    @property
    def fence(self) -> int:
        """CONNECTION LIMIT of the application's role."""
        return self.limits.roles[0].limit

    @property
    def pods(self) -> int:
        return int(self.server.read(DEPLOYMENTS, DEPLOYMENT)["spec"]["replicas"])

    @property
    def policy(self) -> Object:
        return self.server.read(SCALING_POLICIES, POLICY)

    @property
    def status(self) -> Object:
        return dict(self.policy.get("status") or {})

    @property
    def bounds(self) -> tuple[int, int] | None:
        """What the autoscaler may choose from."""
        if POLICY not in self.server.names(AUTOSCALERS):
            return None
        spec = self.server.read(AUTOSCALERS, POLICY)["spec"]
        return spec["minReplicas"], spec["maxReplicas"]

    def said(self, kind: str = "Ready") -> str:
        found = next(c for c in self.status["conditions"] if c["type"] == kind)
        return f"{found['status']} {found['reason']}"

    def told(self, kind: str = "Ready") -> str:
        return str(next(c for c in self.status["conditions"] if c["type"] == kind)["message"])

    def edit(self, **patch: Any) -> None:
        """Somebody changes the policy."""
        self.policy["spec"] |= patch

    async def lms_turn(self) -> None:
        """The AadaLms brings its Deployment about."""
        body = copy.deepcopy(self.server.read(AADA_LMS, "aada"))
        spec = AadaLmsSpec.model_validate(body["spec"])
        visit = Visit(body, spec, self.clock.now(), {}, ConditionSet([], 1, self.clock.now()))
        secrets = Secrets(self.server, NAMESPACE)  # type: ignore[arg-type]
        await self.workloads.reconcile(visit, LmsWorld(secrets, connected=True, schema_current=True))

    def autoscaler_turn(self) -> None:
        """What the cluster's controller does with a HorizontalPodAutoscaler every 15 seconds."""
        for name in self.server.names(AUTOSCALERS):
            live = self.server.read(AUTOSCALERS, name)
            least, most = live["spec"]["minReplicas"], live["spec"]["maxReplicas"]
            desired = int((live.get("status") or {}).get("desiredReplicas", self.pods))
            pods = self.pods
            if self.pods == 0:
                desired = 0
            elif not least <= self.pods <= most:
                desired = min(max(self.pods, least), most)
            elif self.load is not None:
                desired = min(max(self.load, least), most)
            self.server.set_size(desired if self.load is not None or not least <= self.pods <= most else self.pods,
                                 CONTROLLER)  # fmt: skip
            active = {"type": "ScalingActive", "status": "True" if self.load is not None else "False"}
            active |= {"reason": "ValidMetricFound" if self.load is not None else "FailedGetResourceMetric"}
            limited = {"type": "ScalingLimited", "status": "True" if (self.load or 0) > most else "False"}
            limited |= {"reason": "TooManyReplicas" if (self.load or 0) > most else "DesiredWithinRange"}
            last = (
                to_rfc3339(self.clock.now()) if self.pods != pods else (live.get("status") or {}).get("lastScaleTime")
            )
            live["status"] = {"desiredReplicas": desired, "conditions": [active, limited], "lastScaleTime": last}
            notes = {"manager": CONTROLLER, "subresource": "status", "fieldsV1": {"f:status": {}}}
            live["metadata"]["managedFields"] = [notes]

    def pods_turn(self) -> None:
        """Pods start and end."""
        if DEPLOYMENT in self.server.names(DEPLOYMENTS):
            live = self.server.read(DEPLOYMENTS, DEPLOYMENT)
            count, updated = live["spec"]["replicas"], self.updated
            live["status"] = {"replicas": count, "updatedReplicas": count if updated is None else updated}
            live["status"]["observedGeneration"] = live["metadata"].get("generation", 0)
            self.sizes.append(live["spec"]["replicas"])

    async def visit(self) -> list[str]:
        """One visit of the policy; returns the writes."""
        before = len(self.server.writes)
        await self.controller.visit(KEY)
        return self.server.writes[before:]

    async def turn(self) -> None:
        """Everybody does a little; a killed operator begins anew."""
        for act in (self.lms_turn, self.visit):
            try:
                await act()
            except Crash:
                self.restart()
            except Waiting:
                pass
            self.pods_turn()
        self.autoscaler_turn()
        self.pods_turn()
        self.clock.advance(seconds=15)

    async def turns(self, count: int = 8) -> None:
        for _ in range(count):
            await self.turn()

    async def until(self, holds: Callable[[], bool], count: int = 30) -> None:
        """Let time go by until something holds."""
        for _ in range(count):
            await self.turn()
            if holds():
                return
        raise AssertionError(f"not there after {count} turns: {self.pods} pods, {self.status.get('conditions')}")


def _nobody(*_: Any, **__: Any) -> AbstractAsyncContextManager[None]:
    return nullcontext()


Make = Callable[..., World]


async def scaling(make: Make, **spec: Any) -> World:
    """A world with a policy at work."""
    world = make(**spec)
    await world.turns(2)
    world.create()
    await world.until(lambda: bool(world.bounds))
    await world.turns(2)
    return world
