"""pytest fixtures: import them in one conftest.py, since each that does has a cluster of its own."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.testbed.cluster import Cluster
from tests.testbed.layout import worker_cluster_name
from tests.testbed.provider import open_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of this checkout; stays up when it was up before, or when AADA_KEEP=1.

    Each worker of pytest-xdist has one of its own, which never stays.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        os.environ["AADA_CLUSTER"] = worker_cluster_name(worker)
    found = open_cluster()
    keep = not worker and (found.is_up() or os.environ.get("AADA_KEEP") == "1")
    found.create()
    yield found
    if not keep:
        found.delete()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace that enforces the restricted Pod Security Standard; its deletion is started, not awaited."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
    # Pods are refused until the controller manager has made it.
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
