"""One backup: a consistent dump in the bucket, described by a manifest that is written last."""

import logging
import secrets
from contextlib import closing
from functools import partial

from aada_operator import __version__
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import (
    Database,
    Digest,
    Encryption,
    Manifest,
    Sequence,
    Tools,
    fingerprint,
    lms_folder,
    manifest_key,
    overall_digest,
)
from aada_operator.api.task import (
    MANIFEST_CONFLICT,
    SNAPSHOT_FAILED,
    VERSION_UNSUPPORTED,
    BackupResult,
    BackupTask,
)
from aada_operator.core.clock import SystemClock, to_rfc3339
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.core.failpoints import failpoint
from aada_operator.worker import bundle, catalog
from aada_operator.worker.claim import demand_owned, mark
from aada_operator.worker.codec import parse_recipients
from aada_operator.worker.content import SequenceName, SequenceState, read_revision, read_sequences
from aada_operator.worker.destination import Destination
from aada_operator.worker.dump import Dump
from aada_operator.worker.failures import statement_failures
from aada_operator.worker.leftovers import abort_stale_uploads
from aada_operator.worker.progress import Reporter
from aada_operator.worker.reuse import Base, ChunkNames, pinned_base
from aada_operator.worker.settings import WorkerSettings, major_version
from aada_operator.worker.snapshot import Snapshot, hold_snapshot
from aada_operator.worker.stored import StoredBackup, find_backup, locked_until
from aada_operator.worker.tools import version_of

logger = logging.getLogger(__name__)


def run(task: BackupTask, settings: WorkerSettings) -> BackupResult:
    """Back a database up, or adopt what an earlier try of the same Backup completed.

    Raises:
        OperatorError: there is no new backup; what was uploaded is no part of any.
    """
    parse_recipients(task.recipients)
    store = settings.store(task.storage, max_rate=task.max_rate)
    present = find_backup(store, task.folder)
    if present:
        return _adopt(present)
    mark(store, lms_folder(task.folder), task.claim, partial(_system_identifier, task, settings))
    abort_stale_uploads(store, lms_folder(task.folder))
    names, run = ChunkNames(settings.chunk_key(), task), secrets.token_hex(4)
    with pinned_base(store, task, names, run) as base:
        manifest = _Backup(task, settings, store, names, run).make(base)
        demand_owned(store, lms_folder(task.folder), task.claim)
        return _publish(StoredBackup.of(store, task.folder, manifest))


def _system_identifier(task: BackupTask, settings: WorkerSettings) -> str | None:
    """Which server it is, for the marker of the folder."""
    server = settings.server(task.database)
    with (
        statement_failures(server.place(task.database.name), SNAPSHOT_FAILED),
        closing(server.connect(task.database.name)) as connection,
    ):
        return catalog.read_database(connection).system_identifier


class _Backup:
    """One try at one backup."""

    def __init__(
        self, task: BackupTask, settings: WorkerSettings, store: ObjectStore, names: ChunkNames, run: str
    ) -> None:
        self._task = task
        self._store = store
        self._names = names
        self._run = run
        self._server = settings.server(task.database)
        self._mounted = settings.secrets_dir
        self._programs = settings.programs
        self._started_at = SystemClock().now()
        self._reporter = Reporter()

    def make(self, base: Base) -> Manifest:
        """Dump everything that ``base`` does not have yet, and describe it."""
        task = self._task
        destination = Destination(task, self._store, self._names, base, self._run, self._reporter)
        self._reporter.stage("snapshot")
        with (
            statement_failures(self._server.place(task.database.name), SNAPSHOT_FAILED),
            hold_snapshot(self._server, task.database.name, task.lock_timeout_seconds) as snapshot,
        ):
            failpoint("worker.backup.after-snapshot")
            manifest = self._dump(snapshot, base, destination)
            document, summary = bundle.compose(snapshot.connection, task.bundle, self._mounted)
        part = bundle.store(destination, document)
        known = {"parts": [*manifest.parts, part], "new_bytes": manifest.new_bytes + part.size, "bundle": summary}
        return manifest.model_copy(update=known)

    def _dump(self, snapshot: Snapshot, base: Base, destination: Destination) -> Manifest:
        connection = snapshot.connection
        database = catalog.read_database(connection).model_copy(update={"lsn": catalog.read_position(connection)})
        tools = self._tools(database)
        before = read_sequences(connection)
        extents = catalog.read_extents(connection)
        self._reporter.stage("dump", sum(extent.size for extent in extents.values()))
        dumped = Dump(self._server, self._programs, snapshot, extents, destination).run()
        self._reporter.stage("finalize")
        completed_at = SystemClock().now()
        return Manifest(
            backup=self._task.name,
            uid=self._task.uid,
            namespace=self._task.namespace,
            lms=self._task.lms,
            policy=self._task.policy,
            attempt=self._task.attempt,
            tools=tools,
            database=database,
            schema_revision=read_revision(connection, self._task.revision_table),
            revision_table=self._task.revision_table,
            extensions=catalog.read_extensions(connection),
            roles=catalog.read_roles(connection),
            sequences=_sequences(before, read_sequences(connection)),
            tables=dumped.tables,
            digest=Digest(value=overall_digest(dumped.tables)),
            chunks=base.chunks,
            base=base.name or None,
            new_bytes=dumped.new_bytes,
            immutable_until=locked_until(self._store),
            parts=dumped.parts,
            encryption=self._encryption(),
            started_at=to_rfc3339(self._started_at),
            snapshot_at=snapshot.taken_at,
            completed_at=to_rfc3339(completed_at),
            duration_seconds=round((completed_at - self._started_at).total_seconds(), 3),
        )

    def _tools(self, database: Database) -> Tools:
        tools = Tools(operator=__version__, pg_dump=version_of(self._programs / "pg_dump"))
        if major_version(tools.pg_dump) < database.server_major:
            message = f"{tools.pg_dump} cannot dump a server of version {database.server_major}: use a newer image"
            raise Stalled(VERSION_UNSUPPORTED, message)
        return tools

    def _encryption(self) -> Encryption:
        recipients = self._task.recipients
        return Encryption(mode="Age" if recipients else "None", recipients=[fingerprint(one) for one in recipients])


def _sequences(before: dict[SequenceName, SequenceState], after: dict[SequenceName, SequenceState]) -> list[Sequence]:
    return [
        Sequence(
            schema_=schema,
            name=name,
            last_value=state.last_value,
            is_called=state.is_called,
            last_value_after=after[schema, name].last_value,
            is_called_after=after[schema, name].is_called,
        )
        for (schema, name), state in before.items()
        if (schema, name) in after
    ]


def _publish(backup: StoredBackup) -> BackupResult:
    """Make the objects a backup: from here on it exists."""
    failpoint("worker.backup.before-check")
    backup.refuse_incomplete()
    failpoint("worker.backup.before-manifest")
    try:
        backup.store.put_if_absent(manifest_key(backup.folder), backup.data, lock=True)
    except OperatorError as lost:
        winner = find_backup(backup.store, backup.folder) if lost.reason == MANIFEST_CONFLICT else None
        if winner is None:
            raise
        return _adopt(winner)
    failpoint("worker.backup.after-manifest")
    return _result(backup)


def _adopt(backup: StoredBackup) -> BackupResult:
    """Another try, or the same Backup before its object was made anew, had completed it."""
    backup.refuse_incomplete()
    logger.info("adopted the manifest that is there")
    return _result(backup).model_copy(update={"adopted": True})


def _result(backup: StoredBackup) -> BackupResult:
    manifest = backup.manifest
    return BackupResult(
        manifest_sha256=backup.sha256,
        started_at=manifest.started_at,
        completed_at=manifest.completed_at,
        snapshot_at=manifest.snapshot_at,
        duration_seconds=manifest.duration_seconds,
        size_bytes=manifest.database.size_bytes,
        stored_bytes=manifest.stored_bytes,
        new_bytes=manifest.new_bytes,
        immutable_until=manifest.immutable_until,
        base=manifest.base,
        epoch=manifest.chunks.epoch,
        tables=len(manifest.tables),
        rows=manifest.rows,
        digest=manifest.digest.value,
        schema_revision=manifest.schema_revision,
        server_version=str(manifest.database.server_version),
        system_identifier=manifest.database.system_identifier,
        lsn=manifest.database.lsn,
        encrypted=manifest.encryption.mode == "Age",
        bundle=manifest.bundle,
    )
