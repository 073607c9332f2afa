"""The cluster that cluster tests and whole stories share: two of a worker's at once would keep a small machine busy."""

from tests.testbed.fixtures import cluster

__all__ = ["cluster"]
