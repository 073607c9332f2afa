"""A bucket with backups or copies of them, looked at from outside: what is whole, and what belongs to nothing."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.api.manifest import MANIFEST_NAME, lms_folder, manifest_key
from aada_operator.api.task import S3Location
from aada_operator.core.errors import Stalled
from aada_operator.worker.stored import StoredBackup, demand_backup
from tests.service.servers import S3Server
from tests.service.worker_harness import folder_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LMS = lms_folder(folder_of("any"))
# Where versitygw keeps the parts of uploads that are open, below a bucket's folder.
_UPLOADS = ".sgwtmp/multipart"


@dataclass
class Place:
    """``seen`` are the completed backups that were there at some look, with the keys that each needs."""

    s3: S3Server
    bucket: str
    seen: dict[str, set[str]] = field(default_factory=dict)
    torn: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    @property
    def location(self) -> S3Location:
        """For a worker's task."""
        return self.s3.location(self.bucket)

    @cached_property
    def _client(self) -> S3Client:
        return self.s3.client()

    def keys(self) -> set[str]:
        """All keys in the bucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def look(self) -> None:
        """Every manifest that can be seen must be of a whole backup, and what was whole must still be so."""
        keys = self.keys()
        self.lost |= {name for name, needed in self.seen.items() if not needed <= keys}
        for name in {key.split("/")[-2] for key in keys if key.endswith(f"/{MANIFEST_NAME}")} - self.seen.keys():
            backup = self._backup(name)
            self.seen[name] = {manifest_key(folder_of(name)), *map(backup.key, backup.manifest.parts)}
            try:
                backup.refuse_incomplete()
            except Stalled:
                self.torn.add(name)

    def retire(self, name: str) -> None:
        """As retention does: the manifest goes first, which makes it no backup any more."""
        del self.seen[name]
        self.s3.file(self.bucket, manifest_key(folder_of(name))).unlink()

    def strays(self) -> list[str]:
        """The keys that no completed backup names."""
        return sorted(self.keys().difference(*self.seen.values()))

    def open_uploads(self) -> dict[str, str]:
        """Uploads in parts that nobody has completed or aborted: their keys, by their ids."""
        answer = self._client.list_multipart_uploads(Bucket=self.bucket)
        return {upload["UploadId"]: upload["Key"] for upload in answer.get("Uploads", [])}

    def damaged(self) -> list[str]:
        """The objects of completed backups whose bytes are not those that the manifests tell of."""
        wanted: dict[str, str] = {}
        for backup in map(self._backup, self.seen):
            wanted |= {backup.key(part): part.sha256 for part in backup.manifest.parts}
        return [key for key, sha256 in wanted.items() if _sha256(self.s3.file(self.bucket, key)) != sha256]

    def age(self, hours: float) -> None:
        """Everything in the bucket, open uploads too, has been there for so long."""
        moment = time.time() - hours * 3600
        uploads = (self.s3.root / self.bucket / _UPLOADS).glob("*/*")
        for file in (*(self.s3.file(self.bucket, key) for key in self.keys()), *uploads):
            os.utime(file, (moment, moment))

    def _backup(self, name: str) -> StoredBackup:
        keys = AccessKeys(self.s3.access_key, self.s3.secret_key)
        return demand_backup(ObjectStore(self.location, lambda: keys), folder_of(name))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
