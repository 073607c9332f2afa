"""How soon a ScalingPolicy does what the calendar or the database says, as the API server saw it.

Five components of one AadaLms ring at one moment, as schools do: each sample waits for the visits of the others, too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from aada_operator.core.managed_fields import SCALING_MANAGER
from aada_operator.scaling.decide import PACE
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
PATIENCE = 60.0


class Bells:
    """The AadaLms and its policies, for one or two pods each."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self._database = workspace, database

    def open(self) -> None:
        """Everything is there and at rest, with one pod each."""
        made = builders.aada_lms(LMS, host=self._database.host, database=DATABASE)
        small = {"role": "api", "connections": {"workers": 1, "poolSize": 1, "maxOverflow": 0}}
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
            patches = self._patches(audit, moment.timestamp())
        for name in NAMES:
            yield patches[name] - moment.timestamp()
        self._declare()
        self._all(lambda status: status.get("min") == 1 and status.get("current") == 2)
        # A pod that leaves soon after another change would be one that waits for its turn.
        time.sleep(max(0.0, moment.timestamp() + PACE.total_seconds() + 1 - time.time()))

    def budget(self) -> Iterator[float]:
        """The database bears no more than one: seconds from the request to look again to each policy's patch."""
        with closing(self._audit(OPERATOR)) as audit, closing(self._audit(ADMIN)) as asked:
            before = time.time()
            self._database.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT {FEW}")
            self._look_again()
            patches = self._patches(audit, before)
            signals = {r.name: r.received for r in _await(asked, lambda r: _is_edit(r, before), NAMES)}
        # One that looked of its own accord in between has no signal that could be timed.
        yield from (patches[name] - signals[name] for name in NAMES if patches[name] > signals[name])
        self._database.sql(f"ALTER DATABASE {DATABASE} CONNECTION LIMIT -1")
        self._look_again()
        self._all(lambda status: status.get("max") == 2 and status.get("current") == 1)

    def _declare(self, **spec: Any) -> None:
        bounds = {"minReplicas": 1, "maxReplicas": 2}
        targets = {name: {"lmsRef": {"name": LMS}, "component": name} for name in NAMES}
        self.workspace.apply(*(
            builders.custom_resource("ScalingPolicy", name, {"target": target} | bounds | spec)
            for name, target in targets.items()
        ))  # fmt: skip

    def _look_again(self) -> None:
        note = f"lms.aada.edu/reconcile-at={secrets.token_hex(4)}"
        self.workspace.kubectl("annotate", "--overwrite", "scp", *NAMES, note)

    def _audit(self, user: str) -> AuditLog:
        return AuditLog(self.workspace.cluster.audit_log, user)

    def _patches(self, audit: AuditLog, since: float) -> dict[str, float]:
        """When the size of each component was first patched since then."""
        found = _await(audit, lambda request: _is_patch(request, since), [f"{LMS}-{name}" for name in NAMES])
        return {request.name.removeprefix(f"{LMS}-"): request.received for request in found}

    def _all(self, holds: Any) -> None:
        for name in NAMES:
            self.workspace.wait_for(f"scp/{name}", lambda body: holds(body.get("status") or {}), LONG)


def _is_patch(request: Request, since: float) -> bool:
    ours = f"fieldManager={SCALING_MANAGER}&" in f"{request.uri}&"
    return request.verb == "patch" and request.resource == "deployments" and ours and request.received >= since


def _is_edit(request: Request, since: float) -> bool:
    return request.verb == "patch" and request.resource == "scalingpolicies" and request.received >= since


def _await(audit: AuditLog, wanted: Any, names: Iterable[str]) -> list[Request]:
    """The first wanted request about each of these objects, waited for."""
    first: dict[str, Request] = {}

    def there() -> bool:
        for request in audit.new():
            if wanted(request):
                first.setdefault(request.name, request)
        return first.keys() >= set(names)

    wait_until(there, f"requests about {', '.join(names)}", PATIENCE)
    return [first[name] for name in names]


def bell(now: datetime) -> tuple[datetime, Object]:
    """A calendar that wants two pods from a moment soon on, and the moment: a whole second."""
    moment = now.replace(microsecond=0) + timedelta(seconds=LEAD)
    begin = (moment + timedelta(minutes=1)).replace(second=0)
    window = {"name": "bell", "from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{begin + timedelta(minutes=9):%Y-%m-%dT%H:%M}"}
    prewarm = f"{int((begin - moment).total_seconds())}s"
    return moment, {"prewarm": prewarm, "examWindows": [window | {"minReplicas": 2}]}
