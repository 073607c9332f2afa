"""How soon a ScalingPolicy does what the calendar or the database says, as the API server saw it.

Five components of one AadaLms ring at one moment, as schools do: each sample waits for the visits of the others, too.
Beside it, the database is looked at by one policy after the other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from kubernetes import client, config

from aada_operator.api.common import GROUP, VERSION
from aada_operator.core.capacity import pace
from aada_operator.core.hysteresis import Latch
from aada_operator.core.managed_fields import SCALING_MANAGER
from aada_operator.core.resources import AUTOSCALERS, SCALING_POLICIES
from aada_operator.scaling.memory import Memory, written
from aada_operator.scaling.pressure import DATABASE_BOUND, ENTER
from tests.bench.audit import AuditLog, Request
from tests.cluster import builders
from tests.cluster.audit import OPERATOR
from tests.cluster.servers import Database
from tests.cluster.workspace import LONG, Object, Workspace
from tests.testbed.shell import wait_until

LMS = DATABASE = "bells"
NAMES = ("a", "b", "c", "d", "e")
ADMIN = "admin"
# Seconds between the edit of the calendar and the moment that it names: the edit's own visits are over by then.
LEAD = 6
# So few connections bear no pod; the policies go down to their minReplicas, as they do for any other number.
FEW = 4
# Pods that end soon after they have served on, so that the next one may leave soon.
PODS: Object = {"terminationGracePeriodSeconds": 12}
PATIENCE = 60.0


class Bells:
    """The AadaLms and its policies, for one or two pods each."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self._database = workspace, database
        api = config.new_client_from_config(str(workspace.cluster.kubeconfig_path))
        self._objects, self._autoscalers = client.CustomObjectsApi(api), client.AutoscalingV2Api(api)

    def open(self) -> None:
        """Everything is there and at rest, with one pod each."""
        made = builders.aada_lms(LMS, host=self._database.host, database=DATABASE)
        small: Object = {"role": "api", "connections": {"workers": 1, "poolSize": 1, "maxOverflow": 0}}
        small |= {"podTemplate": {"spec": PODS}}
        made["spec"]["components"] = [builders.portal_component("learn", **small, name=name) for name in NAMES]
        self.workspace.apply(made)
        self.workspace.wait_condition(f"lms/{LMS}", "Ready", timeout=LONG)
        self._declare()
        self._all(lambda status: status.get("max") == 2)

    def calendar(self) -> Iterator[float]:
        """The calendar raises the floor to two: seconds from the moment that it names to each policy's patch."""
        moment, said = bell(datetime.now(UTC))
        with closing(self._audit(OPERATOR)) as audit:
            self._declare(calendar=said)
            patches = First(audit, lambda r: _is_patch(r, moment.timestamp())).of(_deployments(NAMES))
        for name in NAMES:
            yield patches[name] - moment.timestamp()
        self._declare()
        self._all(lambda status: status.get("min") == 1 and status.get("current") == 2)
        # A pod that leaves soon after another change would be one that waits for its turn.
        time.sleep(max(0.0, moment.timestamp() + pace(PODS) + 1 - time.time()))

    def budget(self) -> Iterator[float]:
        """The database bears no more than one: seconds from the request to look again to each policy's patch."""
        yield from self._fewer([NAMES])

    def alone(self) -> Iterator[float]:
        """The same, one policy after the other: a database has no bell, and each policy looks in its own time."""
        yield from self._fewer([[name] for name in NAMES])

    def bound(self) -> Iterator[float]:
        """Sessions wait for each other: seconds from the request to look again to each autoscaler's new bound.

        It counts once it has lasted for a minute: that it has is written where the policies remember it.
        """
        with self._database.sessions_that_wait(), closing(self._audit(OPERATOR)) as audit:
            with closing(self._audit(ADMIN)) as asked:
                before = time.time()
                self._remember(Memory(database=Latch(since=datetime.now(UTC) - ENTER)))
                self._look_again(*NAMES)
                signals = First(asked, lambda request: _is_edit(request, before)).of({name: name for name in NAMES})
            # Of several the last one has the bound.
            self._all(lambda status: status.get("limitedBy") == DATABASE_BOUND)
            patches = {request.name: request.received for request in audit.new() if _is_bound(request, before)}
        yield from (patches[name] - signals[name] for name in NAMES if patches[name] > signals[name])
        self._declare(databaseBound={"action": "Off"})
        self._all(lambda status: status.get("max") == 2)
        self._declare()

    def _remember(self, memory: Memory) -> None:
        body = {"metadata": {"annotations": written(memory)}}
        for name in NAMES:
            self._autoscalers.patch_namespaced_horizontal_pod_autoscaler(name, self.workspace.namespace, body)

    def _fewer(self, groups: Iterable[Sequence[str]]) -> Iterator[float]:
        with closing(self._audit(OPERATOR)) as audit, closing(self._audit(ADMIN)) as asked:
            before = time.time()
            sizes = First(audit, lambda request: _is_patch(request, before))
            edits = First(asked, lambda request: _is_edit(request, before))
            self._database.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT {FEW}")
            for names in groups:
                self._look_again(*names)
                patches, signals = sizes.of(_deployments(names)), edits.of({name: name for name in names})
                # One that looked of its own accord in between has no signal that could be timed.
                yield from (patches[name] - signals[name] for name in names if patches[name] > signals[name])
        self._database.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT -1")
        self._look_again(*NAMES)
        self._all(lambda status: status.get("max") == 2 and status.get("current") == 1)

    def _declare(self, **spec: Any) -> None:
        bounds = {"minReplicas": 1, "maxReplicas": 2}
        targets = {name: {"lmsRef": {"name": LMS}, "component": name} for name in NAMES}
        self.workspace.apply(*(
            builders.custom_resource("ScalingPolicy", name, {"target": target} | bounds | spec)
            for name, target in targets.items()
        ))  # fmt: skip

    def _look_again(self, *names: str) -> None:
        """All at one moment: kubectl would ask for one after the other, and take its time beside the first answers."""
        note = {"metadata": {"annotations": {"lms.aada.edu/reconcile-at": secrets.token_hex(4)}}}
        ask = partial(self._objects.patch_namespaced_custom_object, GROUP, VERSION, self.workspace.namespace,
                      SCALING_POLICIES.plural, body=note, _content_type="application/merge-patch+json")  # fmt: skip
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(ask, names))

    def _audit(self, user: str) -> AuditLog:
        return AuditLog(self.workspace.cluster.audit_log, user)

    def _all(self, holds: Any) -> None:
        for name in NAMES:
            self.workspace.wait_for(f"scp/{name}", lambda body: holds(body.get("status") or {}), LONG)


def _is_patch(request: Request, since: float) -> bool:
    ours = f"fieldManager={SCALING_MANAGER}&" in f"{request.uri}&"
    return request.verb == "patch" and request.resource == "deployments" and ours and request.received >= since


def _is_bound(request: Request, since: float) -> bool:
    return request.verb == "patch" and request.resource == AUTOSCALERS.plural and request.received >= since


def _is_edit(request: Request, since: float) -> bool:
    return request.verb == "patch" and request.resource == "scalingpolicies" and request.received >= since


def _deployments(names: Iterable[str]) -> dict[str, str]:
    return {name: f"{LMS}-{name}" for name in names}


class First:
    """When the API server got the first wanted request about each object; those that nobody asks for yet are kept."""

    def __init__(self, audit: AuditLog, wanted: Callable[[Request], bool]) -> None:
        self._audit, self._wanted = audit, wanted
        self._times: dict[str, float] = {}

    def of(self, objects: Mapping[str, str]) -> dict[str, float]:
        """The time of each of these, by its key here; waited for."""
        wait_until(lambda: self._have(objects.values()), f"requests about {', '.join(objects)}", PATIENCE)
        return {key: self._times[name] for key, name in objects.items()}

    def _have(self, names: Iterable[str]) -> bool:
        for request in filter(self._wanted, self._audit.new()):
            self._times.setdefault(request.name, request.received)
        return self._times.keys() >= set(names)


def bell(now: datetime) -> tuple[datetime, Object]:
    """A calendar that wants two pods from a moment soon on, and the moment: a whole second."""
    moment = now.replace(microsecond=0) + timedelta(seconds=LEAD)
    begin = (moment + timedelta(minutes=1)).replace(second=0)
    window = {"name": "bell", "from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{begin + timedelta(minutes=9):%Y-%m-%dT%H:%M}"}
    prewarm = f"{int((begin - moment).total_seconds())}s"
    return moment, {"prewarm": prewarm, "examWindows": [window | {"minReplicas": 2}]}
