"""Kubernetes Events from transitions of conditions: notifications, never the record.

Events expire after an hour on most clusters; what must last stands in the status.
"""

import hashlib
from datetime import datetime

from aada_operator.core.clock import to_rfc3339
from aada_operator.core.conditions import READY, STALLED, Transition
from aada_operator.core.resources import Object

REPORTER = "aada-operator"
# Conditions for which True is the bad news.
_NEGATIVE = frozenset({STALLED, "Failed", "RPOUnreachable", "RTOAtRisk"})
# Steps on the way are seen in the conditions themselves; as Events they would only be noise.
_SILENT = frozenset({"Reconciling"})


def worth_telling(transitions: list[Transition]) -> list[Transition]:
    """The transitions without a Ready that only repeats another condition's reason."""
    others = {(t.reason, t.message) for t in transitions if t.type not in (READY, *_SILENT)}
    return [t for t in transitions if t.type != READY or (t.reason, t.message) not in others]


def to_event(body: Object, transition: Transition, now: datetime) -> Object | None:
    """The Event of a transition, None for one that needs no telling (first set to Unknown, or back to normal)."""
    negative = transition.type in _NEGATIVE
    bad = transition.status == ("True" if negative else "False")
    if transition.type in _SILENT or transition.status == "Unknown" or (negative and not bad):
        return None
    moment = to_rfc3339(now)
    metadata = body["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": metadata["namespace"], "name": _name(body, transition, moment)},
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if bad else "Normal",
        "reason": transition.reason,
        "message": f"{transition.type}: {transition.message}" if transition.message else transition.type,
        "source": {"component": REPORTER},
        "reportingComponent": REPORTER,
        "reportingInstance": REPORTER,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _name(body: Object, transition: Transition, moment: str) -> str:
    """The same transition told twice, by a retry, has the same name: the second creation meets a conflict."""
    text = "/".join((body["metadata"]["uid"], transition.type, transition.status, transition.reason, moment))
    return f"{body['metadata']['name'][:200]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
