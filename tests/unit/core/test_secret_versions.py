"""A change of a Secret that restarts nobody, and those before and after it that do."""

from __future__ import annotations

from aada_operator.core.resources import Object
from aada_operator.core.secret_versions import unnoticed, version_for_pods


def secret(version: str, annotations: dict[str, str] | None = None, **data: str) -> Object:
    return {"metadata": {"resourceVersion": version, "annotations": annotations or {}}, "data": data}


BEFORE = secret("10", jwt="b2xk", other="eA==")
MARK = unnoticed(BEFORE, {"jwt": "bmV3"})


def test_pods_are_started_with_the_version_of_a_secret() -> None:
    assert version_for_pods(BEFORE) == "10"
    assert version_for_pods({"metadata": {"resourceVersion": "11"}}) == "11"
    assert version_for_pods({"metadata": {}}) is None


def test_what_was_to_restart_nobody_does_not_and_whatever_is_changed_after_it_does() -> None:
    assert version_for_pods(secret("11", MARK, jwt="bmV3", other="eA==")) == "10"
    assert version_for_pods(secret("12", MARK | {"seen": "yes"}, jwt="bmV3", other="eA==")) == "10"
    assert version_for_pods(secret("12", MARK, jwt="bmV3", other="eQ==")) == "12"
    assert version_for_pods(secret("12", MARK, jwt="bmV3")) == "12"


def test_two_changes_that_restart_nobody_follow_each_other() -> None:
    first = secret("11", MARK, jwt="bmV3", other="eA==")
    assert version_for_pods(secret("12", unnoticed(first, {"other": "eQ=="}), jwt="bmV3", other="eQ==")) == "10"


def test_the_note_does_not_hold_a_value() -> None:
    assert not any(value in str(MARK) for value in ("b2xk", "bmV3", "eA=="))
