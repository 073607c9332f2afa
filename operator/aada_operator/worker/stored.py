"""A backup as it lies in the bucket: its manifest, and whether all of its parts are there."""

import hashlib
from dataclasses import dataclass
from typing import Self

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.manifest import CHUNKS, Manifest, Part, lms_folder, manifest_key, parse_manifest
from aada_operator.api.task import CORRUPT, VERSION_UNSUPPORTED
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled


@dataclass(frozen=True)
class StoredBackup:
    """A manifest, the bytes it was read from or will be written as, and the folder that it describes."""

    store: ObjectStore
    folder: str
    manifest: Manifest
    data: bytes

    @classmethod
    def of(cls, store: ObjectStore, folder: str, manifest: Manifest) -> Self:
        """A backup whose manifest is not written yet."""
        return cls(store, folder, manifest, manifest.model_dump_json(by_alias=True, indent=1).encode())

    @property
    def sha256(self) -> str:
        """Of the manifest's own bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def key(self, part: Part) -> str:
        """Key of a part in the bucket."""
        return f"{lms_folder(self.folder)}/{part.key}"

    def refuse_incomplete(self) -> None:
        """Compare every part with what the bucket lists.

        Raises:
            Stalled: Corrupt, a part is missing or has another size.
        """
        places = (f"{self.folder}/", f"{lms_folder(self.folder)}/{CHUNKS}/{self.manifest.chunks.epoch}/")
        sizes = {found.key: found.size for place in places for found in self.store.list(place)}
        for part in self.manifest.parts:
            size = sizes.get(self.key(part))
            if size is None:
                raise Stalled(CORRUPT, f"part {part.key} is missing from the bucket; use another backup")
            if size != part.size:
                raise Stalled(CORRUPT, f"part {part.key} has {size} bytes instead of {part.size}; use another backup")

    def demand_hash(self, part: Part, found: str) -> None:
        """Refuse a part whose SHA-256 is not that of the manifest.

        Raises:
            Stalled: Corrupt.
        """
        if found != part.sha256:
            raise Stalled(CORRUPT, f"part {part.key} is not what was written: its hash differs; use another backup")


def find_backup(store: ObjectStore, folder: str) -> StoredBackup | None:
    """The backup in a folder; None when there is no manifest.

    Raises:
        Stalled: VersionUnsupported, the manifest is of another format.
    """
    data = store.get(manifest_key(folder))
    if data is None:
        return None
    try:
        manifest = parse_manifest(data)
    except ValueError:
        raise Stalled(VERSION_UNSUPPORTED, f"{manifest_key(folder)} is of a format that is not known here") from None
    return StoredBackup(store, folder, manifest, data)


def demand_backup(store: ObjectStore, folder: str) -> StoredBackup:
    """As `find_backup`, but its absence is an error.

    Raises:
        Stalled: Corrupt, there is no manifest; VersionUnsupported.
    """
    backup = find_backup(store, folder)
    if backup is None:
        raise Stalled(CORRUPT, f"{manifest_key(folder)} is missing: without it there is no backup")
    return backup


def locked_until(store: ObjectStore) -> str | None:
    """Until when what is written to a bucket is locked, as a timestamp; None: it is not."""
    return to_rfc3339(store.locked_until) if store.locked_until else None
