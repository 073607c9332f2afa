"""Objects that nobody can delete for a time: S3 Object Lock."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aada_operator.adapters.s3_errors import DENIED, MISSING_KEY, code_of
from aada_operator.api.task import S3Location
from aada_operator.core.errors import Stalled

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OBJECT_LOCK_DISABLED = "ObjectLockDisabled"
# Why a lock is not extended: it is longer already, or the object is gone.
_REFUSED = DENIED | {MISSING_KEY, "NoSuchVersion", "InvalidRequest", "MethodNotAllowed"}
_CANNOT_LOCK = {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented", "501"}


class Locks:
    """The locks of one bucket, as its location wants them; may be used by any thread. Errors are those of botocore."""

    def __init__(self, location: S3Location, client: "Callable[[], S3Client]") -> None:
        self._location = location
        self._client = client

    @cached_property
    def until(self) -> datetime | None:
        """Until when all that is written here is locked, one moment for everything; None: it is not."""
        lock = self._location.object_lock
        return (datetime.now(UTC) + timedelta(days=lock.days)).replace(microsecond=0) if lock else None

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of a request that writes an object; servers want a checksum with a lock."""
        lock = self._location.object_lock
        if lock is None:
            return {}
        mode = lock.mode.upper()
        return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": self.until, "ChecksumAlgorithm": "CRC32"}

    def extend(self, key: str) -> bool:
        """Lock an object that is there for as long as what is written now; False: that is refused, or it is gone."""
        lock, until = self._location.object_lock, self.until
        if lock is None or until is None:
            return True
        mode: Any = lock.mode.upper()
        try:
            self._client().put_object_retention(
                Bucket=self._location.bucket,
                Key=key,
                Retention={"Mode": mode, "RetainUntilDate": until},
                ChecksumAlgorithm="CRC32",
            )
        except ClientError as error:
            if code_of(error) not in _REFUSED:
                raise
            return self._is_locked(key, mode, until)
        return True

    def _is_locked(self, key: str, mode: str, until: datetime) -> bool:
        """Whether it is locked for longer already: a server refuses to shorten that."""
        try:
            answer = self._client().head_object(Bucket=self._location.bucket, Key=key)
        except ClientError:
            return False
        found = answer.get("ObjectLockRetainUntilDate")
        return found is not None and found >= until and answer.get("ObjectLockMode") in (mode, "COMPLIANCE")

    def demand(self) -> None:
        """Make sure that the bucket can lock objects, where the location wants that.

        Raises:
            Stalled: ObjectLockDisabled.
        """
        bucket = self._location.bucket
        if self._location.object_lock is None:
            return
        try:
            answer = self._client().get_object_lock_configuration(Bucket=bucket)
            if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled":
                return
        except ClientError as error:
            if code_of(error) not in _CANNOT_LOCK:
                raise
        fix = "aws s3api create-bucket --bucket NAME --object-lock-enabled-for-bucket"
        message = f"bucket {bucket} cannot lock objects: make one with `{fix}`, or take objectLock away"
        raise Stalled(OBJECT_LOCK_DISABLED, message)
