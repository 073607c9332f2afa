"""A backup into an empty database: objects -> age -> zstd -> pg_restore, every byte hashed on the way."""

import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from psycopg import conninfo

from aada_operator.api.task import CORRUPT, RESTORE_FAILED, WRONG_KEY
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import parse_identities, unpack
from aada_operator.worker.progress import Reporter
from aada_operator.worker.server import Server
from aada_operator.worker.stored import StoredBackup
from aada_operator.worker.streams import Pump
from aada_operator.worker.tools import Tool

# Damaged objects make each later stage fail in a way of its own, so the hashes have the first word.
_MAYBE_DAMAGE = {CORRUPT, WRONG_KEY, RESTORE_FAILED}


@dataclass(frozen=True)
class Load:
    """The content of a backup into the database ``name`` of a server."""

    backup: StoredBackup
    identity: str | None
    server: Server
    server_version: int
    name: str
    programs: Path
    reporter: Reporter

    def run(self) -> None:
        """Load everything, and believe it only when the hash of every part was right.

        Raises:
            Stalled: Corrupt, WrongKey, RestoreFailed, InsufficientPrivilege or VersionUnsupported.
            Waiting: the storage or the server went away.
        """
        encrypted = self.backup.manifest.encryption.mode == "Age"
        identities = parse_identities(self.identity) if encrypted else []
        place = self.server.place(self.name)
        with (
            self.server.tool_environment(self.server_version) as environment,
            Tool(self._arguments(), environment, place, RESTORE_FAILED, stdin=subprocess.PIPE) as pg_restore,
            Pump(self._download) as stored,
            # Not in this thread: the decrypting library would take a signal's exception for damaged data.
            ThreadPoolExecutor(1, thread_name_prefix="unpack") as executor,
        ):
            try:
                executor.submit(_feed, stored, pg_restore, identities).result()
            except OperatorError as error:
                if error.reason in _MAYBE_DAMAGE:
                    stored.drain()
                raise
            stored.drain()

    def _arguments(self) -> list[str]:
        return [
            str(self.programs / "pg_restore"),
            "--exit-on-error",
            "--no-password",
            "--no-tablespaces",
            "--no-subscriptions",
            f"--dbname={conninfo.make_conninfo(dbname=self.name)}",
        ]

    def _download(self, sink: IO[bytes]) -> None:
        for number, part in enumerate(self.backup.manifest.parts, 1):
            hashing = _Hashing(sink, self.reporter)
            self.backup.store.download(self.backup.key(part), hashing)
            if hashing.digest.hexdigest() != part.sha256:
                raise Stalled(CORRUPT, f"part {part.key} is not what was written: its hash differs; use another backup")
            failpoint(f"worker.load.part-{number}")


def _feed(stored: Pump, pg_restore: Tool, identities: list[Any]) -> None:
    # When pg_restore has ended early, its exit code tells more than the broken pipe.
    with suppress(BrokenPipeError):
        unpack(stored, pg_restore.stdin, identities)
        pg_restore.stdin.close()
    pg_restore.finish()


class _Hashing:
    """A sink that hashes what it passes on."""

    def __init__(self, sink: IO[bytes], reporter: Reporter) -> None:
        self._sink = sink
        self._reporter = reporter
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._sink.write(data)
        self._reporter.add(len(data))
