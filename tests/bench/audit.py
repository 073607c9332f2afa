"""Requests as the API server saw them: its audit log, read as it grows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One request that the API server has answered; for a watch: begun to answer. `received` is Unix time."""

    user: str
    verb: str
    resource: str
    name: str
    received: float
    uri: str = ""

    @property
    def is_write(self) -> bool:
        return self.verb in WRITE_VERBS


class AuditLog:
    """Requests of one user that were logged since the log was opened, or since it was last asked.

    The API server renames a log that has grown large and begins a new one: the old one is read to its end first.
    """

    def __init__(self, path: Path, user: str) -> None:
        self._path = path
        self._user = user
        self._file = path.open(encoding="utf-8")
        self._file.seek(0, 2)
        self._partial = ""

    def close(self) -> None:
        self._file.close()

    def new(self) -> list[Request]:
        """What was logged since the last call."""
        return [request for line in self._lines() if (request := self._parsed(line))]

    def _lines(self) -> Iterator[str]:
        yield from self._rest_of(self._file)
        if self._path.stat().st_ino != Path(f"/proc/self/fd/{self._file.fileno()}").stat().st_ino:
            yield from self._rest_of(self._file)
            self._file.close()
            self._file = self._path.open(encoding="utf-8")
            yield from self._rest_of(self._file)

    def _rest_of(self, file: TextIO) -> Iterator[str]:
        """Whole lines only: the API server may be in the middle of one."""
        *lines, self._partial = (self._partial + file.read()).split("\n")
        yield from lines

    def _parsed(self, line: str) -> Request | None:
        if self._user not in line:
            return None
        event = json.loads(line)
        answered = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
        if event["user"]["username"] != self._user or event["stage"] != answered:
            return None
        target = event.get("objectRef", {})
        received = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        return Request(self._user, event["verb"], target.get("resource", ""), target.get("name", ""), received,
                       event.get("requestURI", ""))  # fmt: skip
