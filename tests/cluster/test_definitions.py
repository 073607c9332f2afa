"""The definitions of the kinds, as a real API server and kubectl see them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from aada_operator.adapters.children import differences
from aada_operator.api.common import API_VERSION, GROUP
from aada_operator.api.registry import KINDS, Kind
from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.workspace import Workspace
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT
from tests.unit.api.cases import CASES, Case

SAMPLES = sorted((CHECKOUT / "manifests" / "samples").iterdir())
PLURALS = {kind.resource.kind: kind.resource.plural for kind in KINDS}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_the_api_server_takes_the_sample(operator: Operator, lms_namespace: Workspace, sample: Path) -> None:
    """With strict field validation, an unknown or repeated field would be refused."""
    lms_namespace.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={sample}")


@pytest.fixture(scope="module")
def server(cluster: Cluster, operator: Operator) -> Iterator[httpx.Client]:
    """The API server without a kubectl for every request."""
    argv = [str(cluster.kubectl_path), "proxy", "--port=0"]
    with subprocess.Popen(argv, env=cluster.environment(), stdout=subprocess.PIPE, encoding="utf-8") as proxy:
        assert proxy.stdout is not None
        address = proxy.stdout.readline().rpartition(" ")[2].strip()
        with httpx.Client(base_url=f"http://{address}", timeout=30, trust_env=False) as client:
            yield client
        proxy.terminate()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_api_server_accepts_and_refuses_what_the_models_do(server: httpx.Client, case: Case) -> None:
    """A dry run with strict field validation, which is what kubectl asks for too."""
    path = f"/apis/{API_VERSION}/namespaces/default/{PLURALS[case.kind]}?dryRun=All&fieldValidation=Strict"
    answer = server.post(path, json=builders.custom_resource(case.kind, "case", case.spec))
    assert answer.status_code in ((201,) if case.accepted_by_server else (400, 422)), answer.text[:2000]
    if not case.accepted_by_server:
        assert re.search("is invalid|unknown field|strict decoding", answer.text), answer.text[:2000]


def test_kubectl_get_aada_shows_objects_of_every_kind(operator: Operator, lms_namespace: Workspace) -> None:
    bodies = [body for sample in SAMPLES for body in yaml.safe_load_all(sample.read_text())]
    suspended = {"AadaLms": {"suspend": True}, "BackupPolicy": {"suspend": True}}
    for body in bodies:
        if body["apiVersion"] == API_VERSION:
            lms_namespace.apply(body | {"spec": body["spec"] | suspended.get(body["kind"], {})})
    # kubectl knows categories from its cache, which may be older than the definitions.
    lms_namespace.kubectl("api-resources", "--cached=false", f"--api-group={GROUP}")
    shown = lms_namespace.kubectl("get", "aada", "--output=name").split()
    assert {name.split(".")[0] for name in shown} == {kind.resource.kind.lower() for kind in KINDS}


@EVERY_KIND
def test_kubectl_get_shows_the_columns(operator: Operator, lms_namespace: Workspace, kind: Kind) -> None:
    body = next(
        body
        for sample in SAMPLES
        for body in yaml.safe_load_all(sample.read_text())
        if body["kind"] == kind.resource.kind
    )
    lms_namespace.apply(body | {"spec": body["spec"] | ({} if kind.resource.immutable else {"suspend": True})})
    for short in kind.resource.short_names:
        wide = lms_namespace.kubectl("get", short, "--output=wide").splitlines()[0].split()
        assert wide == ["NAME", *(column.name for column in kind.resource.columns)]


@pytest.fixture(scope="module")
def published(cluster: Cluster, operator: Operator) -> dict[str, Any]:
    """What `kubectl explain` reads: the schemas that the API server publishes, by kind."""
    schemas = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/apis/{API_VERSION}"))["components"]["schemas"]
    kinds = {schema["x-kubernetes-group-version-kind"][0]["kind"]: schema for schema in schemas.values()
             if "x-kubernetes-group-version-kind" in schema}  # fmt: skip
    return {kind: schema for kind, schema in kinds.items() if not kind.endswith("List")}


@EVERY_KIND
def test_every_field_is_explained(published: dict[str, Any], kind: Kind) -> None:
    schema = published[kind.resource.kind]
    assert schema["description"] == kind.resource.description
    silent = [path for part in ("spec", "status") for path in unexplained(schema["properties"][part], part)]
    assert silent == []


def unexplained(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of the fields without a sentence of their own."""
    if not schema.get("description", "").endswith("."):
        yield path
    inner = schema.get("items", schema)
    for name, child in inner.get("properties", {}).items():
        yield from unexplained(child, f"{path}.{name}")


def test_kubectl_explain_tells_type_need_and_meaning(operator: Operator, cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "lms.spec.database.host")
    assert "FIELD: host <string>" in text
    assert "Host name or address of the PostgreSQL server." in text
    assert "-required-" in cluster.kubectl("explain", "lms.spec.database")


@EVERY_KIND
def test_the_api_server_stores_what_the_file_says(operator: Operator, cluster: Cluster, kind: Kind) -> None:
    """A field of the schema that the server does not know would be dropped without a word."""
    written = yaml.safe_load((CHECKOUT / "crds" / f"{kind.resource.plural}.yaml").read_text())
    stored = json.loads(cluster.kubectl("get", f"crd/{written['metadata']['name']}", "--output=json"))
    assert differences(written, stored) == []
