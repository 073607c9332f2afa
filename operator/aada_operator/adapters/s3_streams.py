"""What streams in and out of S3: bounded memory, and a hash of what passes through."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from s3transfer.manager import TransferConfig

# Memory of a transfer is about (chunks + 1) x size; 10,000 parts of 6 MiB bound an object to 58 GiB.
_PART_BYTES = 6 * 2**20


def transfer_config(max_rate: int | None = None) -> TransferConfig:
    """How objects travel, at ``max_rate`` bytes a second over all transfers of one manager; None: as fast as can be."""
    return TransferConfig(
        multipart_threshold=_PART_BYTES,
        multipart_chunksize=_PART_BYTES,
        max_request_concurrency=2,
        max_submission_concurrency=1,
        max_in_memory_upload_chunks=2,
        max_in_memory_download_chunks=2,
        max_io_queue_size=16,
        io_chunksize=256 * 2**10,
        max_bandwidth=max_rate,
    )


TRANSFER = transfer_config()


class Reader(Protocol):
    """What an upload reads from; fewer bytes than asked for mean the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    """What a download writes to."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class StoredObject:
    """What an upload stored; ``version`` where the bucket is versioned."""

    size: int
    sha256: str
    version: str | None = None


class HashingReader:
    """Size and SHA-256 of what passes through."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.size = 0
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most ``size`` of them."""
        data = self._reader.read(size)
        self.size += len(data)
        self.digest.update(data)
        return data
