"""Ready, Reconciling and the phase: what all other conditions come down to."""

from aada_operator.core import conditions
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.lms.decide import Verdict
from aada_operator.lms.rollout import Rollout
from aada_operator.lms.world import SECRET_MISSING, LmsVisit, World


def tell(visit: LmsVisit, world: World, error: OperatorError | None) -> None:
    """Set Ready, Reconciling and the phase; an ``error`` is what the first sub-reconciler waits for or cannot do."""
    ready = _ready(visit, world, error)
    visit.conditions.set(conditions.READY, ready.status, ready.reason, ready.message)
    if visit.spec.suspend:
        visit.conditions.set(conditions.RECONCILING, False, "Suspended", "spec.suspend is true: nothing is changed")
        visit.status["phase"] = "Suspended"
        return
    moving = error is not None or bool(world.progress or world.blocked) or ready.status == "Unknown"
    detail = (ready.reason, ready.message) if moving else ("UpToDate", "")
    visit.conditions.set(conditions.RECONCILING, moving, *detail)
    visit.status["phase"] = _phase(ready.status, world, error)


def _ready(visit: LmsVisit, world: World, error: OperatorError | None) -> Verdict:
    """Ready is False for what is wrong, Unknown for what is on its way."""
    if error is not None:
        return Verdict("False", error.reason, error.message)
    for kind in ("DatabaseReachable", "SchemaCurrent"):
        truth = visit.conditions.status_of(kind) or "Unknown"
        if truth != "True":
            return Verdict(truth, visit.conditions.reason_of(kind), visit.conditions.message_of(kind))
    missing = [r for r in world.rollouts if not r.serving or not r.image]
    return _missing(missing, world) if missing else _serving(world)


def _missing(missing: list[Rollout], world: World) -> Verdict:
    """Some components have fewer pods than they should."""
    for one in missing:
        if one.trouble:
            return Verdict("False", one.trouble.reason, f"{one.name}: {one.trouble.message}")
    if any(one.name in world.blocked for one in missing):
        return Verdict("False", SECRET_MISSING, "see condition SecretsFresh")
    counted = "pods available: " + ", ".join(f"{one.name} {one.available}/{one.desired}" for one in missing)
    if any(one.settled and one.available == 0 for one in missing):
        return Verdict("False", "PodsUnavailable", counted)
    return Verdict("Unknown", "Progressing", counted)


def _serving(world: World) -> Verdict:
    if any(one.trouble for one in world.rollouts):
        text = "earlier pods serve; the rollout is in trouble: see condition RolloutHealthy"
        return Verdict("True", "Serving", text)
    if world.blocked:
        return Verdict("True", "Serving", "running pods serve; a change waits for a Secret: see condition SecretsFresh")
    if all(one.done for one in world.rollouts):
        return Verdict("True", "Ready", "all components serve")
    return Verdict("True", "Serving", "all components serve; a rollout is on its way")


def _phase(status: conditions.Truth, world: World, error: OperatorError | None) -> str:
    if error is not None:
        return "Stalled" if isinstance(error, Stalled) else "Waiting"
    if world.progress:
        return world.progress
    return {"True": "Ready", "False": "Degraded", "Unknown": "Pending"}[status]
