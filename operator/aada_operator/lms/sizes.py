"""Whose number of pods it is: the component's `replicas`, or a ScalingPolicy's; pure.

Where a policy scales, the Deployment says so in an annotation with the component's `replicas` of that time. It stays
when the policy goes, and so does the size, until somebody writes another number into the component.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.scaling import ANNOTATION_SCALED_FROM
from aada_operator.core.managed_fields import FIELD_MANAGER, managers_of
from aada_operator.core.resources import Object, leaves


@dataclass(frozen=True)
class Size:
    """``replicas`` to apply, None to apply none; ``scaled_from`` is what the annotation is to say, empty for none."""

    replicas: int | None
    scaled_from: str = ""


def size_of(component: Component, live: Object | None, *, scaled: bool) -> Size:
    """The size of a component's Deployment; ``scaled``: a ScalingPolicy is there for it.

    A field that was applied and is not any more is reset, unless somebody else holds it, too: until then the number is
    applied as it is. One that nobody holds is left alone: `kubectl scale --replicas=0` leaves no name behind.
    """
    given = str(component.replicas)
    if live is None:
        return Size(component.replicas, given if scaled else "")
    marked = (live["metadata"].get("annotations") or {}).get(ANNOTATION_SCALED_FROM)
    if not scaled and marked != given:
        return Size(component.replicas)
    alone = managers_of(live, "spec", "replicas") == {FIELD_MANAGER}
    return Size(int(live["spec"].get("replicas", 1)) if alone else None, given)


def scaled(policies: Iterable[Object], lms: str) -> dict[str, int]:
    """The components that ScalingPolicies scale, with the most pods that they may have."""
    found: dict[str, int] = {}
    for policy in policies:
        target = (policy.get("spec") or {}).get("target") or {}
        if (target.get("lmsRef") or {}).get("name") == lms and not leaves(policy):
            most = (policy.get("status") or {}).get("max") or policy["spec"].get("maxReplicas", 1)
            found[str(target.get("component", ""))] = int(most)
    return found


def at_full_scale(spec: AadaLmsSpec, limits: Mapping[str, int]) -> AadaLmsSpec:
    """The spec as it is when every policy has scaled out as far as it may."""
    components = [one.model_copy(update={"replicas": limits.get(one.name, one.replicas)}) for one in spec.components]
    return spec.model_copy(update={"components": components})
