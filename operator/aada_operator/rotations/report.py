"""The conditions of a SecretRotation, said in one place; pure."""

from datetime import datetime
from typing import Any

from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core import conditions
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.rotations.manifests import Revision

ROTATING = "Rotating"
VERIFIED = "NewCredentialVerified"
CONVERGED = "ConsumersConverged"
REVOKED = "OldCredentialRevoked"
KNOWN = (conditions.READY, conditions.RECONCILING, ROTATING, VERIFIED, CONVERGED, REVOKED)
# What it means for pods that a value was published without a restart.
NOT_RESTARTED = (
    "no pod was restarted for: files follow by themselves, an environment keeps the old one until its pod restarts"
)
# The condition that a step proves once it is done; not every strategy has each.
_PROVED_BY = {
    VERIFIED: ("VerifyNew", "ConvergeVerifiers", "StartGreen"),
    CONVERGED: ("Converge",),
    REVOKED: ("ProveOld",),
}
# Since one of these steps users of the Secret get the new credential.
_PUBLISHED_BY = frozenset({"Publish", "Switch", "SetPassword"})
_ON_THE_WAY = {
    "UnderWay": "a rotation is under way",
    "Published": "the new credential is in use; all who have the old one change over",
    "RollingBack": "the old credential is brought back",
}


def under_way(visit: Visit[SecretRotationSpec], step: str, message: str, *, back: bool) -> None:
    """Neither good nor bad yet: Unknown, so that the way to the end makes no warnings."""
    visit.status |= {"phase": "RollingBack" if back else "Rotating", "step": step}
    visit.conditions.set(conditions.READY, "Unknown", step, message)
    visit.conditions.set(conditions.RECONCILING, True, step, message)
    finished = {entry["name"] for entry in visit.status.get("steps", ()) if entry.get("finishedAt")}
    stage = "RollingBack" if back else "Published" if finished & _PUBLISHED_BY else "UnderWay"
    visit.conditions.set(ROTATING, True, stage, _ON_THE_WAY[stage])
    for kind, names in _PROVED_BY.items():
        name = next((name for name in names if name in finished and not back), "")
        visit.conditions.set(kind, "True" if name else "Unknown", name or "UnderWay")


def at_rest(visit: Visit[SecretRotationSpec], described: str, *, retried: bool = False) -> None:
    """Nothing is under way: what the newest rotation came to, and when the next one is due; ``described`` is in use.

    ``retried``: one that was rolled back is still wanted, so it is tried again before the clock's next one.
    """
    status, conditions_ = visit.status, visit.conditions
    newest: dict[str, Any] = next(iter(status.get("history") or ()), {})
    status |= {"phase": "Suspended" if visit.spec.suspend else "Idle", "step": ""}
    conditions_.set(conditions.RECONCILING, False, "UpToDate")
    conditions_.set(ROTATING, False, "Idle")
    if newest.get("result") == "RolledBack":
        message = f"{described} as before; {newest.get('message', '')}; next try: {_next(status, retried=retried)}"
        conditions_.set(conditions.READY, False, "RolledBack", message)
        _all(visit, "Unknown", "RolledBack", "")
        return
    if newest:
        _all(visit, "True", "Rotated", _proof(status))
        if visit.spec.type == "Generic":
            visit.conditions.set(REVOKED, "Unknown", "NotProvable", "only who accepts the value could tell")
        if not visit.spec.restart:
            visit.conditions.set(CONVERGED, "Unknown", "NotRestarted", f"the value is one that {NOT_RESTARTED}")
        message = f"{described}; {_proof(status)}; next: {_next(status)}"
        conditions_.set(conditions.READY, True, "Rotated", message)
        return
    _all(visit, "Unknown", "NotRotatedYet", "")
    message = f"{described}, not rotated yet; next: {_next(status)}"
    conditions_.set(conditions.READY, True, "NotDueYet", message)


def held_back(visit: Visit[SecretRotationSpec], opens: datetime) -> None:
    """It is due, and begins when a maintenance window opens: nothing is wrong because of that."""
    known, moment = visit.conditions, to_rfc3339(opens)
    visit.status["nextRotation"] = moment
    message = f"{known.message_of(conditions.READY)}; it is due, and waits for the maintenance window at {moment}"
    if known.status_of(conditions.READY) == "True":
        known.set(conditions.READY, True, "WaitsForWindow", message)
    else:
        known.set(conditions.READY, False, known.reason_of(conditions.READY), message)


def ended(visit: Visit[SecretRotationSpec], fresh: Revision, revision: int, *, emergency: bool) -> dict[str, Any]:
    """The entry for the history of a rotation that has come to its end, one or the other."""
    status = visit.status
    reason, _, message = (fresh.rolled_back or "").partition(": ")
    back = fresh.rolled_back is not None
    failures = int(status.get("failures", 0)) + 1 if back else 0
    status["failures"] = failures
    return {
        "revision": revision,
        "result": "RolledBack" if back else "Rotated",
        "login": fresh.data["username"] if visit.spec.type == "DatabasePassword" else "",
        "emergency": emergency,
        "reason": reason[:128],
        "message": message[:512],
        "startedAt": to_rfc3339(fresh.made_at),
        "finishedAt": to_rfc3339(visit.now),
    }


def rolled_back(reason: str, message: str) -> str:
    """Why a rotation is taken back, as it is written on its Secret."""
    return f"{reason}: {message}"[:640]


def answers(old: str | None, new: str | None) -> str:
    """What was answered to both passwords, in words: SQLSTATE, empty for a login, or None."""
    said = [answer or ("a login" if answer == "" else "nothing") for answer in (old, new)]
    return f"the old password was answered with {said[0]}, the new one with {said[1]}"


def not_proven(old: str | None, new: str | None) -> str:
    """Why answers of the server prove nothing."""
    return f"{answers(old, new)}; a proof is 28P01 and a login"


def _all(visit: Visit[SecretRotationSpec], status: conditions.Truth, reason: str, message: str) -> None:
    for kind in _PROVED_BY:
        visit.conditions.set(kind, status, reason, message)


def _proof(status: dict[str, Any]) -> str:
    proof = status.get("proof") or {}
    if proof.get("sqlState"):
        whose = "before" if proof["login"] == proof.get("by") else f"of {proof['login']}"
        return f"the password {whose} is refused with {proof['sqlState']} since {proof['time']}"
    if proof:
        revoked = f"; {proof['tokensRevoked']} tokens revoked" if "tokensRevoked" in proof else ""
        return proof.get("by") or f"no pod accepts the one before since {proof['time']}{revoked}"
    return "no proof is on record"


def _next(status: dict[str, Any], *, retried: bool = False) -> str:
    fields = ("nextAttempt",) if retried else ("nextAttempt", "nextRotation")
    moments = [str(status[field]) for field in fields if status.get(field)]
    return max(moments, default="only by annotation lms.aada.edu/rotate-at")
