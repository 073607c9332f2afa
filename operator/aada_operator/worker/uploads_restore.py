"""The files of a checkpoint, brought into a claim; nothing that is there is deleted, and replaced only if told so."""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from aada_operator.adapters.versioned_store import FileVersion, VersionedStore, is_md5
from aada_operator.api.task import CORRUPT, FILES_UNREADABLE, NO_SPACE, UPLOADS_FAILED
from aada_operator.api.uploads import RestoreFilesResult, RestoreFilesTask
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.progress import Reporter
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.uploads_list import read_list

_THREADS, _BATCH = 4, 64
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What became of a file.
_COPIED, _SAME, _KEPT, _LOST = "copied", "same", "kept", "lost"


def run(task: RestoreFilesTask, settings: WorkerSettings) -> RestoreFilesResult:
    """Copy what is missing (or differs, if told so); each file is compared with what was uploaded.

    Raises:
        Waiting: bucket or room is missing.
        Stalled: Corrupt, the bucket has not every file of the checkpoint any more; what it has is in the claim.
    """
    restore = _Restore(task, settings.uploads_store(task.storage), settings.claim_dir, Reporter())
    restore.reporter.stage("copy")
    counted, size = restore.all(read_list(restore.store, task))
    if counted[_LOST]:
        message = f"{counted[_LOST]} of {counted.total()} files are not in the bucket any more as they were"
        raise Stalled(CORRUPT, f"{message}; the others are in the claim")
    return RestoreFilesResult(files=counted.total(), bytes=size, copied=counted[_COPIED], kept=counted[_KEPT])


@dataclass(frozen=True)
class _Restore:
    task: RestoreFilesTask
    store: VersionedStore
    claim: Path
    reporter: Reporter

    def all(self, files: Iterator[tuple[str, FileVersion]]) -> tuple[Counter[str], int]:
        """Bring all files back; what became of how many, and their bytes."""
        counted: Counter[str] = Counter()
        size = 0
        with ThreadPoolExecutor(_THREADS) as pool:
            while batch := list(islice(files, _BATCH)):
                counted.update(pool.map(self._one, batch))
                size += sum(found.size for _, found in batch)
                failpoint("worker.uploads-restore.after-batch")
        return counted, size

    def _one(self, named: tuple[str, FileVersion]) -> str:
        path, found = named
        target = self._target(path)
        try:
            if target.is_symlink() or target.exists():
                if _is_same(target, found):
                    return _SAME
                if not self.task.overwrite:
                    return _KEPT
            target.parent.mkdir(parents=True, exist_ok=True)
            self.store.fetch(found, target)
        except Stalled as gone:
            if gone.reason != CORRUPT:
                raise
            return _LOST
        except OSError as error:
            raise _refusal(error) from None
        self.reporter.add(found.size)
        return _COPIED

    def _target(self, path: str) -> Path:
        """Where a file goes, below the claim and nowhere else.

        Raises:
            Stalled: Refused, the path leads out of the claim, by itself or by a link that is there.
        """
        parts = PurePosixPath(path).parts
        target = self.claim.joinpath(*parts)
        outside = not parts or path.startswith("/") or ".." in parts
        if outside or not target.parent.resolve().is_relative_to(self.claim.resolve()):
            raise Stalled(UPLOADS_FAILED, "a file of the checkpoint has a path that leads out of the claim")
        return target


def _is_same(target: Path, found: FileVersion) -> bool:
    """Whether the file that is there is the one of the checkpoint; told by its content where the bucket knows it."""
    if target.is_symlink() or not target.is_file() or target.stat().st_size != found.size:
        return False
    if not is_md5(found.tag):
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest() == found.tag


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)


def _refusal(error: OSError) -> Waiting:
    if error.errno in _FULL:
        return Waiting(NO_SPACE, "the claim has no space left: make it larger")
    if isinstance(error, PermissionError):
        message = "the claim cannot be written by this Job's user"
        return Waiting(FILES_UNREADABLE, f"{message}: set runAsUser or fsGroup as the application has it")
    return Waiting(UPLOADS_FAILED, f"a file cannot be written into the claim ({os.strerror(error.errno or 0)})")
