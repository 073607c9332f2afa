"""What a pooler says of a login, and what that means for a rotation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aada_operator.adapters import pgbouncer
from aada_operator.adapters.postgres import Login
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.rotations import pooler
from aada_operator.rotations.pooler import PoolerInStep

OLD, NEW = Login("lms_a", "old", ""), Login("lms_b", "new", "")


def step(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str | None], user: str = "lms_b") -> PoolerInStep:
    """A pooler that answers so to a login, and whose sessions at the server are of ``user``."""

    async def endpoint(*_: Any) -> None:
        return None

    async def session_user(*_: Any) -> str:
        return user

    async def answer(_: Any, login: Login, __: str) -> str | None:
        return answers[login.username]

    monkeypatch.setattr(pooler, "pooler_endpoint_of", endpoint)
    monkeypatch.setattr(pooler, "refusal", answer)
    monkeypatch.setattr(pgbouncer, "session_user", session_user)
    database = SimpleNamespace(pooler=object(), name="lms")
    work: Any = SimpleNamespace(
        spec=SimpleNamespace(database=database), kube=None, visit=SimpleNamespace(namespace="school"), allow_local=False
    )
    return PoolerInStep(work)


@pytest.mark.parametrize("state", ["08P01", "28P01"])
async def test_a_refusal_counts_while_the_new_login_is_let_in(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    await step(monkeypatch, {"lms_a": state, "lms_b": ""}).demand_refused(OLD, NEW)


@pytest.mark.parametrize(("old", "new"), [("", ""), ("08P01", "08P01"), (None, ""), ("53300", ""), ("08P01", None)])
async def test_anything_else_proves_nothing(monkeypatch: pytest.MonkeyPatch, old: str | None, new: str | None) -> None:
    with pytest.raises(Waiting, match="NotProven") as told:
        await step(monkeypatch, {"lms_a": old, "lms_b": new}).demand_refused(OLD, NEW)
    assert "lms_a must not be in its auth_file" in told.value.message


async def test_a_pooler_that_goes_to_the_server_as_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    await step(monkeypatch, {}).demand_let_in(NEW)
    with pytest.raises(Stalled, match="PoolerUserForced") as told:
        await step(monkeypatch, {}, "pool").demand_let_in(NEW)
    assert told.value.message.startswith("database.pooler: ")
