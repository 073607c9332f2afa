"""Users' files: what is new in the claim is copied to the bucket, and a backup that was taken before gets a checkpoint.

Nothing is ever deleted in the bucket: what users delete or change stays there as an older version. Files are compared
by time and size with what the bucket lists, which costs no request per file; a sync that makes a checkpoint compares
every file's own time as well, which also finds one that was changed and kept an old time.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from aada_operator.adapters.versioned_store import VersionedStore
from aada_operator.api.task import FILES_UNREADABLE, UPLOADS_FAILED
from aada_operator.api.uploads import CheckpointDocument, SyncResult, SyncTask, checkpoint_key, list_key
from aada_operator.core.bucket_rules import harmful_rules
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.worker.leftovers import abort_stale_uploads
from aada_operator.worker.progress import Reporter
from aada_operator.worker.rclone import Heard, Rclone
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.uploads_list import FileList, take_list

logger = logging.getLogger(__name__)
# Of files that change while they are read, most have settled when they are looked at again.
_RUNS = 3
_BY_LISTING = ("--update", "--use-server-modtime")


def run(task: SyncTask, settings: WorkerSettings) -> SyncResult:
    """Copy once.

    Raises:
        Waiting: not every file is in the bucket; no checkpoint was made.
        Stalled: the endpoint or a key cannot be used.
    """
    with settings.rclone(task.storage, task.folder) as rclone:
        return _Sync(task, settings, settings.uploads_store(task.storage), rclone).run()


@dataclass(frozen=True)
class _Sync:
    task: SyncTask
    settings: WorkerSettings
    store: VersionedStore
    rclone: Rclone

    def run(self) -> SyncResult:
        self._demand_bucket()
        abort_stale_uploads(self.store, self.task.folder)
        heard, files, count = self._copy()
        failpoint("worker.uploads.after-copy")
        # Times of the server's answers are cut to seconds: the next one is after all that was written until now.
        checkpoint = self.store.time() + timedelta(seconds=1)
        rules = self.store.settings()
        listed = take_list(self.store, self.task.folder, versioned=bool(rules.versioned))
        result = SyncResult(
            checkpoint=to_rfc3339(checkpoint),
            files=listed.files,
            bytes=listed.bytes,
            transferred_files=files,
            transferred_bytes=count,
            unsettled=heard.unsettled,
            skipped=heard.skipped,
            versioned=rules.versioned,
            deletes=next(iter(harmful_rules(rules.lifecycle or (), self.task.folder, old_versions=True)), ""),
        )
        self._write_checkpoints(result, listed)
        return result.model_copy(update={"backups": [folder.rpartition("/")[2] for folder in self.task.backups]})

    def _demand_bucket(self) -> None:
        """What is wrong with bucket or key is told in our own words; only an answer with a body says what it is."""
        next(self.store.list(f"{self.task.folder}/"), None)

    def _copy(self) -> tuple[Heard, int, int]:
        """Copy until all files are there, or only such are missing that were changed each time; what travelled."""
        files = count = 0
        for _ in range(_RUNS):
            reporter = Reporter()
            reporter.stage("copy")
            heard = self.rclone.run("copy", *self._comparison(), *self._ends(), reporter=reporter)
            files, count = files + heard.files, count + heard.bytes
            if not heard.code:
                break
        if heard.code and not heard.only_unsettled:
            raise self._failure(heard)
        return heard, files, count

    def _comparison(self) -> tuple[str, ...]:
        return () if self.task.backups else _BY_LISTING

    def _ends(self) -> tuple[str, str]:
        return str(self.settings.claim_dir), self.rclone.remote

    def _failure(self, heard: Heard) -> OperatorError:
        """Why files are missing; the bucket is asked first, because it can say it better."""
        self._demand_bucket()
        if heard.unreadable:
            message = f"{heard.unreadable} files or folders of the claim cannot be read by this Job's user"
            return Waiting(FILES_UNREADABLE, f"{message}: set runAsUser or fsGroup as the application has it")
        if heard.failed:
            return Waiting(UPLOADS_FAILED, f"rclone could not copy {heard.failed} files (exit code {heard.code})")
        return Waiting(UPLOADS_FAILED, f"rclone failed (exit code {heard.code}): bucket, network or memory")

    def _write_checkpoints(self, result: SyncResult, listed: FileList) -> None:
        """Say of each backup that its files are there, and in which version, unless an earlier sync has."""
        if not self.task.backups:
            return
        key = list_key(self.task.folder, listed.sha256)
        self.store.put_if_absent(key, listed.data)
        failpoint("worker.uploads.after-list")
        store = self.settings.store(self.task.backup_storage)
        for folder in self.task.backups:
            document = CheckpointDocument(
                checkpoint=result.checkpoint,
                bucket=self.task.storage.bucket,
                prefix=self.task.folder,
                files=result.files,
                bytes=result.bytes,
                list_key=key,
                list_sha256=listed.sha256,
                versioned=result.versioned,
            )
            if store.get(checkpoint_key(folder)) is None:
                data = document.model_dump_json(by_alias=True, indent=1, exclude_none=True).encode()
                store.put_if_absent(checkpoint_key(folder), data)
            failpoint("worker.uploads.after-checkpoint")
