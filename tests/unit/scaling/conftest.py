"""A world of its own for each test."""

from __future__ import annotations

import pytest

from aada_operator.adapters import prometheus
from tests.unit.scaling.prometheus import Prometheus
from tests.unit.scaling.world import Make, World


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a world, with the spec of its policy by keyword."""
    return lambda *args, **spec: World(monkeypatch, *args, **spec)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Prometheus:
    """The Prometheus that every policy asks."""
    made = Prometheus()
    monkeypatch.setattr(prometheus, "ask", made.ask)
    return made
