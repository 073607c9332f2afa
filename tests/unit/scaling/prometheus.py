"""A Prometheus that says what a test wants, and how a policy asks it."""

from __future__ import annotations

from typing import Any

from aada_operator.adapters.prometheus import Server
from aada_operator.core.errors import Waiting

PROMETHEUS = {"url": "http://prometheus:9090"}


def metric(name: str = "requests", **patch: Any) -> dict[str, Any]:
    """Fifty requests per second for each pod."""
    return {"prometheus": {"name": name, "query": "sum(rate(http_requests_total[2m]))", "target": 50} | patch}


class Prometheus:
    """Answers every query with ``value``, or fails."""

    def __init__(self) -> None:
        self.value: float = 100
        self.fails: Waiting | None = None
        self.asked: list[tuple[Server, str]] = []

    async def ask(self, server: Server, query: str) -> float:
        self.asked.append((server, query))
        if self.fails:
            raise self.fails
        return self.value
