"""Where the objects of one try go, and which of them are there already."""

import itertools
import threading
from dataclasses import dataclass, field

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import CHUNKS, Encrypted, Part, lms_folder
from aada_operator.api.task import BackupTask
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.codec import Recipient, parse_recipients
from aada_operator.worker.progress import Reporter
from aada_operator.worker.reuse import Base, ChunkNames


@dataclass
class Destination:
    """Names and counts of objects; may be used by any thread.

    No object is ever written twice, not even by two workers of the same try (a pod on a lost node may still run), so
    every name has the try's own random letters in it.
    """

    task: BackupTask
    store: ObjectStore
    names: ChunkNames
    base: Base
    run: str
    reporter: Reporter
    _written: dict[str, Part] = field(default_factory=dict, init=False)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count, init=False)
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

    def archive(self, plain: str) -> str:
        """The name of an archive that is called ``plain`` before it is packed, below the folder of the LMS."""
        return f"{self.task.name}/attempt-{self.task.attempt}-{self.run}/{plain}{self._suffix}"

    def chunk(self, content: str) -> str:
        """A new name for a chunk, below the folder of the LMS; two streams may have the same content at once."""
        number = next(self._numbers)
        return f"{CHUNKS}/{self.base.chunks.epoch}/{content[:2]}/{content}-{self.run}-{number}.copy{self._suffix}"

    def known(self, content: str) -> Part | None:
        """The part with a content that need not travel again: of this try, or one of the base, locked for as long."""
        if part := self._written.get(content):
            return part
        part = self.base.parts.get(content)
        return part if part and self.store.extend_lock(self.key(part.key)) else None

    def written(self, part: Part) -> Part:
        """Remember a chunk that is in the bucket now."""
        self._written[str(part.content)] = part
        return part

    @property
    def _suffix(self) -> str:
        return ".zst.age" if self.task.recipients else ".zst"

    def key(self, name: str) -> str:
        """The key in the bucket."""
        return f"{lms_folder(self.task.folder)}/{name}"

    def count(self, read: int) -> None:
        """Count bytes that were read from the database."""
        self.reporter.add(read)
        with self._counting:
            self._reads += 1
            number = self._reads
        failpoint(f"worker.backup.read-{number}")
