"""A bucket that keeps versions: which is the latest of each object, and how a certain one is fetched."""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.s3_errors import code_of
from aada_operator.api.task import CORRUPT, STORAGE_UNREACHABLE
from aada_operator.core.errors import Stalled, Waiting

_TRIES = 5
_PAUSE = 1.0
_BLOCK = 2**20
# Where rclone keeps a file's own time, in seconds.
_TIME = "mtime"
_MD5 = re.compile("[0-9a-f]{32}")
_GONE = {"NoSuchKey", "NoSuchVersion", "404"}


@dataclass(frozen=True)
class FileVersion:
    """One version of an object; ``tag`` is the MD5 of what was uploaded in one part, ``version`` empty without one."""

    key: str
    version: str
    size: int
    tag: str


class VersionedStore(ObjectStore):
    """Objects of one bucket with their versions; raises as `ObjectStore`."""

    def latest(self, prefix: str, *, versioned: bool) -> Iterator[FileVersion]:
        """The objects whose keys begin with ``prefix``, with their present versions where the bucket keeps any."""
        listing, entries = ("list_object_versions", "Versions") if versioned else ("list_objects_v2", "Contents")
        with self._translated():
            for page in self._client.get_paginator(listing).paginate(Bucket=self._location.bucket, Prefix=prefix):  # type: ignore[call-overload]
                for entry in page.get(entries, []):
                    if entry.get("IsLatest", True):
                        tag = str(entry.get("ETag", "")).strip('"')
                        yield FileVersion(entry["Key"], entry.get("VersionId", ""), entry["Size"], tag)

    def has(self, found: FileVersion) -> bool:
        """Whether that very version is there."""
        with self._translated():
            try:
                self._client.head_object(**self._named(found))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (400, 404, 405):
                    raise
                return False
        return True

    def fetch(self, found: FileVersion, target: Path) -> None:
        """Write that version to a file, whole or not at all, with the time that the file had.

        Raises:
            Stalled: Corrupt, the version is gone or is not what was uploaded.
            OSError: the file cannot be written.
        """
        part = target.with_name(f".aada-{secrets.token_hex(8)}.part")
        try:
            self._write_part(found, part)
            part.replace(target)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()

    def _write_part(self, found: FileVersion, part: Path) -> None:
        """As often as the connection breaks in mid-stream, where the library cannot ask again by itself."""
        for left in reversed(range(_TRIES)):
            try:
                return self._write_once(found, part)
            except Waiting as trouble:
                if not left or trouble.reason != STORAGE_UNREACHABLE:
                    raise
                time.sleep(_PAUSE)
        return None

    def _write_once(self, found: FileVersion, part: Path) -> None:
        digest, size = md5(usedforsecurity=False), 0
        with self._translated(), part.open("wb") as file:
            answer = self._get(found)
            with closing(answer["Body"]) as body:
                for block in body.iter_chunks(_BLOCK):
                    digest.update(block)
                    size += file.write(block)
        if size != found.size or (is_md5(found.tag) and digest.hexdigest() != found.tag):
            raise Stalled(CORRUPT, "a file in the bucket is not what was uploaded: its size or hash differs")
        _set_time(part, answer.get("Metadata", {}).get(_TIME))

    def _get(self, found: FileVersion) -> Any:
        try:
            return self._client.get_object(**self._named(found))
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise
            raise Stalled(CORRUPT, "a file is gone from the bucket: its version was deleted") from None

    def _named(self, found: FileVersion) -> Any:
        version = {"VersionId": found.version} if found.version else {}
        return {"Bucket": self._location.bucket, "Key": found.key} | version


def is_md5(tag: str) -> bool:
    """Whether an ETag is the MD5 of the content: that of a multipart upload has a dash."""
    return _MD5.fullmatch(tag) is not None


def _set_time(file: Path, seconds: str | None) -> None:
    with suppress(ValueError, TypeError):
        moment = float(seconds or "")
        os.utime(file, (moment, moment))
