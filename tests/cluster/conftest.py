"""Fixtures of the cluster tests: the installed operator, a namespace for each test, and the servers in it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

import pyrage
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.cluster import audit, builders, release
from tests.cluster.release import Operator
from tests.cluster.servers import Bucket, Database
from tests.cluster.workspace import Workspace
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.layout import CHECKOUT
from tests.testbed.services import install_postgres, install_s3, make_bucket
from tests.testbed.versions import SAMPLE_LMS_RELEASES

# Those that take many minutes, the longest first: begun last, one of them would keep a single cluster busy at the end.
LONGEST = (
    "rotations/test_rotations.py",
    "rotations/test_blue_green.py",
    "restores/",
    "backups/",
    "rotations/test_faults.py",
    "scaling/test_scaling.py",
    "scaling/test_read_replica.py",
    "scaling/test_faults.py",
    "test_show_scaling.py",
    "rotations/test_pooler.py",
    "rotations/test_in_place.py",
    "scaling/",
    "test_demo.py",
    "test_lms.py",
    "test_install.py",
    "test_bench_short.py",
    "test_testbed_life.py",
)


@dataclass(frozen=True)
class AgeKeys:
    """A key pair for encrypted backups, as text."""

    recipient: str
    identity: str


class BySchool(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of one module run in the same cluster, and of a folder whose conftest.py has one school for all."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        shares = path.parent.parent.name == "cluster" and (CHECKOUT / path.parent / "conftest.py").exists()
        return str(path.parent if shares else path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BySchool:
    # The option --dist=loadgroup does nothing with pytest 9: xdist 3.8 writes the group where pytest no longer reads.
    return BySchool(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    return next((place for place, part in enumerate(LONGEST) if part in item.nodeid), len(LONGEST))


def pytest_collection_finish(session: pytest.Session) -> None:
    audit.note_collected({item.path.name for item in session.items})


@pytest.fixture(scope="session")
def audited(cluster: Cluster) -> Iterator[None]:
    """What was asked of the API server from now on is kept."""
    begin = cluster.audit_log.stat().st_size
    yield
    audit.keep(cluster, begin)


@pytest.fixture(scope="session")
def operator(cluster: Cluster, audited: None) -> Operator:
    """The operator of this checkout, installed by the chart; serves all namespaces."""
    return release.install(cluster)


@pytest.fixture(scope="session")
def sample_lms(cluster: Cluster) -> str:
    """Every release of the sample LMS on the node; the name of the image without tag."""
    for version in SAMPLE_LMS_RELEASES:
        release.build_image(cluster, f"{SAMPLE_LMS}:{version}")
    return SAMPLE_LMS


@pytest.fixture
def lms_namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """An empty namespace for one test, in which pods must pass Pod Security ``restricted``."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:40].strip("-")
    name = f"{words}-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    yield Workspace(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def lms_secrets(lms_namespace: Workspace) -> str:
    """Name of the Secret with the sample LMS' keys."""
    keys = {key: secrets.token_urlsafe(32) for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
    return lms_namespace.secret(builders.LMS_SECRET, **keys)


@pytest.fixture
def database(lms_namespace: Workspace) -> Database:
    """A PostgreSQL server in the test's namespace; its admin is in the Secret that ``builders.aada_lms`` names."""
    return Database(lms_namespace, install_postgres(lms_namespace.cluster, lms_namespace.namespace))


@pytest.fixture
def s3(lms_namespace: Workspace) -> Bucket:
    """An S3 server in the test's namespace with the bucket that ``builders.backup_policy`` names."""
    server = install_s3(lms_namespace.cluster, lms_namespace.namespace)
    make_bucket(lms_namespace.cluster, server, builders.BUCKET)
    return Bucket(lms_namespace, server, builders.BUCKET)


@pytest.fixture
def age_keys(lms_namespace: Workspace) -> AgeKeys:
    """A key pair whose private key is in the namespace, as ``builders.backup_policy`` expects it."""
    identity = pyrage.x25519.Identity.generate()
    keys = AgeKeys(str(identity.to_public()), str(identity))
    lms_namespace.secret(builders.IDENTITY_SECRET, **{builders.IDENTITY_KEY: keys.identity})
    return keys
