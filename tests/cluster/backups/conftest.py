"""The school that all tests of backups share, and its servers up again after each of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.backups.school import School
from tests.cluster.release import Operator
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="session")
def shared_school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    school = School.open(cluster, f"school-{secrets.token_hex(3)}")
    yield school
    cluster.kubectl("delete", "namespace", school.workspace.namespace, "--wait=false")


@pytest.fixture
def school(shared_school: School) -> School:
    """The school, for tests that stop nothing."""
    return shared_school


@pytest.fixture
def fragile_school(shared_school: School) -> Iterator[School]:
    """The school, for tests that stop a server: it is up again afterwards."""
    yield shared_school
    shared_school.restart()
