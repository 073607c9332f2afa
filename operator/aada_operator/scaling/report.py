"""Status and conditions of a ScalingPolicy, said in one place; pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core import conditions
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.database import UNLIMITED, ConnectionLimits
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.scaling import budget, decide
from aada_operator.scaling.budget import LEAVING, SURGE, Budget, Connections
from aada_operator.scaling.calendar import Says, Transition
from aada_operator.scaling.decide import Bounds, Size

ACTIVE = "MetricsAvailable"
LIMITED = "ScalingLimited"
BUDGET = "ConnectionBudgetExceeded"
FENCED = "ConnectionsFenced"
MANAGED = "ReplicasManaged"
PAUSED = "Paused"
KNOWN = (conditions.READY, conditions.RECONCILING, ACTIVE, LIMITED, BUDGET, FENCED, MANAGED, PAUSED)
# How long a size that was put back is told of by its condition.
TOLD = timedelta(minutes=5)
_FIX = {
    "MaxConnections": "fewer workers or smaller pools, or max_connections {needed} (needs a restart)",
    "OtherComponents": "smaller pools of the other api components, or max_connections {needed} (needs a restart)",
    "DatabaseLimit": "raise the limit of the database: ALTER DATABASE … CONNECTION LIMIT",
    "RoleLimit": "raise the limit of the application's role: ALTER ROLE … CONNECTION LIMIT",
}


@dataclass(frozen=True)
class Seen:
    """What one visit found out; ``size`` is the one that is meant, without what somebody set by hand."""

    bounds: Bounds
    size: Size
    says: Says
    upcoming: Transition | None
    connections: Connections


def scaling(visit: Visit[ScalingPolicySpec], deployment: Object, seen: Seen, autoscaler: Object) -> None:
    """The policy is at work."""
    _numbers(visit, deployment, seen, autoscaler)
    _metrics(visit, deployment, autoscaler)
    _limited(visit, seen.bounds, autoscaler)
    _budget(visit, seen.connections)
    _managed(visit)
    visit.conditions.set(PAUSED, False, "Running")
    visit.conditions.set(conditions.RECONCILING, False, "UpToDate")
    visit.conditions.set(conditions.READY, True, "Scaling", _summary(seen))
    visit.status["phase"] = "Scaling"


def paused(visit: Visit[ScalingPolicySpec], deployment: Object | None) -> None:
    """spec.suspend: nothing is scaled."""
    for field in ("limitedBy", "nextTransition", "budget"):
        visit.status.pop(field, None)
    pods = decide.wanted(deployment) if deployment else 0
    there = int(((deployment or {}).get("status") or {}).get("replicas", 0))
    visit.status |= {"phase": "Paused", "min": 0, "max": 0, "desired": pods, "current": there}
    command = f"kubectl scale deployment {visit.spec.target.lms_ref.name}-{visit.spec.target.component} --replicas=…"
    message = f"spec.suspend is true: {pods} pods stay; {command} changes that"
    for kind in (ACTIVE, LIMITED, BUDGET, FENCED, MANAGED):
        visit.conditions.set(kind, "Unknown", "Suspended")
    visit.conditions.set(PAUSED, True, "Suspended", message)
    visit.conditions.set(conditions.RECONCILING, False, "Suspended")
    visit.conditions.set(conditions.READY, "Unknown", "Suspended", message)


def corrected(visit: Visit[ScalingPolicySpec], by: str, was: int, now: int) -> None:
    """A size set by hand was put back."""
    visit.status["lastCorrection"] = {"time": to_rfc3339(visit.now), "by": by[:128], "was": was, "now": now}


def fenced(visit: Visit[ScalingPolicySpec], limits: ConnectionLimits, wanted: int) -> None:
    """The roles have the limit that is wanted."""
    roles = [role.name for role in limits.roles if role.ours]
    if not roles:
        message = "the application's role was not made by the operator: its CONNECTION LIMIT is left as it is"
        visit.conditions.set(FENCED, "Unknown", "RoleNotOurs", message)
    elif wanted == UNLIMITED:
        message = "more pods are there than the database has connections for: no limit until they are fewer"
        visit.conditions.set(FENCED, False, "OverBudget", message)
    else:
        _set_limit(visit, wanted)
        message = f"{', '.join(roles)} can have {wanted} sessions at a time; the others' connections are safe from them"
        visit.conditions.set(FENCED, True, "Limited", message)


def unfenced(visit: Visit[ScalingPolicySpec], seen: Seen) -> None:
    """This policy limits no role."""
    if visit.spec.connection_budget != "Enforce":
        mode = visit.spec.connection_budget
        visit.conditions.set(FENCED, "Unknown", "NotEnforced", f"connectionBudget is {mode}: no role is limited")
    elif seen.connections.solved:
        visit.conditions.set(FENCED, "Unknown", "ByAnotherPolicy", "the eldest policy of this AadaLms limits its roles")
    else:
        visit.conditions.set(FENCED, "Unknown", seen.connections.reason, seen.connections.message)


def not_fenced(visit: Visit[ScalingPolicySpec], why: Waiting) -> None:
    """The limit could not be set now."""
    visit.conditions.set(FENCED, "Unknown", why.reason, why.message)


def _numbers(visit: Visit[ScalingPolicySpec], deployment: Object, seen: Seen, autoscaler: Object) -> None:
    wanted = int((autoscaler.get("status") or {}).get("desiredReplicas", 0)) or seen.size.wanted
    wanted = min(max(wanted, seen.bounds.min), seen.bounds.max)  # it may not have looked since they changed
    visit.status |= {
        "min": seen.bounds.min,
        "max": seen.bounds.max,
        "limitedBy": seen.bounds.limited_by,
        "desired": wanted,
        "current": int((deployment.get("status") or {}).get("replicas", 0)),
        "budget": _solution(seen.connections.solved) if seen.connections.solved else None,
        "nextTransition": _transition(visit.spec, seen.upcoming) if seen.upcoming else None,
    }


def _solution(solved: Budget) -> dict[str, Any]:
    return {
        "perPod": solved.per_pod,
        "maxConnections": solved.max_connections,
        "reserved": solved.reserved,
        "available": max(0, solved.available),
        "maxPods": solved.max_pods,
        "limitingTerm": solved.term,
    }


def _set_limit(visit: Visit[ScalingPolicySpec], wanted: int) -> None:
    if isinstance(solution := visit.status.get("budget"), dict):
        solution["connectionLimit"] = wanted


def _transition(spec: ScalingPolicySpec, upcoming: Transition) -> dict[str, Any]:
    because = f"freeze {upcoming.says.freeze}" if upcoming.says.freeze else upcoming.says.because
    floor = max(spec.min_replicas, upcoming.says.floor)
    return {"time": to_rfc3339(upcoming.time), "minReplicas": floor, "because": because or "nothing of the calendar"}


def _metrics(visit: Visit[ScalingPolicySpec], deployment: Object, autoscaler: Object) -> None:
    """Whether the autoscaler sees what it follows; without, it holds the size within the bounds."""
    holds = "the size stays as it is, within the bounds"
    if missing := decide.unrequested(visit.spec, deployment):
        component = visit.spec.target.component
        message = f"set resources.requests.{' and .'.join(missing)} of component {component}: a percentage is of that"
        visit.conditions.set(ACTIVE, False, "RequestsMissing", f"{message}; until then {holds}")
        return
    said = _condition(autoscaler, "ScalingActive")
    if said is None:
        visit.conditions.set(ACTIVE, "Unknown", "AwaitingMetrics", "the autoscaler has not looked yet")
    elif said["status"] == "True":
        visit.conditions.set(ACTIVE, True, "Followed", "")
    else:
        message = (
            f"the autoscaler gets no metrics ({said.get('reason', '')}): is metrics-server there? Until then {holds}"
        )
        visit.conditions.set(ACTIVE, False, "MetricsMissing", message)


def _limited(visit: Visit[ScalingPolicySpec], found: Bounds, autoscaler: Object) -> None:
    said = _condition(autoscaler, "ScalingLimited")
    if said is None:
        visit.conditions.set(LIMITED, "Unknown", "AwaitingMetrics", "the autoscaler has not looked yet")
    elif said["status"] == "True" and said.get("reason") == "TooManyReplicas":
        message = f"the load asks for more than {found.max} pods: {found.limited_by} allows no more"
        visit.conditions.set(LIMITED, True, "AtMaximum", message)
    elif said["status"] == "True":
        visit.conditions.set(LIMITED, True, "AtMinimum", f"the load asks for fewer than {found.min} pods")
    else:
        visit.conditions.set(LIMITED, False, "WithinBounds", "")


def _budget(visit: Visit[ScalingPolicySpec], found: Connections) -> None:
    spec, solved = visit.spec, found.solved
    if solved is None or found.limits is None:
        visit.conditions.set(BUDGET, "Unknown", found.reason, found.message)
        return
    counted = _counted(spec, solved)
    if solved.max_pods < spec.max_replicas:
        reason = "TooFewConnections" if solved.max_pods < spec.min_replicas else "MaxReplicasTooHigh"
        fix = _FIX[solved.term].format(needed=budget.needed_connections(solved, spec.max_replicas))
        visit.conditions.set(BUDGET, True, reason, f"{counted}, enough for {solved.max_pods} pods: {fix}")
    elif found.limits.others > spec.reserved_connections:
        seen = found.limits.others
        message = f"others have {seen} sessions, {spec.reserved_connections} are reserved for them: reservedConnections"
        visit.conditions.set(BUDGET, True, "OthersUseMore", f"{message} must be {seen} at least")
    else:
        visit.conditions.set(BUDGET, False, "WithinBudget", counted)


def _counted(spec: ScalingPolicySpec, solved: Budget) -> str:
    needed = solved.needed(spec.max_replicas)
    pods = f"({spec.max_replicas} + {SURGE} in a rollout + {LEAVING} that leave) x {solved.per_pod}"
    return f"{pods} = {needed} connections, {max(0, solved.available)} of {solved.max_connections} for this component"


def _managed(visit: Visit[ScalingPolicySpec]) -> None:
    last = visit.status.get("lastCorrection") or {}
    if last and visit.now - from_rfc3339(last["time"]) < TOLD:
        message = (
            f"{last['by']} set {last['was']} pods by hand, and {last['now']} are back: change minReplicas or "
            "maxReplicas, or set spec.suspend to true to choose the size yourself"
        )
        visit.conditions.set(MANAGED, False, "ScaledByHand", message)
    else:
        visit.conditions.set(MANAGED, True, "ByPolicy", "")


def _summary(seen: Seen) -> str:
    because = f" for {seen.says.because}" if seen.says.because else ""
    limits = seen.bounds
    return f"{limits.min} to {limits.max} pods{because}, no more because of {limits.limited_by}"


def _condition(autoscaler: Object, kind: str) -> Object | None:
    said = (autoscaler.get("status") or {}).get("conditions") or []
    return next((one for one in said if one["type"] == kind), None)
