"""The only door to S3: objects that are written once, streamed with bounded memory, and errors in our own words.

Calls block; the operator makes them in a thread. Credentials are asked for at every request, so that a rotated Secret
takes effect without a restart, and a denied request is signed once more with what the files say then.
"""

import hashlib
import io
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from s3transfer.manager import TransferManager

from aada_operator.adapters import s3_bucket
from aada_operator.adapters.s3_bucket import BucketSettings, Capabilities, ObjectInfo
from aada_operator.adapters.s3_client import KeySource, make_client
from aada_operator.adapters.s3_errors import BROKEN_OFF, DENIED, EXISTS, MISSING_KEY, NO_CONDITIONS, code_of, translate
from aada_operator.adapters.s3_locks import Locks
from aada_operator.adapters.s3_streams import (
    TRANSFER,
    HashingReader,
    Reader,
    StoredObject,
    Writer,
    transfer_config,
)
from aada_operator.api.task import CORRUPT, MANIFEST_CONFLICT, STORAGE_UNREACHABLE, S3Location
from aada_operator.core.errors import Stalled, Waiting

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# How often a request is sent: about 1 s of waiting in all for a reconciler, about 13 s for a Job in mid-stream.
QUICK = 6
PATIENT = 10
_MOST_BROKEN_OFF = 4
MAX_SMALL_OBJECT = 64 * 2**20
_PROBE = b"probe\n"


class ObjectStore:
    """Objects of one bucket.

    Every method raises Waiting when the server or a right is missing (it may come back by itself) and Stalled when
    trying again cannot help; messages never contain text of the library or the server. ``max_rate`` limits what all
    uploads together send, in bytes a second; what `put_if_absent` writes is too small to count.
    """

    def __init__(
        self,
        location: S3Location,
        keys: KeySource,
        ca_file: Path | None = None,
        attempts: int = QUICK,
        max_rate: int | None = None,
    ) -> None:
        self._location = location
        self._keys = keys
        self._ca_file = ca_file
        self._attempts = attempts
        self._max_rate = max_rate
        self._locks = Locks(location, lambda: self._client)

    @cached_property
    def _client(self) -> "S3Client":
        return make_client(self._location, self._keys, self._ca_file, self._attempts)

    @cached_property
    def _limited(self) -> TransferManager:
        """One for all uploads of all threads: the limit is theirs together."""
        return TransferManager(self._client, transfer_config(self._max_rate))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, RetriesExceededError, S3DownloadFailedError) as error:
            raise translate(error, self._location) from None

    def probe(self, prefix: str) -> Capabilities:
        """Prove that the bucket exists and that objects below ``prefix`` can be written, read and listed.

        The probe object is deleted again; where that is forbidden (a write-once bucket) its few bytes stay.
        """
        key = f"{prefix}/.aada-probe-{secrets.token_hex(8)}".lstrip("/")
        self.put_if_absent(key, _PROBE)
        if self.get(key) != _PROBE or key not in {found.key for found in self.list(key)}:
            raise Waiting(STORAGE_UNREACHABLE, f"{self._name} does not show what was just written to it")
        with self._translated():
            refuses = s3_bucket.refuses_overwriting(self._client, self._location.bucket, key, _PROBE)
        return Capabilities(conditional_writes=refuses, deletes=self.delete(key))

    def settings(self) -> BucketSettings:
        """What the bucket's owner has set; a server or a key that does not tell is no error."""
        with self._translated():
            return s3_bucket.settings(self._client, self._location.bucket)

    def delete(self, key: str) -> bool:
        """Delete an object; False: that is forbidden, as in a write-once bucket."""
        with self._translated():
            try:
                self._client.delete_object(Bucket=self._location.bucket, Key=key)
            except ClientError as error:
                if code_of(error) not in DENIED:
                    raise
                return False
        return True

    def put_if_absent(self, key: str, data: bytes, *, lock: bool = False) -> bool:
        """Write a small object unless its key is taken; True: written now, False: these very bytes were there.

        A server without conditional writes is asked first and then written to, which two writers at once can
        outrun: `probe` tells. A write whose answer was lost is found again by comparing bytes. ``lock``: as the
        location says.

        Raises:
            Stalled: ManifestConflict, the key holds something else.
        """
        if (present := self.get(key)) is None:
            with self._translated():
                if self._put(key, data, self._locks.arguments if lock else {}):
                    return True
            present = self.get(key)
        if present is None:
            raise Waiting(MANIFEST_CONFLICT, f"{key} is being written by another one at this moment")
        if present != data:
            raise Stalled(MANIFEST_CONFLICT, f"{key} exists with other content and is never overwritten")
        return False

    def _put(self, key: str, data: bytes, lock: Mapping[str, Any]) -> bool:
        metadata = {"sha256": hashlib.sha256(data).hexdigest()}
        wanted: dict[str, Any] = {"Bucket": self._location.bucket, "Key": key, "Body": data, "Metadata": metadata}
        try:
            self._client.put_object(**wanted, **lock, IfNoneMatch="*")
        except ClientError as error:
            if code_of(error) in EXISTS:
                return False
            if code_of(error) not in NO_CONDITIONS:
                raise
            self._client.put_object(**wanted, **lock)
        return True

    def write(self, key: str, data: bytes) -> str | None:
        """Write an object whose key nobody else uses, locked as the location says; returns its version, if any."""
        if self._max_rate:
            return self.upload(key, io.BytesIO(data)).version
        with self._translated():
            lock = self._locks.arguments
            return self._client.put_object(Bucket=self._location.bucket, Key=key, Body=data, **lock).get("VersionId")

    def upload(self, key: str, reader: Reader) -> StoredObject:
        """Stream ``reader`` into a new object, in parts, locked as the location says.

        A failure, also of the reader, leaves no object behind.

        What the reader raises is raised here unchanged.
        """
        hashing = HashingReader(reader)
        with self._translated(), self._uploading() as transfer:
            lock = dict(self._locks.arguments)
            transfer.upload(cast("IO[bytes]", hashing), self._location.bucket, key, extra_args=lock).result()
            version = self._client.head_object(Bucket=self._location.bucket, Key=key).get("VersionId")
        return StoredObject(hashing.size, hashing.digest.hexdigest(), version)

    @property
    def locked_until(self) -> datetime | None:
        """Until when all that is written by this is locked; None: it is not."""
        return self._locks.until

    def extend_lock(self, key: str) -> bool:
        """Lock an object that is there for as long as what is written now; False: that is refused, or it is gone."""
        with self._translated():
            return self._locks.extend(key)

    def demand_locks(self) -> None:
        """Make sure that the bucket can lock objects, where the location wants that.

        Raises:
            Stalled: ObjectLockDisabled.
        """
        with self._translated():
            self._locks.demand()

    @contextmanager
    def _uploading(self) -> Iterator[TransferManager]:
        if self._max_rate:
            yield self._limited
            return
        with TransferManager(self._client, TRANSFER) as transfer:
            yield transfer

    def download(self, key: str, writer: Writer) -> None:
        """Stream an object into ``writer``, resuming where a connection broke.

        Raises:
            Stalled: Corrupt, there is no such object.
            Exception: whatever the writer raises, unchanged.
        """
        if self.size(key) is None:
            raise Stalled(CORRUPT, f"object {key} is missing from {self._name}")
        with self._translated(), TransferManager(self._client, TRANSFER) as transfer:
            transfer.download(self._location.bucket, key, cast("IO[bytes]", writer)).result()

    def read(self, key: str) -> bytes:
        """All bytes of an object that fits into memory, asked for again where a connection broke.

        Raises:
            Stalled: Corrupt, there is no such object.
        """
        with self._translated():
            for _ in range(_MOST_BROKEN_OFF):
                # The client repeats a request that got no answer, but not one whose answer broke off.
                with suppress(*BROKEN_OFF):
                    return self._whole(key)
            return self._whole(key)

    def _whole(self, key: str) -> bytes:
        try:
            # `with body` would give the stream behind it, whose errors are not the library's own.
            with closing(self._client.get_object(Bucket=self._location.bucket, Key=key)["Body"]) as body:
                return body.read()
        except ClientError as error:
            if code_of(error) != MISSING_KEY:
                raise
            raise Stalled(CORRUPT, f"object {key} is missing from {self._name}") from None

    def get(self, key: str, first: int = MAX_SMALL_OBJECT) -> bytes | None:
        """The ``first`` bytes of an object (of a small one: all of it); None when there is no such object."""
        with self._translated():
            try:
                answer = self._client.get_object(Bucket=self._location.bucket, Key=key)
                with closing(answer["Body"]) as body:
                    return body.read(first)
            except ClientError as error:
                if code_of(error) == MISSING_KEY:
                    return None
                raise

    def size(self, key: str) -> int | None:
        """Bytes of an object; None when there is no such object."""
        with self._translated():
            try:
                return self._client.head_object(Bucket=self._location.bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (403, 404):
                    raise
        # An answer to HEAD has no body, so it cannot say whether object, bucket or right is missing: a listing can.
        return next((found.size for found in self.list(key) if found.key == key), None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose keys begin with ``prefix``."""
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._location.bucket, Prefix=prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(entry["Key"], entry["Size"], entry["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders right below ``prefix``, which ends with a slash."""
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", []):
                    yield entry["Prefix"].removeprefix(prefix).rstrip("/")

    def abort_stale_uploads(self, prefix: str, age: timedelta = timedelta(hours=24)) -> int:
        """Abort multipart uploads below ``prefix`` that began more than ``age`` ago: their makers are dead.

        Returns how many. The invisible parts of such uploads cost storage until then. Ages are told by the server's
        clock: with ours an upload that is under way might be aborted, when it is wrong.
        """
        before = self.time() - age
        with self._translated():
            return s3_bucket.abort_stale_uploads(self._client, self._location.bucket, prefix, before)

    def time(self) -> datetime:
        """The server's own time, to which the times of its objects can be compared."""
        with self._translated():
            answer = self._client.head_bucket(Bucket=self._location.bucket)
        try:
            return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except (KeyError, ValueError):
            raise Waiting(STORAGE_UNREACHABLE, f"{self._name} does not say what time it has") from None

    @property
    def _name(self) -> str:
        return f"bucket {self._location.bucket} at {self._location.endpoint or 'AWS'}"
