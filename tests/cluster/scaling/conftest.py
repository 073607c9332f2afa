"""The school of a module of tests that scale it; those that need another one open it themselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.release import Operator
from tests.cluster.scaling.school import School
from tests.cluster.sizes import REF
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    """One pod, and no policy yet."""
    made = School.open(cluster, f"scaling-{secrets.token_hex(3)}")
    yield made
    made.workspace.delete(REF)
    cluster.kubectl("delete", "namespace", made.workspace.namespace, "--wait=false")
