"""What a bucket is like as a whole, and what nobody completed in it. Errors are those of botocore."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aada_operator.adapters.s3_errors import EXISTS, NO_CONDITIONS, code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing says of an object."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Capabilities:
    """What a server was seen to do, beyond reading and writing."""

    conditional_writes: bool
    deletes: bool


@dataclass(frozen=True)
class BucketSettings:
    """Lifecycle rules as S3 writes them, and versioning; None: the server does not tell."""

    lifecycle: Sequence[Mapping[str, Any]] | None
    versioned: bool | None


def settings(client: "S3Client", bucket: str) -> BucketSettings:
    """What the bucket's owner has set; a server or a key that does not tell is no error."""
    rules = _told(lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"], absent=[])
    versioning = _told(lambda: client.get_bucket_versioning(Bucket=bucket).get("Status", ""), absent="")
    return BucketSettings(rules, None if versioning is None else versioning == "Enabled")


def refuses_overwriting(client: "S3Client", bucket: str, key: str, data: bytes) -> bool:
    """Whether the server keeps an object that is there from a write that may not overwrite; ``data`` is what it has."""
    try:
        client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*")
    except ClientError as error:
        if code_of(error) in EXISTS:
            return True
        if code_of(error) not in NO_CONDITIONS:
            raise
    return False


def abort_stale_uploads(client: "S3Client", bucket: str, prefix: str, before: datetime) -> int:
    """Abort the multipart uploads below ``prefix`` that began before a moment; returns how many."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    uploads = [upload for page in pages for upload in page.get("Uploads", [])]
    stale = [upload for upload in uploads if upload["Key"].startswith(prefix) and upload["Initiated"] < before]
    for upload in stale:
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(stale)


def _told(ask: Callable[[], Any], absent: Any) -> Any:
    """What a server says, ``absent`` where there is none of it, None where it cannot or must not say."""
    try:
        return ask()
    except ClientError as error:
        return absent if code_of(error) == "NoSuchLifecycleConfiguration" else None
