"""Which chunks of an earlier backup need not travel again.

Only what a *completed* manifest names is reused, and it is pinned before: an intent says whose chunks this try may
come to need, and the base's manifest is read only after the intent is there. Whoever deletes chunks removes the
manifest first and looks for intents then, so one of the two always sees the other.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import ChunkStore, Part, lms_folder
from aada_operator.api.task import BackupTask
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.leftovers import intent
from aada_operator.worker.stored import find_backup

logger = logging.getLogger(__name__)
_NAME_BYTES = 20


class ChunkNames:
    """Names of contents: a keyed hash, so that nobody without the key can tell whether a bucket holds a known text.

    The way that a content is packed belongs to its name: other recipients must be able to read another object.
    """

    def __init__(self, key: bytes, task: BackupTask) -> None:
        packing = json.dumps([sorted(task.recipients), task.compression_level]).encode()
        self._key = hmac.digest(key, packing, "sha256")

    @property
    def fingerprint(self) -> str:
        """Tells names of different keys and packings apart."""
        return hashlib.sha256(b"fingerprint" + self._key).hexdigest()[:16]

    def name(self, content: "bytes | memoryview") -> str:
        """The name of a content."""
        return hmac.digest(self._key, content, "sha256")[:_NAME_BYTES].hex()


@dataclass(frozen=True)
class Base:
    """A backup whose chunks may be named again; ``name`` is empty when there is none."""

    chunks: ChunkStore
    name: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)


@contextmanager
def pinned_base(store: ObjectStore, task: BackupTask, names: ChunkNames, run: str) -> Iterator[Base]:
    """The base that the task names while it is pinned, or a new epoch where it cannot serve.

    Raises:
        OperatorError: the bucket cannot be read or written.
    """
    fresh = Base(ChunkStore(epoch=f"{task.name}-{run}", names=names.fingerprint))
    if task.base is None:
        yield fresh
        return
    document = {"backup": task.name, "uid": task.uid, "base": task.base}
    with intent(store, task.folder, f"{task.name}-{task.attempt}-{run}", document):
        failpoint("worker.backup.after-intent")
        yield _read(store, task, names) or fresh


def _read(store: ObjectStore, task: BackupTask, names: ChunkNames) -> Base | None:
    base = find_backup(store, f"{lms_folder(task.folder)}/{task.base}")
    if base is None:
        logger.warning("%s is no base: it has no manifest; everything travels", task.base)
        return None
    if base.manifest.chunks.names != names.fingerprint:
        logger.warning("%s is no base: other keys or another compression; everything travels", task.base)
        return None
    parts = {part.content: part for part in base.manifest.parts if part.content}
    return Base(base.manifest.chunks, base.manifest.backup, parts)
