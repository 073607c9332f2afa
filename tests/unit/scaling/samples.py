"""Policies, AadaLms and servers as tests need them: small, valid, changed by keyword."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.database import ConnectionLimits

TARGET = {"lmsRef": {"name": "aada"}, "component": "backend"}
# Ten connections a pod.
CONNECTIONS = {"workers": 2, "poolSize": 3, "maxOverflow": 2}
SERVER = ConnectionLimits(max_connections=100, superusers=3)


def spec(**patch: Any) -> ScalingPolicySpec:
    """Two to five pods by CPU."""
    return ScalingPolicySpec.model_validate({"target": TARGET} | patch)


def component(name: str = "backend", **patch: Any) -> dict[str, Any]:
    """A component of role api."""
    return {"name": name, "role": "api", "image": "lms", "connections": CONNECTIONS} | patch


def lms(*components: dict[str, Any]) -> AadaLmsSpec:
    """An AadaLms with these components, or with a backend alone."""
    wanted = list(components) or [component()]
    database = {"host": "db", "adminSecretRef": {"name": "db-admin"}}
    return AadaLmsSpec.model_validate({"components": wanted, "database": database})


def at(text: str) -> datetime:
    """A moment, as 2026-03-01T04:00Z."""
    return datetime.fromisoformat(text)
