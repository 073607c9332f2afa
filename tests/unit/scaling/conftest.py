"""A world of its own for each test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.scaling.world import World


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes a world, with the spec of its policy by keyword."""
    return lambda *args, **spec: World(monkeypatch, *args, **spec)
