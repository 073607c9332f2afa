"""The API server accepts and refuses what the table of the unit tests says: schema, CEL rules, strict fields."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cluster import builders
from tests.cluster.release import Operator
from tests.cluster.workspace import Workspace
from tests.testbed.cluster import Cluster
from tests.unit.api.cases import CASES, Case


@pytest.fixture(scope="module")
def server(cluster: Cluster, operator: Operator) -> Workspace:
    """Nothing is made, so any namespace will do."""
    return Workspace(cluster, "default")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_api_server_accepts_or_refuses(server: Workspace, case: Case) -> None:
    body = json.dumps(builders.custom_resource(case.kind, "case", case.spec))
    try:
        server.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", input=body,
                       stderr=subprocess.STDOUT)  # fmt: skip
        refusal = None
    except subprocess.CalledProcessError as error:
        refusal = error.output
    assert (refusal is None) == case.accepted_by_server, refusal and refusal[:2000]
    if refusal:
        assert any(word in refusal for word in ("is invalid", "unknown field", "strict decoding")), refusal[:2000]
