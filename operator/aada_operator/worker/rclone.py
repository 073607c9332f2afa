"""rclone, which copies files to S3: its settings in a file of its own, its words read as they come.

Names of users' files stay inside: neither a log nor an outcome may hold one, so what rclone says is counted.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.task import STORAGE_ACCESS_DENIED, S3Location
from aada_operator.core.errors import Stalled
from aada_operator.worker.progress import Reporter
from aada_operator.worker.tools import Program

_REMOTE = "bucket"
# rclone's own heap is told to be collected early; a listing holds one folder at a time.
_MEMORY = "128MiB"
_OPTIONS = (
    *("--use-json-log", "--log-level", "NOTICE", "--stats", "2s", "--stats-log-level", "NOTICE"),
    *("--retries", "1", "--low-level-retries", "5", "--contimeout", "10s", "--timeout", "60s"),
    *("--transfers", "4", "--checkers", "8", "--buffer-size", "1Mi", "--s3-upload-concurrency", "2"),
    *("--s3-chunk-size", "5Mi", "--s3-no-check-bucket"),
)
# What rclone says of one file, and what that means here.
_SKIPPED = ("Can't follow symlink", "Can't transfer non file")
_UNSETTLED = ("source file is being updated", "no such file or directory", "object not found", "size changed")
_UNREADABLE = ("permission denied",)


@dataclass
class Heard:
    """What rclone said while it ran: of how many files it said what, and its last count of all."""

    code: int = 0
    skipped: int = 0
    unsettled: int = 0
    unreadable: int = 0
    failed: int = 0
    stats: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """Files that travelled."""
        return int(self.stats.get("transfers", 0))

    @property
    def bytes(self) -> int:
        """Bytes that travelled."""
        return int(self.stats.get("bytes", 0))

    @property
    def only_unsettled(self) -> bool:
        """Whether nothing is wrong but files that were changed or removed while they were read."""
        return bool(self.code and self.unsettled and not self.unreadable and not self.failed)


class Rclone:
    """A folder of a bucket as rclone's remote; leaving its context removes its settings."""

    def __init__(self, location: S3Location, keys: AccessKeys, ca_file: Path | None, folder: str) -> None:
        self._location = location
        self._keys = keys
        self._ca_file = ca_file
        self.remote = f"{_REMOTE}:{location.bucket}/{folder}"

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory(prefix="rclone-")
        self._config = Path(self._home.name) / "rclone.conf"
        with os.fdopen(os.open(self._config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(_settings(self._location, self._keys))
        return self

    def __exit__(self, *_: object) -> None:
        self._home.cleanup()

    def run(self, *words: str, reporter: Reporter | None = None) -> Heard:
        """Run one command to its end; what went wrong is told, not raised."""
        heard, before = Heard(), 0
        with Program(self._argv(*words), self._environment(), stderr=subprocess.PIPE) as program:
            for line in program.stderr:
                hear(heard, line)
                if reporter and heard.bytes > before:
                    reporter.add(heard.bytes - before)
                    before = heard.bytes
            heard.code = program.wait()
        return heard

    def _argv(self, *words: str) -> Sequence[str]:
        ca = ("--ca-cert", str(self._ca_file)) if self._ca_file else ()
        return ["rclone", "--config", str(self._config), *_OPTIONS, *ca, *words]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": self._home.name, "GOMEMLIMIT": _MEMORY}


def hear(heard: Heard, line: bytes) -> None:
    """Count one line of rclone's log."""
    try:
        said = json.loads(line)
    except ValueError:
        return
    if not isinstance(said, dict):
        return
    if isinstance(said.get("stats"), dict):
        heard.stats = said["stats"]
    message = str(said.get("msg", ""))
    if "object" not in said:
        return
    if any(words in message for words in _SKIPPED):
        heard.skipped += 1
    elif said.get("level") == "error":
        _count_error(heard, message)


def _count_error(heard: Heard, message: str) -> None:
    if any(words in message for words in _UNSETTLED):
        heard.unsettled += 1
    elif any(words in message for words in _UNREADABLE):
        heard.unreadable += 1
    else:
        heard.failed += 1


def _settings(location: S3Location, keys: AccessKeys) -> str:
    """The remote as rclone's settings.

    Raises:
        Stalled: StorageAccessDenied, a key holds what a line of settings cannot.
    """
    for key in keys:
        if not key.isprintable() or " " in key or key[:1] in ('"', "`", "'"):
            raise Stalled(STORAGE_ACCESS_DENIED, "the credentials hold a blank or a quote: correct the Secret")
    lines = [
        f"[{_REMOTE}]",
        "type = s3",
        f"access_key_id = {keys.access_key}",
        f"secret_access_key = {keys.secret_key}",
    ]
    lines += [f"region = {location.region}", f"provider = {'Other' if location.endpoint else 'AWS'}"]
    lines += [f"endpoint = {location.endpoint}", "force_path_style = true"] if location.endpoint else []
    return "\n".join(lines) + "\n"
