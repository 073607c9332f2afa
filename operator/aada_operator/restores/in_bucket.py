"""Backups that are found in their bucket, whether or not the cluster knows of them."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.storage import StoredManifest, fetch_checkpoint, fetch_manifest, in_thread, open_store
from aada_operator.api.backup import BackupStatus, FilesCheckpoint, Tables
from aada_operator.api.location import Location
from aada_operator.api.restore_places import StoredSource
from aada_operator.core.clock import from_rfc3339, human_bytes, to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.restores.decide import Candidate


async def find(
    kube: Kube, namespace: str, source: StoredSource, name: str | None, allow_local: bool
) -> tuple[Location, Candidate]:
    """The backup of this name, else the one that the source names, else the newest.

    Raises:
        Waiting: BackupNotFound; SecretMissing; the storage cannot be read.
        Stalled: Corrupt.
    """
    place = source.location_of(namespace, "")
    store = await open_store(kube, namespace, place, allow_local)
    name = name or source.backup
    found = await _newest(store, source, namespace) if name is None else await _named(store, source, namespace, name)
    if found is None:
        wanted = f"backup {name}" if name else "backup"
        raise Waiting("BackupNotFound", f"{place.bucket}/{place.prefix} holds no completed {wanted}", 30.0)
    location, stored = found
    return location, candidate(location, stored, await fetch_checkpoint(store, location))


async def _named(
    store: ObjectStore, source: StoredSource, namespace: str, name: str
) -> tuple[Location, StoredManifest] | None:
    location = source.location_of(namespace, name)
    found = await fetch_manifest(store, location)
    return (location, found) if found else None


async def _newest(store: ObjectStore, source: StoredSource, namespace: str) -> tuple[Location, StoredManifest] | None:
    """The backup with the newest content; what cannot be read here is none."""
    prefix = source.location_of(namespace, "").prefix
    names = await in_thread(lambda: sorted(store.folders(f"{prefix}/")))
    newest: tuple[Location, StoredManifest] | None = None
    for name in (name for name in names if not name.startswith("_")):
        try:
            found = await _named(store, source, namespace, name)
        except Stalled:
            continue
        if found and (newest is None or found[1].manifest.snapshot_at > newest[1].manifest.snapshot_at):
            newest = found
    return newest


def candidate(location: Location, stored: StoredManifest, checkpoint: FilesCheckpoint | None) -> Candidate:
    """A backup in a bucket, as the Backup of it would tell; ``checkpoint`` is that of users' files."""
    manifest = stored.manifest
    status = BackupStatus(
        lms=manifest.lms,
        phase="Completed",
        location=location,
        completion_time=manifest.completed_at,
        size=human_bytes(manifest.stored_bytes),
        manifest_sha256=stored.sha256,
        encryption=manifest.encryption.mode,
        schema_revision=manifest.schema_revision or "",
        tables=Tables(count=len(manifest.tables), rows=manifest.rows, digest=manifest.digest.value),
        recoverable_from=to_rfc3339(from_rfc3339(manifest.snapshot_at)),
        uploads=checkpoint,
    )
    return Candidate(manifest.backup, manifest.policy or "", status, "Unknown")
