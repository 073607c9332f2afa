"""The conditions of a Restore, said in one place; pure."""

from aada_operator.api.restore import RestoreSpec
from aada_operator.core import conditions
from aada_operator.core.controller import Visit

COMPLETED = "Completed"
FAILED = "Failed"
KNOWN = (conditions.READY, conditions.RECONCILING, COMPLETED, FAILED)


def under_way(visit: Visit[RestoreSpec], phase: str, reason: str, message: str) -> None:
    """Neither good nor bad yet. Unknown, so that the way to the end makes no warnings."""
    visit.status["phase"] = phase
    visit.conditions.set(COMPLETED, "Unknown", reason, message)
    visit.conditions.set(FAILED, False, "UnderWay")
    visit.conditions.set(conditions.READY, "Unknown", reason, message)
    visit.conditions.set(conditions.RECONCILING, True, reason, message)


def observing(visit: Visit[RestoreSpec], message: str) -> None:
    """The plan is there, and nothing more is wanted."""
    visit.conditions.set(conditions.READY, False, "Observing", message)
    visit.conditions.set(conditions.RECONCILING, False, "Observing", message)


def completed(visit: Visit[RestoreSpec], message: str) -> None:
    """The content is there and equal; the phase is final."""
    visit.status["phase"] = "Completed"
    for kind in (COMPLETED, conditions.READY):
        visit.conditions.set(kind, True, "RestoredAndCompared", message)
    for kind in (FAILED, conditions.RECONCILING):
        visit.conditions.set(kind, False, "RestoredAndCompared")


def failed(visit: Visit[RestoreSpec], reason: str, message: str) -> None:
    """It will never be; the phase is final."""
    visit.status["phase"] = "Failed"
    for field in ("progress", "progressText", "nextAttempt"):
        visit.status.pop(field, None)
    visit.conditions.set(COMPLETED, False, reason, message)
    visit.conditions.set(FAILED, True, reason, message)
    visit.conditions.set(conditions.READY, False, reason, message)
    visit.conditions.set(conditions.RECONCILING, False, reason)
