"""The list of a checkpoint: each of users' files with the version that it had; one line of JSON per file.

Versions, and not a time, because a server's times cannot be relied upon: some stamp an older version with the moment at
which it was replaced.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from aada_operator.adapters.versioned_store import FileVersion, VersionedStore
from aada_operator.api.task import CORRUPT
from aada_operator.core.errors import Stalled

_LEVEL = 9


@dataclass(frozen=True)
class FileList:
    """A list as it is stored: compressed, with its hash, and what it counts."""

    data: bytes
    sha256: str
    files: int
    bytes: int


class Listed(Protocol):
    """What names a list, and the folder that it is of."""

    @property
    def folder(self) -> str: ...

    @property
    def list_key(self) -> str: ...

    @property
    def list_sha256(self) -> str: ...


def take_list(store: VersionedStore, folder: str, *, versioned: bool) -> FileList:
    """What the bucket has now below ``folder``; the same content makes the same list."""
    sink, files, count = io.BytesIO(), 0, 0
    with zstandard.ZstdCompressor(_LEVEL).stream_writer(sink, closefd=False) as lines:
        for found in store.latest(f"{folder}/", versioned=versioned):
            path = found.key.removeprefix(f"{folder}/")
            lines.write(f"{json.dumps([path, found.version, found.size, found.tag])}\n".encode())
            files, count = files + 1, count + found.size
    data = sink.getvalue()
    return FileList(data, hashlib.sha256(data).hexdigest(), files, count)


def read_list(store: VersionedStore, listed: Listed) -> Iterator[tuple[str, FileVersion]]:
    """The files of a list, each with its path below the folder.

    Raises:
        Stalled: Corrupt, the list is gone or is not what was written.
    """
    data = store.get(listed.list_key)
    if data is None or hashlib.sha256(data).hexdigest() != listed.list_sha256:
        message = f"{listed.list_key}, the list of users' files, is gone or is not what was written"
        raise Stalled(CORRUPT, f"{message}: take the uploads of another backup")
    with zstandard.ZstdDecompressor().stream_reader(data) as plain:
        for line in io.TextIOWrapper(plain, encoding="utf-8", newline="\n"):
            path, version, size, tag = json.loads(line)
            yield path, FileVersion(f"{listed.folder}/{path}", version, size, tag)
