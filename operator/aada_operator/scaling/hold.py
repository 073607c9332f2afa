"""What holds the size: whoever works on the LMS, or a rollout of the Deployment itself; pure.

While pods are replaced, two that leave and one more are counted in the budget: a pod that the autoscaler takes at the
same time would be one too many, and the load of pods that start says nothing of users.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aada_operator.core.interlock import Claim, Operation, disruptive
from aada_operator.core.resources import Object


@dataclass(frozen=True)
class Hold:
    """Who is to be done before the size may change; ``strict``: not even the calendar adds pods before."""

    by: str
    strict: bool = False


def holder(claims: Iterable[Claim], deployment: Object, autoscaler: Object | None) -> Hold | None:
    """What holds the size now, None for nothing. A backup disturbs no pod.

    A rotation may run a second set of pods, and has counted connections for as many as there are.
    """
    if operation := disruptive(one for one in claims if one.operation is not Operation.BACKUP):
        return Hold(str(operation), strict=operation.operation is Operation.ROTATION)
    if _rolls_out(deployment) or (_is_held(autoscaler) and not _is_observed(deployment)):
        return Hold(f"the rollout of Deployment {deployment['metadata']['name']}")
    return None


def _rolls_out(deployment: Object) -> bool:
    """Whether pods of a former revision are there; one that makes no progress any more holds nothing up."""
    status = deployment.get("status") or {}
    stuck = any(one.get("reason") == "ProgressDeadlineExceeded" for one in status.get("conditions", ()))
    return not stuck and int(status.get("updatedReplicas", 0)) < int(status.get("replicas", 0))


def _is_observed(deployment: Object) -> bool:
    """Whether the status is of the present spec; a release ends its migration in the moment its rollout begins."""
    status = deployment.get("status") or {}
    return int(status.get("observedGeneration", 0)) >= int(deployment["metadata"].get("generation", 0))


def _is_held(autoscaler: Object | None) -> bool:
    return autoscaler is not None and autoscaler["spec"].get("minReplicas") == autoscaler["spec"]["maxReplicas"]
