"""The children as YAML, compared with golden files: a change of any field is seen in review.

Written anew with ``AADA_GOLDEN=write pytest tests/unit/lms/test_manifests.py``; what git then shows is the change.
"""

import json
import os
from pathlib import Path

import pytest
import yaml

from aada_operator.core.resources import Object
from aada_operator.lms import manifests, migration
from aada_operator.lms.pod import ANNOTATION_SECRETS
from tests.unit.lms.samples import owner, spec

GOLDEN = Path(__file__).parent / "golden"

FULL: Object = {
    "version": "v1.3.0",
    "components": [
        {
            "name": "backend",
            "command": ["gunicorn"],
            "args": ["--workers", "4"],
            "env": [{"name": "LOG_LEVEL", "value": "info"}],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "resources": {"requests": {"cpu": "500m"}},
            "host": "api.school.example",
            "probes": {"readiness": {"http": {"path": "/health"}}},
            "podTemplate": {
                "metadata": {"annotations": {"school.example/team": "lms"}},
                "spec": {
                    "nodeSelector": {"disk": "ssd"},
                    "securityContext": {"fsGroup": 10001},
                    "containers": [{"name": "backend", "securityContext": {"readOnlyRootFilesystem": True}}],
                },
            },
        },
        {"name": "learn", "role": "web", "image": "registry.example/learn:v9", "replicas": 1, "port": 80},
    ],
    "database": {"caSecretRef": {"name": "db-ca", "key": "ca.crt"}},
    "schema": {"revision": "0003"},
    "secrets": [{"name": "JWT_SECRET_KEY", "secretRef": {"name": "aada-jwt", "key": "current"}}],
    "storage": {"uploads": {"claimName": "uploads", "mountPath": "/app/uploads"}},
}
CASES = {"minimal": spec(), "full": spec(FULL)}


def documents(case: str) -> list[Object]:
    """Everything that is made for one AadaLms."""
    given = CASES[case]
    found = [migration.manifest(owner(), given, migration.job_name(given, "aada", ""), "0002")]
    for component in given.components:
        found += [
            body for _, body in manifests.children(owner(), given, component, {ANNOTATION_SECRETS: "0123456789abcdef"})
        ]
    return found


@pytest.mark.parametrize("case", CASES)
def test_children_are_as_reviewed(case: str) -> None:
    path = GOLDEN / f"{case}.yaml"
    # Through JSON: what stands twice is written twice, without YAML's anchors.
    text = yaml.safe_dump_all(json.loads(json.dumps(documents(case))), sort_keys=False, width=120)
    if os.environ.get("AADA_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_nothing_of_the_parents_labels_reaches_a_child(case: str) -> None:
    """Argo CD would prune what carries its label and is not in git."""
    assert "argocd" not in str(documents(case))
    assert "last-applied" not in str(documents(case))


@pytest.mark.parametrize("case", CASES)
def test_every_pod_passes_pod_security_restricted(case: str) -> None:
    for body in documents(case):
        if body["kind"] not in ("Deployment", "Job"):
            continue
        pod = body["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_pod_has_time_to_drain() -> None:
    (pod,) = [b["spec"]["template"]["spec"] for b in documents("minimal") if b["kind"] == "Deployment"]
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > sleep + manifests.DRAIN_SECONDS


def test_one_pod_needs_no_budget_and_no_host_no_ingress() -> None:
    kinds = [(b["kind"], b["metadata"]["name"]) for b in documents("full")]
    assert ("PodDisruptionBudget", "aada-backend") in kinds
    assert ("Ingress", "aada-backend") in kinds
    assert ("PodDisruptionBudget", "aada-learn") not in kinds
    assert ("Ingress", "aada-learn") not in kinds


def test_the_overlay_is_merged_last() -> None:
    patch = {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 7, "securityContext": {"runAsNonRoot": False}}}}
    given = spec({"components": [{"name": "backend"} | patch]})
    pod = manifests.deployment(owner(), given, given.api_component(), {})["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 7
    assert pod["securityContext"]["runAsNonRoot"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
