"""What belongs to no backup any more goes: parts of deleted backups, and what killed tries left.

A chunk may be shared, and a backup may begin to share it at this very moment. So whatever is named by any manifest
stays; while an intent says that a backup is being built upon another, nothing goes; and a backup that was completed
in between is found, because the manifests are listed again after the intents (a backup writes its manifest before it
takes its intent back). What is young may be of a backup that has no manifest yet. Ages are told by the bucket's clock.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_bucket import ObjectInfo
from aada_operator.api.manifest import CHUNKS, INTENTS, MANIFEST_NAME
from aada_operator.api.task import CollectResult, CollectTask
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.claim import demand_owned
from aada_operator.worker.leftovers import abort_stale_uploads
from aada_operator.worker.progress import Reporter
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.stored import find_backup

logger = logging.getLogger(__name__)
# Only what a worker writes is ever touched: people may keep other things in a bucket.
_OURS = re.compile(rf"(?:{CHUNKS}/[^/]+/[0-9a-f]{{2}}/[^/]+|{INTENTS}/[^/]+\.json|[^/]+/attempt-[^/]+/[^/]+)")


def run(task: CollectTask, settings: WorkerSettings) -> CollectResult:
    """Collect once.

    Raises:
        Waiting: the storage cannot be read or written.
        Stalled: PrefixOwnedByAnother, the folder is another LMS's; VersionUnsupported, a manifest is not understood, so
            nobody knows what it needs.
    """
    return _Collection(settings.store(task.storage), task, Reporter()).run()


@dataclass(frozen=True)
class _Collection:
    store: ObjectStore
    task: CollectTask
    reporter: Reporter

    def run(self) -> CollectResult:
        self.reporter.stage("list")
        demand_owned(self.store, self.task.folder, self.task.claim)
        abort_stale_uploads(self.store, self.task.folder)
        now = self.store.time()
        ours = [found for found in self._list() if _OURS.fullmatch(self._relative(found.key))]
        needed = self._needed(known := self._manifests())
        failpoint("worker.collect.before-intents")
        if live := [found for found in self._list(f"{INTENTS}/") if not self._is_old(found, now)]:
            return CollectResult(postponed=f"a backup is being built upon another ({len(live)} at work)")
        failpoint("worker.collect.after-intents")
        needed |= self._needed(self._manifests() - known)
        demand_owned(self.store, self.task.folder, self.task.claim)
        return self._delete([found for found in ours if found.key not in needed], now)

    def _delete(self, orphans: list[ObjectInfo], now: datetime) -> CollectResult:
        self.reporter.stage("delete", sum(found.size for found in orphans))
        deleted: list[int] = []
        left: list[int] = []
        for found in orphans:
            gone = self._is_old(found, now) and self.store.delete(found.key)
            (deleted if gone else left).append(found.size)
            failpoint("worker.collect.after-delete")
            self.reporter.add(found.size)
        logger.info("deleted %d objects of no backup", len(deleted))
        return CollectResult(
            deleted_objects=len(deleted), deleted_bytes=sum(deleted), orphan_objects=len(left), orphan_bytes=sum(left)
        )

    def _list(self, below: str = "") -> Iterator[ObjectInfo]:
        return self.store.list(f"{self.task.folder}/{below}")

    def _relative(self, key: str) -> str:
        return key.removeprefix(f"{self.task.folder}/")

    def _manifests(self) -> set[str]:
        """The folders that hold a completed backup."""
        found = (self._relative(found.key).split("/") for found in self._list())
        return {path[0] for path in found if len(path) == 2 and path[1] == MANIFEST_NAME}

    def _needed(self, backups: set[str]) -> set[str]:
        """The keys of all parts of these backups."""
        manifests = (find_backup(self.store, f"{self.task.folder}/{name}") for name in sorted(backups))
        return {backup.key(part) for backup in manifests if backup for part in backup.manifest.parts}

    def _is_old(self, found: ObjectInfo, now: datetime) -> bool:
        return now - found.modified > timedelta(seconds=self.task.min_age_seconds)
