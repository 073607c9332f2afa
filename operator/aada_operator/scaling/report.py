"""Status and conditions of a ScalingPolicy, said in one place; pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core import conditions
from aada_operator.core.capacity import LEAVING, POOLER_CLIENTS, SURGE, Budget
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.database import UNLIMITED, ConnectionLimits
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import Object
from aada_operator.scaling import decide, report_metrics
from aada_operator.scaling.budget import Connections
from aada_operator.scaling.calendar import Says, Transition
from aada_operator.scaling.decide import Bounds, Size
from aada_operator.scaling.demand import Reading
from aada_operator.scaling.hold import Hold
from aada_operator.scaling.ical import Closures
from aada_operator.scaling.memory import Memory
from aada_operator.scaling.pressure import DATABASE_BOUND, UNASKED, Pressure
from aada_operator.scaling.report_metrics import ACTIVE, FALLBACK, LIMITED

BUDGET = "ConnectionBudgetExceeded"
FENCED = "ConnectionsFenced"
MANAGED = "ReplicasManaged"
CALENDAR = "CalendarAvailable"
PAUSED = "Paused"
KNOWN = (
    conditions.READY,
    conditions.RECONCILING,
    ACTIVE,
    FALLBACK,
    LIMITED,
    BUDGET,
    DATABASE_BOUND,
    FENCED,
    MANAGED,
    CALENDAR,
    PAUSED,
)
# How long a size that was put back is told of by its condition.
TOLD = timedelta(minutes=5)
_FIX = {
    "MaxConnections": "fewer workers or smaller pools, or max_connections {needed} (needs a restart)",
    "OtherComponents": "smaller pools of the other api components, or max_connections {needed} (needs a restart)",
    "DatabaseLimit": "raise the limit of the database: ALTER DATABASE … CONNECTION LIMIT",
    "RoleLimit": "raise the limit of the application's role: ALTER ROLE … CONNECTION LIMIT",
    "PoolerClients": "fewer workers or smaller pools, or max_client_conn {needed} of the pooler",
    "PoolerPools": "default_pool_size {size} of the pooler: its {sessions} sessions must fit {application}",
}


@dataclass(frozen=True)
class Seen:
    """What one visit found out; ``size`` is the one that is meant, without what somebody set by hand.

    ``hold`` is what the size waits for. ``pressure`` is looked at last.
    """

    bounds: Bounds
    size: Size
    says: Says
    upcoming: Transition | None
    closures: Closures
    connections: Connections
    readings: tuple[Reading, ...]
    memory: Memory
    hold: Hold | None = None
    pressure: Pressure = UNASKED


def scaling(visit: Visit[ScalingPolicySpec], deployment: Object, seen: Seen, autoscaler: Object) -> None:
    """The policy is at work."""
    _numbers(visit, deployment, seen, autoscaler)
    report_metrics.followed(visit, deployment, seen.readings, autoscaler)
    report_metrics.falls_back(visit, seen.memory)
    report_metrics.limited(visit, seen.bounds, seen.memory.floor, autoscaler)
    _budget(visit, seen.connections)
    report_metrics.database(visit, seen.pressure, seen.memory)
    _managed(visit)
    _calendar(visit, seen.closures)
    visit.conditions.set(PAUSED, False, "Running")
    visit.conditions.set(conditions.RECONCILING, False, "UpToDate")
    reason = "HeldByOperation" if seen.bounds.limited_by == decide.OPERATION else "Scaling"
    visit.conditions.set(conditions.READY, True, reason, _summary(seen))
    visit.status["phase"] = "Scaling"


def paused(visit: Visit[ScalingPolicySpec], deployment: Object | None) -> None:
    """spec.suspend: nothing is scaled."""
    for field in ("limitedBy", "nextTransition", "budget", "metrics"):
        visit.status.pop(field, None)
    pods = decide.wanted(deployment) if deployment else 0
    there = int(((deployment or {}).get("status") or {}).get("replicas", 0))
    visit.status |= {"phase": "Paused", "min": 0, "max": 0, "desired": pods, "current": there}
    command = f"kubectl scale deployment {visit.spec.target.lms_ref.name}-{visit.spec.target.component} --replicas=…"
    message = f"spec.suspend is true: {pods} pods stay; {command} changes that"
    for kind in (ACTIVE, FALLBACK, LIMITED, BUDGET, DATABASE_BOUND, FENCED, MANAGED, CALENDAR):
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
        "metrics": report_metrics.numbers(seen.readings) or None,
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
    return {"time": to_rfc3339(upcoming.time), "min": floor, "because": because or "nothing of the calendar"}


def _budget(visit: Visit[ScalingPolicySpec], found: Connections) -> None:
    spec, solved = visit.spec, found.solved
    if solved is None or found.limits is None:
        visit.conditions.set(BUDGET, "Unknown", found.reason, found.message)
        return
    counted = _counted(spec, solved)
    if solved.max_pods < spec.max_replicas:
        reason = "TooFewConnections" if solved.max_pods < spec.min_replicas else "MaxReplicasTooHigh"
        fix = _fix(solved, spec.max_replicas)
        visit.conditions.set(BUDGET, True, reason, f"{counted}, enough for {solved.max_pods} pods: {fix}")
    elif found.limits.others > spec.reserved_connections:
        seen = found.limits.others
        message = f"others have {seen} sessions, {spec.reserved_connections} are reserved for them: reservedConnections"
        visit.conditions.set(BUDGET, True, "OthersUseMore", f"{message} must be {seen} at least")
    else:
        visit.conditions.set(BUDGET, False, "WithinBudget", counted)


def _fix(solved: Budget, pods: int) -> str:
    numbers = {"needed": solved.needed_setting(pods), "application": solved.application}
    if pooler := solved.pooler:
        size = max(1, solved.application // pooler.pools - pooler.reserve)
        numbers |= {"sessions": pooler.sessions, "size": size}
    return _FIX[solved.term].format(**numbers)


def _counted(spec: ScalingPolicySpec, solved: Budget) -> str:
    needed = solved.needed(spec.max_replicas)
    pods = f"({spec.max_replicas} + {SURGE} in a rollout + {LEAVING} that leave) x {solved.per_pod}"
    what = "clients of the pooler" if solved.term == POOLER_CLIENTS else "connections"
    return f"{pods} = {needed} {what}, {max(0, solved.available)} of {solved.of} for this component"


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


def _calendar(visit: Visit[ScalingPolicySpec], closures: Closures) -> None:
    """Whether all of the calendar counts, or all but the file that it names."""
    if closures.reason:
        message = f"{closures.message}; until then load and the rest of the calendar count"
        visit.conditions.set(CALENDAR, False, closures.reason, message)
    else:
        visit.conditions.set(CALENDAR, True, "Complete", "")


def _summary(seen: Seen) -> str:
    because = f" for {seen.says.because}" if seen.says.because else ""
    limits = seen.bounds
    if seen.hold and limits.limited_by == decide.OPERATION:
        return f"{limits.max} pods{because} stay until {seen.hold.by} is done; then the load is followed again"
    return f"{limits.min} to {limits.max} pods{because}, no more because of {limits.limited_by}"
