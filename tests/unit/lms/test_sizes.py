"""Whose number of pods it is: the AadaLms' own, or a ScalingPolicy's, and how it changes hands without a jump."""

from __future__ import annotations

from typing import Any

from aada_operator.api.scaling import ANNOTATION_SCALED_FROM
from aada_operator.core.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, Object
from aada_operator.lms import manifests, sizes
from aada_operator.lms.sizes import Size, size_of
from tests.unit.lms.samples import owner, spec

COMPONENT = spec().components[0]  # two replicas
OURS, THEIRS = "aada-operator", "kube-controller-manager"


def live(replicas: int, *managers: str, scaled_from: str = "") -> Object:
    fields = [{"manager": one, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for one in managers]
    annotations = {ANNOTATION_SCALED_FROM: scaled_from} if scaled_from else {}
    return {"metadata": {"annotations": annotations, "managedFields": fields}, "spec": {"replicas": replicas}}


def test_without_a_policy_the_component_says_it() -> None:
    assert size_of(COMPONENT, None, scaled=False) == Size(2)
    assert size_of(COMPONENT, live(5, OURS), scaled=False) == Size(2)


def test_a_new_deployment_begins_with_the_components_number() -> None:
    assert size_of(COMPONENT, None, scaled=True) == Size(2, "2")


def test_the_number_stays_as_it_is_when_a_policy_comes() -> None:
    assert size_of(COMPONENT, live(5, OURS), scaled=True) == Size(5, "2")


def test_what_somebody_else_holds_is_not_applied_any_more() -> None:
    """And only then: a field that its only owner leaves out would be reset to one pod."""
    assert size_of(COMPONENT, live(5, OURS, THEIRS), scaled=True) == Size(None, "2")


def test_what_nobody_holds_is_not_taken() -> None:
    """`kubectl scale --replicas=0` leaves no name behind: whoever applied the number then would keep it at none."""
    assert size_of(COMPONENT, live(0, scaled_from="2"), scaled=True) == Size(None, "2")


def test_the_size_stays_when_the_policy_goes() -> None:
    assert size_of(COMPONENT, live(5, THEIRS, scaled_from="2"), scaled=False) == Size(None, "2")


def test_another_number_in_the_component_ends_that() -> None:
    changed = COMPONENT.model_copy(update={"replicas": 3})
    assert size_of(changed, live(5, THEIRS, scaled_from="2"), scaled=False) == Size(3)
    assert size_of(changed, live(5, THEIRS, scaled_from="2"), scaled=True) == Size(None, "3")


def children(size: Size) -> dict[str, Object]:
    one = COMPONENT.model_copy(update={"replicas": 1})
    return {resource.kind: body for resource, body in manifests.children(owner(), spec(), one, {}, size)}


def test_the_deployment_says_whose_number_it_is_and_is_drained_one_pod_at_a_time() -> None:
    scaled = children(Size(None, "1"))
    assert "replicas" not in scaled[DEPLOYMENTS.kind]["spec"]
    assert scaled[DEPLOYMENTS.kind]["metadata"]["annotations"] == {ANNOTATION_SCALED_FROM: "1"}
    assert scaled[DISRUPTION_BUDGETS.kind]["spec"]["maxUnavailable"] == 1, "one pod alone does not hold up a drain"
    assert "minAvailable" not in scaled[DISRUPTION_BUDGETS.kind]["spec"]
    plain = children(Size(1))
    assert plain[DEPLOYMENTS.kind]["spec"]["replicas"] == 1
    assert "annotations" not in plain[DEPLOYMENTS.kind]["metadata"]
    assert DISRUPTION_BUDGETS.kind not in plain


def policy(component: str = "backend", lms: str = "aada", **patch: Any) -> Object:
    target = {"lmsRef": {"name": lms}, "component": component}
    return {"metadata": {}, "spec": {"target": target, "maxReplicas": 9}} | patch


def test_policies_count_with_the_bound_that_holds() -> None:
    policies = [
        policy(),
        policy("tasks", status={"max": 4}),
        policy("old", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        policy("other", lms="another"),
    ]
    found = sizes.scaled(policies, "aada")
    assert found == {"backend": 9, "tasks": 4}
    assert [one.replicas for one in sizes.at_full_scale(spec(), found).components] == [9]
