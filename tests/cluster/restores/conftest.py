"""The school of these tests, opened once for all of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.backups.school import School
from tests.cluster.release import Operator
from tests.cluster.restores.rehearsal import DELICATE, LIVE, Rehearsal
from tests.cluster.workspace import Object
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="session")
def opened(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[tuple[Rehearsal, str, str]]:
    """The school, and the content and structure that ``monday`` holds."""
    school = Rehearsal(**vars(School.open(cluster, f"restores-{secrets.token_hex(3)}")))
    school.quick()
    school.database.sql(DELICATE, LIVE)
    monday = (school.content(), school.structure())
    school.completed(school.backup("monday", "nightly"))
    school.database.sql("UPDATE notes SET body = 'overwritten' WHERE id % 2 = 0; DELETE FROM delicate", LIVE)
    yield school, *monday
    cluster.kubectl("delete", "namespace", school.workspace.namespace, "--wait=false")


@pytest.fixture
def school(opened: tuple[Rehearsal, str, str]) -> Iterator[Rehearsal]:
    """The school; whatever a test slowed down or stopped is well again after it."""
    yield opened[0]
    opened[0].quick()


@pytest.fixture
def fragile_school(school: Rehearsal) -> Iterator[Rehearsal]:
    yield school
    school.restart()


@pytest.fixture
def monday(opened: tuple[Rehearsal, str, str]) -> str:
    """The content that the backup holds, seen before it was taken."""
    return opened[1]


@pytest.fixture(scope="session")
def by_name(opened: tuple[Rehearsal, str, str]) -> Object:
    """A completed Restore of ``monday`` that nothing disturbed; the live database was the same before and after."""
    school, monday, _ = opened
    live = school.content()
    assert live != monday, "otherwise no test could tell one from the other"
    body = school.restored(school.restore("by-name", backup="monday"))
    assert school.content() == live
    return body
