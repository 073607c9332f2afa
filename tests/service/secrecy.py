"""No secret is told: every value that a Secret ever held in a test, searched for wherever the operator speaks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.service.lms_world import LmsWorld

# What a Secret holds under these keys says where something is, and everybody may know it.
PLACES = frozenset({"host", "port", "name", "username"})
# A shorter value is a word that is found anywhere.
SHORTEST = 8


def forms(secret: str) -> set[str]:
    """A secret as it may be written: plain, in base64, as a JSON string, in a URL."""
    return {secret, base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1], quote(secret, safe="")}


def secret_values(secret: str, values: dict[str, str]) -> dict[str, str]:
    """What nobody may say of a Secret's content, with the name by which a test may speak of it."""
    kept = {key: value for key, value in values.items() if key not in PLACES and len(value) >= SHORTEST}
    return {value: f"{key} of {secret}" for key, value in kept.items()}


def found(secrets: dict[str, str], places: Iterable[tuple[str, str]]) -> list[str]:
    """Which of the secrets stands in which place, by their names."""
    return [
        f"{name} in {place}"
        for place, text in places
        for value, name in secrets.items()
        if any(form in text for form in forms(value))
    ]


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every record with all that was given to it, also what the format of the test leaves out.

    Raises AssertionError when the level hid some of them.
    """
    assert caplog.handler.level <= 10, "set the level to DEBUG before the first record"
    return "\n".join([caplog.text, *(f"{record.getMessage()} {vars(record)}" for record in caplog.records)])


def leaks(world: LmsWorld, log: str) -> list[str]:
    """Where a secret of this test was told; ``log`` is the operator's."""
    told = found(world.server.held, [*_said(world), ("the operator's log", log)])
    # What a test chose itself, it has told the server itself.
    return told + found(world.server.made, [("the server's log", world.postgres.log.read_text())])


def _said(world: LmsWorld) -> Iterator[tuple[str, str]]:
    """Objects as they are now, each status that there ever was, Events, and what was written."""
    for (plural, name), body in world.server.objects_but_secrets():
        yield f"{plural}/{name}", json.dumps(body)
    yield "an Event", "\n".join(world.server.events)
    yield "a status", "\n".join(world.server.statuses)
    yield "a request", "\n".join(world.server.writes)
