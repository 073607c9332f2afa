"""Which provider runs the cluster."""

from __future__ import annotations

from tests.testbed.cluster import Cluster
from tests.testbed.local import LocalCluster


def open_cluster() -> Cluster:
    """The cluster of this checkout, whether it is up or not."""
    return LocalCluster()
