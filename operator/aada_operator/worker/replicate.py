"""A completed backup brought to a second place, where it is the same backup: same names, same bytes, manifest last.

What is there already does not travel. That is what a completed manifest of that place names, which an intent keeps
from being collected, and what an earlier try brought not long ago, which is too young to be collected.
"""

import hashlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import IO

from aada_operator.api.manifest import MANIFEST_NAME, Part, lms_folder, manifest_key
from aada_operator.api.task import CORRUPT, STORAGE_ACCESS_DENIED, TERMINATED, CopyResult, CopyTask
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.claim import demand_owned, mark
from aada_operator.worker.leftovers import abort_stale_uploads, intent
from aada_operator.worker.parallel import GiveUp, run_all, taken
from aada_operator.worker.progress import Reporter
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.stored import StoredBackup, demand_backup, find_backup, locked_until
from aada_operator.worker.streams import HashingSink, Pump

logger = logging.getLogger(__name__)
STREAMS = 2
# Up to this size an object is held in memory and compared before anything of it is written.
_HELD_BYTES = 16 * 2**20
# A collection deletes nothing younger than two days, and the Job of a copy runs for less than one.
_YOUNG = timedelta(hours=24)
_TARGET = "copy"


def run(task: CopyTask, settings: WorkerSettings) -> CopyResult:
    """Copy once; a copy that is complete already costs two listings.

    Raises:
        Stalled: Corrupt, the backup is not what was written; ManifestConflict, another one is in the copy's place;
            PrefixOwnedByAnother, that place is another LMS's.
        Waiting: one of the two places cannot be reached or written; what travelled stays for the next try.
    """
    backup = demand_backup(settings.store(task.source), task.source_folder)
    if backup.sha256 != task.manifest_sha256:
        raise Stalled(CORRUPT, f"the manifest in {task.source_folder} is not the one that was written: not copied")
    backup.refuse_incomplete()
    target = settings.store(task.storage, _TARGET, task.max_rate)
    database = backup.manifest.database
    mark(target, lms_folder(task.folder), task.claim, lambda: database.system_identifier)
    abort_stale_uploads(target, lms_folder(task.folder))
    with intent(target, task.folder, f"{task.name}-copy-{secrets.token_hex(4)}", {"backup": task.name}):
        failpoint("worker.copy.after-intent")
        copy = _Copy(backup, StoredBackup(target, task.folder, backup.manifest, backup.data), Reporter())
        return copy.run(lambda: demand_owned(target, lms_folder(task.folder), task.claim))


@dataclass
class _Copy:
    """``source`` and ``target`` have one manifest in two places."""

    source: StoredBackup
    target: StoredBackup
    reporter: Reporter
    _moved: list[int] = field(default_factory=list)

    def run(self, demand_ours: Callable[[], None]) -> CopyResult:
        """Copy; ``demand_ours`` raises when the place became somebody else's meanwhile."""
        started = time.monotonic()
        self.reporter.stage("list")
        parts, present = self._parts(), self._present()
        missing = (part for part in parts if present.get(self.target.key(part)) != part.size)
        self.reporter.stage("copy", sum(part.size for part in missing))
        left, give_up = deque(parts), GiveUp()
        run_all([partial(self._stream, left, present, give_up)] * STREAMS, give_up)
        self.reporter.stage("finalize")
        demand_ours()
        self._publish()
        logger.info("copied %d of %d objects", len(self._moved), len(parts))
        return CopyResult(
            objects=len(self._moved),
            bytes=sum(self._moved),
            duration_seconds=round(time.monotonic() - started, 3),
            immutable_until=locked_until(self.target.store),
        )

    def _parts(self) -> list[Part]:
        """Every object once, however often the manifest names it."""
        return list({part.key: part for part in self.source.manifest.parts}.values())

    def _present(self) -> dict[str, int]:
        """Keys and sizes of what need not travel."""
        store, folder = self.target.store, lms_folder(self.target.folder)
        now, found = store.time(), list(store.list(f"{folder}/"))
        named = self._named([entry.key for entry in found])
        return {entry.key: entry.size for entry in found if entry.key in named or now - entry.modified < _YOUNG}

    def _named(self, keys: list[str]) -> set[str]:
        """The keys that completed copies name."""
        folders = [key.removesuffix(f"/{MANIFEST_NAME}") for key in keys if key.endswith(f"/{MANIFEST_NAME}")]
        copies = filter(None, (find_backup(self.target.store, folder) for folder in folders))
        return {copy.key(part) for copy in copies for part in copy.manifest.parts}

    def _stream(self, left: "deque[Part]", present: dict[str, int], give_up: GiveUp) -> None:
        for part in taken(left):
            if give_up.called:
                raise Waiting(TERMINATED, "another stream of the copy failed")
            key = self.target.key(part)
            if present.get(key) == part.size and self.target.store.extend_lock(key):
                continue
            self._move(part)
            self._moved.append(part.size)
            failpoint(f"worker.copy.moved-{len(self._moved)}")

    def _move(self, part: Part) -> None:
        """One object, of which nothing is to be seen in the copy before its hash was right."""
        key = self.target.key(part)
        if part.size <= _HELD_BYTES:
            data = self.source.store.read(self.source.key(part))
            self.source.demand_hash(part, hashlib.sha256(data).hexdigest())
            self.target.store.write(key, data)
            self.reporter.add(part.size)
            return
        with Pump(partial(self._download, part)) as stored:
            self.target.store.upload(key, stored)

    def _download(self, part: Part, sink: IO[bytes]) -> None:
        hashing = HashingSink(sink, self.reporter.add)
        self.source.store.download(self.source.key(part), hashing)
        self.source.demand_hash(part, hashing.digest.hexdigest())

    def _publish(self) -> None:
        """From here on it is a backup there, too."""
        failpoint("worker.copy.before-check")
        try:
            self.target.refuse_incomplete()
        except Stalled as gap:
            raise Waiting(gap.reason, f"the copy is not complete yet, tried again: {gap.message}") from None
        failpoint("worker.copy.before-manifest")
        key, store = manifest_key(self.target.folder), self.target.store
        if not store.put_if_absent(key, self.target.data, lock=True) and not store.extend_lock(key):
            raise Waiting(STORAGE_ACCESS_DENIED, f"{key} is there and its lock cannot be extended: tried again")
        failpoint("worker.copy.after-manifest")
