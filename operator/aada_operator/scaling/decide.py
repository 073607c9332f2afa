"""How many pods at least and at most, and whose number it is: no I/O and no clock here."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from aada_operator.api.scaling import ANNOTATION_SCALED_FROM, ScalingPolicySpec
from aada_operator.core import capacity
from aada_operator.core.capacity import Budget
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.hysteresis import OFF, turned
from aada_operator.core.managed_fields import FIELD_MANAGER, SCALING_MANAGER, managers_of, status_manager, written_at
from aada_operator.core.resources import Object, leaves
from aada_operator.scaling.calendar import Says
from aada_operator.scaling.hold import Hold
from aada_operator.scaling.memory import Memory
from aada_operator.scaling.pressure import DATABASE_BOUND, ENTER, LEAVE, Pressure

MAX_REPLICAS = "MaxReplicas"
CONNECTION_BUDGET = "ConnectionBudget"
DATABASE_UNREACHABLE = "DatabaseUnreachable"
FREEZE = "Freeze"
OPERATION = "Operation"
SOMEBODY = "somebody"


@dataclass(frozen=True)
class Bounds:
    """What the autoscaler may choose from, and what sets the upper end."""

    min: int
    max: int
    limited_by: str


@dataclass(frozen=True)
class Size:
    """The size of a Deployment: ``wanted`` pods, once ``settled`` no more than these are there, for `pace`."""

    wanted: int
    settled: bool


def bounds(
    spec: ScalingPolicySpec,
    says: Says,
    top: tuple[int, str],
    size: Size,
    asked: int = 0,
    hold: Hold | None = None,
    last: int | None = None,
) -> Bounds:
    """The bounds of the autoscaler; ``top`` is from `upper`, ``asked`` are pods that queries ask for.

    A freeze holds the size whatever comes. An operation, ``hold``, may last into a class: while it does, nobody leaves
    and the load is not followed, but pods that the calendar wants are added, unless it is strict.

    What the database does not bear any more goes one pod at a time: an autoscaler whose bound drops below what is there
    would remove all others at once. ``last`` is the upper bound of the visit before: an autoscaler that began to look
    before it may still set a size above it, which is none.
    """
    if says.freeze and size.wanted:
        return Bounds(size.wanted, size.wanted, FREEZE)
    most, limited_by = top
    floor = max(spec.min_replicas, says.floor)
    if hold and size.wanted:
        held = size.wanted if hold.strict else max(size.wanted, min(floor, most))
        return Bounds(held, held, OPERATION)
    if limited_by == CONNECTION_BUDGET and size.wanted > most:
        step = size.wanted - 1 if size.settled else min(size.wanted, last or size.wanted)
        most = min(spec.max_replicas, max(most, step))
    return Bounds(min(max(floor, asked), most), most, limited_by)


def beside(found: Bounds, spec: ScalingPolicySpec, budget: Budget | None, there: int, leaving: int) -> Bounds:
    """The same while pods are leaving: nobody is added for whom these have the connections; who is ``there`` stays."""
    if spec.connection_budget != "Enforce" or budget is None or not leaving:
        return found
    room = max(budget.max_pods - leaving, min(there, found.max), 1)
    return Bounds(min(found.min, room), room, CONNECTION_BUDGET) if room < found.max else found


def upper(spec: ScalingPolicySpec, budget: Budget | None) -> tuple[int, str]:
    """Pods at the most, and why no more; without a ``budget`` nothing is known of the database, or nothing is asked.

    A database that does not even bear one pod is told of and stops every growth; it is no reason for an outage.
    """
    if spec.connection_budget != "Enforce" or budget is None or budget.max_pods >= spec.max_replicas:
        return spec.max_replicas, MAX_REPLICAS
    return budget.max_pods or spec.min_replicas, CONNECTION_BUDGET


def without_answer(spec: ScalingPolicySpec, last: int | None, size: Size) -> tuple[int, str]:
    """The same while the database cannot be asked: what was found last stays, and nothing grows before."""
    return min(last or max(spec.min_replicas, size.wanted), spec.max_replicas), DATABASE_UNREACHABLE


def held(spec: ScalingPolicySpec, top: tuple[int, str], size: Size, memory: Memory) -> tuple[int, str]:
    """The same while the database is the limit: nobody is added, and nobody has to leave."""
    most = max(size.wanted, spec.min_replicas)
    holds = memory.database.on and spec.database_bound.action == "Hold" and most < top[0]
    return (most, DATABASE_BOUND) if holds else top


def followed(memory: Memory, spec: ScalingPolicySpec, found: Pressure, now: datetime) -> Memory:
    """Whether the database is the limit after another look: once it was for a while, until it was not for longer."""
    off = spec.database_bound.action == "Off" or spec.connection_budget == "Off"
    return replace(memory, database=OFF if off else turned(memory.database, found.bound, now, ENTER, LEAVE))


def last_maximum(spec: ScalingPolicySpec, live: Object | None, memory: Memory) -> int | None:
    """The upper bound of the visit before; None when there was none."""
    if not spec.resource_metrics():
        return memory.most
    return int(live["spec"]["maxReplicas"]) if live else None


def noted(spec: ScalingPolicySpec, memory: Memory, found: Bounds) -> Memory:
    """With the upper bound, where the autoscaler has no choice and so does not have it."""
    return replace(memory, most=None if spec.resource_metrics() else found.max)


def wanted(deployment: Object) -> int:
    """The pods that a Deployment is told to have."""
    return int(deployment["spec"].get("replicas", 1))


def pace(deployment: Object) -> int:
    """Seconds from one pod that leaves to the next."""
    return capacity.pace(deployment["spec"]["template"]["spec"])


def size_of(deployment: Object, autoscaler: Object | None, now: datetime) -> Size:
    """The size of a Deployment, and whether it has come to rest."""
    pods = wanted(deployment)
    there = int((deployment.get("status") or {}).get("replicas", 0))
    return Size(pods, there <= pods and _is_old(deployment, autoscaler, now))


def _is_old(deployment: Object, autoscaler: Object | None, now: datetime) -> bool:
    """Whether nobody changed the size within `pace`.

    The API server notes no time of what an autoscaler writes; that says it itself, together with the size, later.
    """
    status = (autoscaler or {}).get("status") or {}
    written = written_at(deployment, "spec", "replicas")
    if written is None and status:
        if status.get("desiredReplicas") != wanted(deployment):
            return False
        written = from_rfc3339(status["lastScaleTime"]) if status.get("lastScaleTime") else None
    return written is None or now - written >= timedelta(seconds=pace(deployment))


def within(size: Size, limits: Bounds) -> int:
    """The pods that are wanted, in the bounds.

    The autoscaler would do the same, but looks every 15 seconds only.
    """
    return min(max(size.wanted, limits.min), limits.max)


def is_stepping_down(spec: ScalingPolicySpec, limits: Bounds, budget: Budget | None) -> bool:
    """Whether more pods have to leave, one after the other."""
    return limits.limited_by == CONNECTION_BUDGET and limits.max > upper(spec, budget)[0]


# --- whose number it is ---------------------------------------------------------------------------------------------


def is_handed_over(deployment: Object) -> bool:
    """Whether the AadaLms leaves the size alone."""
    return ANNOTATION_SCALED_FROM in (deployment["metadata"].get("annotations") or {})


def is_held(deployment: Object, autoscaler: Object | None) -> bool:
    """Whether the number is held by us or the autoscaler, so that it stays when the AadaLms applies none."""
    ours = {SCALING_MANAGER, status_manager(autoscaler) if autoscaler else ""}
    return bool(managers_of(deployment, "spec", "replicas") & ours)


def set_by_hand(deployment: Object, autoscaler: Object | None) -> str:
    """The program with which somebody set the size beside the autoscaler; empty when nobody did.

    The API server notes who wrote the number, but for none: that is left out of what kubectl writes. Who writes the
    status of the autoscaler is its controller, however that is called in this cluster.
    """
    controller = status_manager(autoscaler) if autoscaler else ""
    managers = managers_of(deployment, "spec", "replicas")
    if not controller or managers & {FIELD_MANAGER, SCALING_MANAGER, controller}:
        return ""
    return min(managers, default=SOMEBODY)


def meant(deployment: Object, autoscaler: Object | None, spec: ScalingPolicySpec, now: datetime) -> Size:
    """The size without what somebody set by hand: what the autoscaler wanted last."""
    size = size_of(deployment, autoscaler, now)
    if not set_by_hand(deployment, autoscaler):
        return size
    before = int(((autoscaler or {}).get("status") or {}).get("desiredReplicas", 0))
    return Size(before or spec.min_replicas, size.settled)


def rivals(autoscalers: Iterable[Object], deployment: str, uid: str) -> list[Object]:
    """Autoscalers of somebody else for the same Deployment."""
    return [one for one in autoscalers if _targets(one) == deployment and uid not in _owners(one)]


def elder(policies: Iterable[Object], spec: ScalingPolicySpec, me: Object) -> str:
    """The policy that was made earlier for the same component; empty when there is none."""
    target = spec.target.model_dump(by_alias=True)
    first = _eldest(one for one in policies if _target(one) == target)
    return first if first != me["metadata"]["name"] else ""


def leader(policies: Iterable[Object], spec: ScalingPolicySpec) -> str:
    """The one of all policies of an AadaLms that limits its roles, which are the same for all of its components."""
    lms = spec.target.lms_ref.model_dump()
    return _eldest(
        one
        for one in policies
        if _target(one).get("lmsRef") == lms and (one["spec"].get("connectionBudget", "Enforce") == "Enforce")
    )


def _eldest(policies: Iterable[Object]) -> str:
    living = [one["metadata"] for one in policies if not leaves(one)]
    return min(((one["creationTimestamp"], one["uid"], str(one["name"])) for one in living), default=("", "", ""))[2]


def neighbours(policies: Iterable[Object], spec: ScalingPolicySpec) -> dict[str, int]:
    """The largest sizes of other components of the same AadaLms that policies scale."""
    targets = [(_target(one), one) for one in policies]
    return {
        str(target["component"]): int(one["spec"].get("maxReplicas", 5))
        for target, one in targets
        if target.get("lmsRef") == spec.target.lms_ref.model_dump() and target.get("component") != spec.target.component
    }


def unrequested(spec: ScalingPolicySpec, deployment: Object) -> list[str]:
    """Resources that a metric is about and that the pods do not request: a percentage would be of nothing."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return [
        metric.resource
        for metric in spec.resource_metrics()
        if any(metric.resource not in _requests(container) for container in containers)
    ]


def _requests(container: Object) -> dict[str, Any]:
    resources = container.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def _target(policy: Object) -> dict[str, Any]:
    target: dict[str, Any] = (policy.get("spec") or {}).get("target") or {}
    return target


def _targets(autoscaler: Object) -> str:
    reference = autoscaler["spec"].get("scaleTargetRef") or {}
    return str(reference.get("name", "")) if reference.get("kind") == "Deployment" else ""


def _owners(body: Object) -> set[str]:
    return {str(reference["uid"]) for reference in body["metadata"].get("ownerReferences", ())}
