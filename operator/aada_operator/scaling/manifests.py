"""The autoscaler of a ScalingPolicy, and the size of a Deployment, as plain dicts."""

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS, LABEL_OWNER, seconds
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.resources import AUTOSCALERS, DEPLOYMENTS, SCALING_POLICIES, Object, owner_reference
from aada_operator.scaling.decide import Bounds
from aada_operator.scaling.memory import Memory, written

# Seconds that the API server allows.
_LONGEST_PERIOD = 1800


def deployment_name(spec: ScalingPolicySpec) -> str:
    """The Deployment that is scaled."""
    return f"{spec.target.lms_ref.name}-{spec.target.component}"


def autoscaler(owner: Object, spec: ScalingPolicySpec, bounds: Bounds, memory: Memory, pace: int) -> Object:
    """The HorizontalPodAutoscaler; it goes with its policy, and the size stays. One pod leaves in ``pace`` seconds.

    Without a metric of its own the server would have it follow the CPU: so it has no choice then.
    """
    metadata = owner["metadata"]
    lms, component = spec.target.lms_ref.name, spec.target.component
    resources = spec.resource_metrics()
    stabilization = int(seconds(spec.behavior.scale_down_stabilization))
    one_by_one = {"type": "Pods", "value": 1, "periodSeconds": min(pace, _LONGEST_PERIOD)}
    return {
        "apiVersion": AUTOSCALERS.api_version,
        "kind": AUTOSCALERS.kind,
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {
                "app.kubernetes.io/managed-by": "aada-operator",
                LABEL_OWNER: SCALING_POLICIES.plural,
                LABEL_LMS: lms,
                LABEL_COMPONENT: component,
            },
            "annotations": written(memory),
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "scaleTargetRef": {
                "apiVersion": DEPLOYMENTS.api_version,
                "kind": DEPLOYMENTS.kind,
                "name": deployment_name(spec),
            },
            "minReplicas": bounds.min,
            "maxReplicas": bounds.max if resources else bounds.min,
            "metrics": [_metric(one.resource, one.percent) for one in resources],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": stabilization, "policies": [one_by_one]}},
        },
    }


def _metric(resource: str, percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


def size(deployment: Object, replicas: int) -> Object:
    """The one field of a Deployment that a policy holds."""
    metadata = {name: deployment["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }
