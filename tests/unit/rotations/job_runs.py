"""Runs of Jobs beside a rotation: pods that have a credential in their environment, and no session."""

from __future__ import annotations

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import PODS, Object
from tests.unit.backups.api_server import ApiServer, SetClock

RUN = "report-1"


def pod_spec(secret: str) -> Object:
    """Of a pod that has all of a Secret in its environment."""
    return {"containers": [{"name": "reports", "envFrom": [{"secretRef": {"name": secret}}]}]}


def begin_run(server: ApiServer, clock: SetClock, secret: str) -> Object:
    """A pod of a Job starts; returns it as the API server has it."""
    owner = {"kind": "Job", "name": "report", "uid": "1", "controller": True}
    started = {"running": {"startedAt": to_rfc3339(clock.now())}}
    status = {"phase": "Running", "containerStatuses": [{"name": "reports", "state": started}]}
    metadata = {"name": RUN, "ownerReferences": [owner]}
    return server.add(PODS, {"metadata": metadata, "spec": pod_spec(secret), "status": status})
