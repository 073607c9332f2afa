"""The cluster that cluster tests and whole stories share: two of a worker's at once would keep a small machine busy."""

import gc

from hypothesis import settings

from tests.testbed.fixtures import cluster

__all__ = ["cluster"]

# How long one example takes says how busy the machine is, not whether the property holds.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_collection_finish() -> None:
    """What was imported stays: a garbage collector that looks through it each time takes a tenth of the processors."""
    gc.freeze()
