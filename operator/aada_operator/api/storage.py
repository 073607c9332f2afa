"""Where things are kept: a bucket on a server that speaks the S3 protocol."""

from typing import Annotated

from pydantic import Field, StringConstraints

from aada_operator.api.common import DnsLabel, LocalRef, Model, SecretKeyRef
from aada_operator.api.location import Location
from aada_operator.api.manifest import backup_folder
from aada_operator.api.task import ObjectLock

Bucket = Annotated[str, StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
Prefix = Annotated[str, StringConstraints(max_length=256, pattern=r"^([A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*)?$")]


class S3(Model):
    """A bucket on a server that speaks the S3 protocol."""

    bucket: Annotated[Bucket, Field(description="Bucket; it must exist.")]
    prefix: Annotated[Prefix, Field(description="Folder inside the bucket, without leading or trailing slash.")] = ""
    endpoint: Annotated[
        str | None,
        Field(max_length=256, pattern=r"^https?://[^\s/]+$", description="URL of the server; absent: AWS."),
    ] = None
    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$", description="Region.")] = (
        "us-east-1"
    )
    credentials_secret_ref: Annotated[
        LocalRef, Field(description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    ]
    ca_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="CA certificate of the server; absent: the system's.")
    ] = None

    def location(self, folder: str) -> Location:
        """A folder of this bucket, with all that is needed to reach it once the policy is gone."""
        return Location(
            bucket=self.bucket,
            prefix=folder,
            endpoint=self.endpoint or "",
            region=self.region,
            credentials_secret=self.credentials_secret_ref.name,
            ca_secret=self.ca_secret_ref.name if self.ca_secret_ref else "",
            ca_key=self.ca_secret_ref.key if self.ca_secret_ref else "",
        )


class LockableS3(S3):
    """A bucket that may be made for locking objects."""

    object_lock: Annotated[
        ObjectLock | None, Field(description="Lock what is written against deletion; absent: not locked.")
    ] = None

    def location(self, folder: str) -> Location:
        """As that of any bucket, with the lock."""
        return super().location(folder).model_copy(update={"object_lock": self.object_lock})


class InBucket(Model):
    """Backups of one LMS in a bucket, of which the cluster need not know anything."""

    s3: Annotated[S3, Field(description="The bucket, and the prefix that the policy had.")]
    namespace: Annotated[
        DnsLabel | None, Field(description="Namespace that the LMS was in. Default: that of this object.")
    ] = None
    lms: Annotated[DnsLabel, Field(description="Name of the AadaLms that was backed up.")]
    identity_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="Private key of a recipient; absent: the backup is not encrypted.")
    ] = None

    def location_of(self, namespace: str, backup: str) -> Location:
        """Where a backup lies, for an object in ``namespace``; with an empty name, where all of the LMS do."""
        return self.s3.location(backup_folder(self.s3.prefix, self.namespace or namespace, self.lms, backup))


class StorageEntry(Model):
    """One place that holds backups."""

    name: Annotated[DnsLabel, Field(description="Name of the place.")] = "primary"
    s3: Annotated[LockableS3, Field(description="An S3 bucket.")]

    def location_of(self, namespace: str, lms: str, backup: str) -> Location:
        """Where a backup lies here; with an empty name, where all of an LMS do."""
        return self.s3.location(backup_folder(self.s3.prefix, namespace, lms, backup))
