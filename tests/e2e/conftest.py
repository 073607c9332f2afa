"""Fixtures of the whole stories."""

from tests.testbed.fixtures import cluster

__all__ = ["cluster"]
