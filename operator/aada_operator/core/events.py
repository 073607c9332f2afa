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
_NEGATIVE = frozenset(
    {
        STALLED,
        "Failed",
        "Retrying",
        "SuspiciousSize",
        "RPOUnreachable",
        "RTOAtRisk",
        "ConnectionBudgetExceeded",
        "Fallback",
        "DatabaseBound",
    }
)
# Conditions that are neither good nor bad: that it begins is told, that it is over is what others tell.
_NEUTRAL = frozenset({"Rotating", "Paused", "ScalingLimited"})
# Steps on the way are seen in the conditions themselves; as Events they would only be noise.
_SILENT = frozenset({"Reconciling"})


def worth_telling(transitions: list[Transition]) -> list[Transition]:
    """Those that people should hear of, without a Ready that only repeats what another one of them says."""
    told = [transition for transition in transitions if _is_news(transition)]
    others = {(t.reason, t.message) for t in told if t.type != READY}
    return [t for t in told if t.type != READY or (t.reason, t.message) not in others]


def _is_news(transition: Transition) -> bool:
    """Not what is unknown yet, and not that something bad is not, or not any more."""
    if transition.type in _SILENT or transition.status == "Unknown":
        return False
    if transition.type in _NEUTRAL:
        return transition.status == "True"
    return transition.type not in _NEGATIVE or _is_bad(transition)


def _is_bad(transition: Transition) -> bool:
    return transition.type not in _NEUTRAL and transition.status == (
        "True" if transition.type in _NEGATIVE else "False"
    )


def to_event(body: Object, transition: Transition, now: datetime) -> Object:
    """The Event that tells of a transition."""
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
        "type": "Warning" if _is_bad(transition) else "Normal",
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
