"""How far a Job is: one log line per stage and at most one every two seconds, which the operator shows in status."""

import logging
import threading
import time

from aada_operator.api.backup import Progress

_EVERY_SECONDS = 2.0
logger = logging.getLogger(__name__)


class Reporter:
    """Counts bytes and tables of the stage at hand; its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress = Progress()
        self._said = 0.0

    def stage(self, name: str, total_bytes: int = 0) -> None:
        """Begin a stage, whose bytes are about ``total_bytes`` (0: unknown)."""
        with self._lock:
            self._progress = Progress(stage=name, total_bytes=total_bytes)
            self._say()

    def add(self, count: int = 0, *, tables: int = 0) -> None:
        """Count bytes or tables that were dealt with."""
        with self._lock:
            before = self._progress
            self._progress = before.model_copy(update={"bytes": before.bytes + count, "tables": before.tables + tables})
            if time.monotonic() - self._said >= _EVERY_SECONDS:
                self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        logger.info(self._progress.stage, extra={"progress": self._progress.model_dump(by_alias=True)})
