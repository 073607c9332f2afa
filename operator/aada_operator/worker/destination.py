"""Where the objects of one try go."""

import threading
from dataclasses import dataclass, field

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import Encrypted
from aada_operator.api.task import BackupTask
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import Recipient, parse_recipients
from aada_operator.worker.progress import Reporter


@dataclass
class Destination:
    """Names and counts for objects below ``prefix`` in the task's folder; may be used by any thread."""

    task: BackupTask
    store: ObjectStore
    prefix: str
    reporter: Reporter
    _reads: int = field(default=0, init=False)
    _counting: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def recipients(self) -> "list[Recipient]":
        """Who will be able to read the objects; nobody in particular when it is empty."""
        return parse_recipients(self.task.recipients)

    @property
    def encryption(self) -> Encrypted:
        """How the objects are encrypted."""
        return "age" if self.task.recipients else "none"

    def name(self, plain: str) -> str:
        """A key below the task's folder, for compressed and perhaps encrypted data that is called ``plain``."""
        return f"{self.prefix}{plain}.zst{'.age' if self.task.recipients else ''}"

    def key(self, name: str) -> str:
        """The key in the bucket."""
        return f"{self.task.folder}/{name}"

    def count(self, read: int) -> None:
        """Count bytes that were read from the database."""
        self.reporter.add(read)
        with self._counting:
            self._reads += 1
            number = self._reads
        failpoint(f"worker.backup.read-{number}")
