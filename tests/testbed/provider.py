"""Which provider runs the cluster."""

from __future__ import annotations

import os

from tests.testbed import kind
from tests.testbed.cluster import Cluster
from tests.testbed.layout import Layout
from tests.testbed.local import LocalCluster


def open_cluster() -> Cluster:
    """The cluster of this checkout, whether it is up or not.

    `AADA_PROVIDER` (`kind` or `local`) decides; else a local node that is there, kind where an engine and a registry
    are, a local node. Raises ValueError when `AADA_PROVIDER` is neither.
    """
    chosen = os.environ.get("AADA_PROVIDER") or _best()
    if chosen not in ("kind", "local"):
        raise ValueError(f"AADA_PROVIDER={chosen!r} must be kind or local")
    return kind.KindProvider() if chosen == "kind" else LocalCluster()


def _best() -> str:
    is_local = (Layout.current().state / "config").is_dir()
    return "kind" if not is_local and kind.is_usable() else "local"
