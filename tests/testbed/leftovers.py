"""What clusters leave: removed when a cluster goes down, when a run was killed, and when a checkout is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.testbed import cgroups, imaging
from tests.testbed.layout import CHECKOUT, Layout, worker_cluster_name
from tests.testbed.namespace import Namespace
from tests.testbed.shell import locked, say

OWNER_FILE = "checkout"


def claim(layout: Layout) -> None:
    """Make the image store and note the checkout that it belongs to."""
    layout.image_store.mkdir(parents=True, exist_ok=True)
    (layout.image_store / OWNER_FILE).write_text(str(CHECKOUT))


def remove_node(layout: Layout) -> None:
    """Stop the node, whoever started it, and remove its control groups and its state."""
    Namespace(layout).stop()
    cgroups.remove(layout.cgroup)
    if layout.state.exists():
        shutil.rmtree(layout.state)


def forget(layout: Layout) -> None:
    """Remove a cluster with its images; nothing of it stays in the cache."""
    with locked(layout.lock, f"cluster {layout.name}"):
        remove_node(layout)
        imaging.forget(layout)
        if layout.image_store.exists():
            shutil.rmtree(layout.image_store)


def of_test_workers(layout: Layout) -> list[Layout]:
    """The clusters of the present checkout that workers of a killed test run left."""
    pattern = worker_cluster_name("gw[0-9]*")
    return [Layout(state.name, layout.cache) for state in layout.state.parent.glob(pattern)]


def forget_dead_checkouts(cache: Path) -> None:
    """Forget the clusters whose checkout was deleted: continuous integration clones anew every time."""
    for note in cache.glob(f"containerd/*/{OWNER_FILE}"):
        checkout = Path(note.read_text())
        if not checkout.is_dir():
            say(f"• removing cluster {note.parent.name} of {checkout}, which is gone")
            forget(Layout(note.parent.name, cache))
