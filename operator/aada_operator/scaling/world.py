"""What one visit to a ScalingPolicy sees: its AadaLms, the Deployment and its autoscaler."""

import asyncio
from dataclasses import dataclass

from aada_operator.adapters import interlock
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import lms_spec
from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.controller import Visit
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.interlock import Claim
from aada_operator.core.resources import AADA_LMS, AUTOSCALERS, DEPLOYMENTS, PODS, SCALING_POLICIES, Object, leaves
from aada_operator.scaling import decide, manifests

ScalingVisit = Visit[ScalingPolicySpec]
# Seconds until what was missing is looked for again.
SOON, LATER = 2.0, 30.0


@dataclass(frozen=True)
class Target:
    """The AadaLms and the component that are scaled."""

    lms: Object
    spec: AadaLmsSpec
    component: Component


@dataclass(frozen=True)
class World(Target):
    """``autoscaler`` is ours, None when there is none; ``autoscalers`` and ``policies`` are all of the namespace.

    ``claims`` are those under which somebody works on the LMS now; ``leaving`` counts pods that have not ended yet.
    """

    deployment: Object
    autoscaler: Object | None
    autoscalers: list[Object]
    policies: list[Object]
    claims: tuple[Claim, ...] = ()
    leaving: int = 0


async def target_of(kube: Kube, visit: ScalingVisit) -> Target:
    """Read what is scaled.

    Raises:
        Waiting: AadaLmsNotFound, AadaLmsInvalid, ComponentNotFound.
    """
    name, wanted = visit.spec.target.lms_ref.name, visit.spec.target.component
    body = await kube.get(AADA_LMS, visit.namespace, name)
    spec = lms_spec(body, name)
    component = next((one for one in spec.components if one.name == wanted), None)
    if body is None or component is None:
        message = f"AadaLms {name} has no component {wanted}: correct target.component"
        raise Waiting("ComponentNotFound", message, LATER)
    return Target(body, spec, component)


async def observe(kube: Kube, visit: ScalingVisit, target: Target) -> World:
    """Read what else a visit starts from.

    Raises:
        Waiting: DeploymentMissing, ClaimsUnreadable.
        Stalled: AnotherPolicy.
    """
    namespace, name = visit.namespace, manifests.deployment_name(visit.spec)
    # Side by side: a class does not wait for four answers one after the other.
    policies, deployment, claims, autoscalers, pods = await asyncio.gather(
        kube.list(SCALING_POLICIES, namespace),
        kube.get(DEPLOYMENTS, namespace, name),
        interlock.held(kube, namespace, target.lms["metadata"]["name"]),
        kube.list(AUTOSCALERS, namespace),
        kube.list(PODS, namespace, {LABEL_LMS: visit.spec.target.lms_ref.name, LABEL_COMPONENT: target.component.name}),
    )
    if elder := decide.elder(policies, visit.spec, visit.body):
        raise Stalled("AnotherPolicy", f"ScalingPolicy {elder} scales the same component: delete one of them")
    if deployment is None:
        raise Waiting("DeploymentMissing", f"the AadaLms has not made Deployment {name} yet: see its conditions", 5.0)
    ours = _ours(autoscalers, visit)
    leaving = sum(map(leaves, pods))
    return World(target.lms, target.spec, target.component, deployment, ours, autoscalers, policies, claims, leaving)


async def own_autoscaler(kube: Kube, visit: ScalingVisit) -> Object | None:
    """The HorizontalPodAutoscaler that this policy made."""
    return _ours(await kube.list(AUTOSCALERS, visit.namespace), visit)


def _ours(autoscalers: list[Object], visit: ScalingVisit) -> Object | None:
    return next((one for one in autoscalers if one["metadata"]["name"] == visit.name and _owned(one, visit.uid)), None)


def _owned(body: Object, uid: str) -> bool:
    return any(reference["uid"] == uid for reference in body["metadata"].get("ownerReferences", ()))
