"""Conditions as in ``metav1.Condition``: how they are set, compared and summed up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aada_operator.core.clock import to_rfc3339

Truth = Literal["True", "False", "Unknown"]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"

# A message is for a line in kubectl describe; the CRD's bound is higher.
MESSAGE_LIMIT = 1024


@dataclass(frozen=True)
class Transition:
    """A condition that changed its status or reason: what an Event is made of."""

    type: str
    status: Truth
    reason: str
    message: str


class ConditionSet:
    """The conditions of one object while it is reconciled; keeps ``lastTransitionTime`` of what did not change."""

    def __init__(self, existing: list[dict[str, Any]], generation: int, now: datetime) -> None:
        self._before = {condition["type"]: condition for condition in existing}
        self._now = {condition["type"]: dict(condition) for condition in existing}
        self._generation = generation
        self._moment = to_rfc3339(now)

    def set(self, kind: str, status: Truth | bool, reason: str, message: str = "") -> None:
        """State a condition; a bool stands for True or False."""
        truth = status if isinstance(status, str) else ("True" if status else "False")
        before = self._before.get(kind)
        same = before is not None and before["status"] == truth
        self._now[kind] = {
            "type": kind,
            "status": truth,
            "reason": reason,
            "message": message[:MESSAGE_LIMIT],
            "lastTransitionTime": before["lastTransitionTime"] if before and same else self._moment,
            "observedGeneration": self._generation,
        }

    def drop(self, kind: str) -> None:
        """State no longer a condition of something that is not declared any more."""
        self._now.pop(kind, None)

    def status_of(self, kind: str) -> Truth | None:
        """The status of a condition, None when it was never set."""
        condition = self._now.get(kind)
        return condition["status"] if condition else None

    def reason_of(self, kind: str) -> str:
        """The reason of a condition, empty when it was never set."""
        return str(self._now.get(kind, {}).get("reason", ""))

    def message_of(self, kind: str) -> str:
        """The message of a condition, empty when it was never set."""
        return str(self._now.get(kind, {}).get("message", ""))

    def as_list(self) -> list[dict[str, Any]]:
        """The conditions in the order in which people look for them: Ready, Reconciling, Stalled, then the rest."""
        order = {READY: 0, RECONCILING: 1, STALLED: 2}
        return sorted(self._now.values(), key=lambda c: (order.get(c["type"], 3), c["type"]))

    def transitions(self) -> list[Transition]:
        """What changed its status or reason since the object was read."""
        return [
            Transition(c["type"], c["status"], c["reason"], c["message"])
            for c in self.as_list()
            if _signature(c) != _signature(self._before.get(c["type"]))
        ]


def _signature(condition: dict[str, Any] | None) -> tuple[str, str] | None:
    return (condition["status"], condition["reason"]) if condition else None


def condition_of(body: dict[str, Any] | None, kind: str) -> str:
    """Status of an object's condition; Unknown when it was never set."""
    known = ((body or {}).get("status") or {}).get("conditions") or []
    return next((str(condition["status"]) for condition in known if condition["type"] == kind), "Unknown")
