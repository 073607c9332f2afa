"""A component's children in the cluster: made with it, and gone with it."""

from __future__ import annotations

from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.servers import Database
from tests.cluster.workspace import Workspace

CHILDREN = ("deployment", "service", "ingress", "poddisruptionbudget")


def test_a_component_that_leaves_the_spec_takes_its_children_along(
    operator: Operator, lms_namespace: Workspace, database: Database, lms_secrets: str, sample_lms: str
) -> None:
    portal = builders.portal_component("learn", replicas=2, host="learn.school.example")
    lms_namespace.apply(builders.aada_lms(host=database.host, components=[builders.api_component(), portal]))
    lms_namespace.wait_condition("lms/aada", "Ready", timeout=180)
    assert {kind: names(lms_namespace, kind) for kind in CHILDREN} == {
        "deployment": {"aada-backend", "aada-learn"},
        "service": {"aada-backend", "aada-learn"},
        "ingress": {"aada-learn"},
        "poddisruptionbudget": {"aada-learn"},
    }
    lms_namespace.apply(builders.aada_lms(host=database.host))
    for kind in CHILDREN:
        lms_namespace.wait_gone(f"{kind}/aada-learn")
    lms_namespace.wait_condition("lms/aada", "Ready")
    assert names(lms_namespace, "deployment") == {"aada-backend"}


def names(workspace: Workspace, kind: str) -> set[str]:
    """Names of the operator's objects of a kind."""
    return {item["metadata"]["name"] for item in workspace.items(kind, "lms.aada.edu/owner=aadalms")}
