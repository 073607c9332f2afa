"""Who wrote a field, as the API server notes it."""

from __future__ import annotations

from aada_operator.core.managed_fields import managers_of, status_manager

BODY = {
    "metadata": {
        "managedFields": [
            {"manager": "aada-operator", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
            {"manager": "kubectl", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {
                "manager": "kube-controller-manager",
                "subresource": "status",
                "fieldsV1": {"f:status": {"f:replicas": {}}},
            },
            {"manager": "odd", "fieldsV1": {"f:spec": None}},
            {"manager": "empty"},
        ]
    }
}


def test_the_owner_of_a_field_is_found_by_its_path() -> None:
    assert managers_of(BODY, "spec", "replicas") == {"kubectl"}
    assert managers_of(BODY, "spec", "template") == {"aada-operator"}
    assert managers_of(BODY, "spec", "paused") == frozenset()


def test_the_writer_of_the_status_is_found() -> None:
    assert status_manager(BODY) == "kube-controller-manager"


def test_an_object_without_notes_has_no_owners() -> None:
    assert managers_of({"metadata": {}}, "spec", "replicas") == frozenset()
    assert status_manager({"metadata": {}}) == ""
