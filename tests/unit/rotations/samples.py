"""A SecretRotation, an application's Secret and a server as tests need them: small, valid, changed by keyword."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime
from typing import Any

from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core.database import LoginRole, Names, RotationServer
from aada_operator.core.resources import Object

NAMES = Names("aada_lms", "aada_lms_a")
OURS = "lms.aada.edu/lms=uid-1"


def at(text: str) -> datetime:
    """A moment; what is missing of ``2026-03-01T04:00:00Z`` at its end is filled up."""
    return datetime.fromisoformat(text + "2026-01-01T00:00:00Z"[len(text) :])


def spec(**patch: Any) -> SecretRotationSpec:
    """A spec without a clock."""
    return SecretRotationSpec.model_validate({"lmsRef": {"name": "aada"}, "type": "DatabasePassword"} | patch)


def owner(name: str = "login", made: str = "2026-01-01T00:00:00Z", **patch: Any) -> Object:
    """A SecretRotation as the API server gives it, with labels and annotations that nothing of it may inherit."""
    return {
        "apiVersion": "lms.aada.edu/v1alpha1",
        "kind": "SecretRotation",
        "metadata": {
            "name": name,
            "namespace": "school",
            "uid": f"uid-of-{name}",
            "creationTimestamp": made,
            "labels": {"argocd.argoproj.io/instance": "lms"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"lmsRef": {"name": "aada"}, "type": "DatabasePassword"} | patch,
    }


def live(**metadata: Any) -> Object:
    """The application's Secret."""
    data = {"username": "aada_lms_a", "password": "old-password", "url": "postgresql://aada_lms_a:old-password@db/lms"}
    return {
        "metadata": {"name": "aada-db", "namespace": "school", "creationTimestamp": "2026-01-01T00:00:00Z"} | metadata,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def role(name: str = "aada_lms_a", **patch: Any) -> LoginRole:
    """A login that can be replaced."""
    made = LoginRole(name, comment=OURS, can_login=True, acts_as_owner=True, sessions=0, owns=0)
    return replace(made, **patch)


def server(*logins: LoginRole, **patch: Any) -> RotationServer:
    """A server with the owner role and these logins."""
    made = RotationServer(
        admin="boss",
        may_make_roles=True,
        database_owner=NAMES.owner,
        logins={login.name: login for login in logins},
    )
    return replace(made, **patch)
