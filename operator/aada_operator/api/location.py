"""A folder in a bucket, with all that is needed to reach it."""

from typing import Annotated

from pydantic import Field

from aada_operator.api.common import StatusModel
from aada_operator.api.task import ObjectLock, S3Location


class Location(StatusModel):
    """Where the backup is; copied from the policy, which may be gone one day."""

    bucket: Annotated[str, Field(max_length=63, description="Bucket.")]
    prefix: Annotated[str, Field(max_length=1024, description="Folder with manifest.json.")]
    endpoint: Annotated[str, Field(max_length=256, description="URL of the server; empty: AWS.")] = ""
    region: Annotated[str, Field(max_length=64, description="Region.")] = ""
    credentials_secret: Annotated[str, Field(max_length=253, description="Secret with the credentials.")] = ""
    ca_secret: Annotated[str, Field(max_length=253, description="Secret with the CA certificate.")] = ""
    ca_key: Annotated[str, Field(max_length=253, description="Key in that Secret.")] = ""
    object_lock: Annotated[ObjectLock | None, Field(description="How its objects are locked.")] = None

    def s3(self, allow_local: bool) -> S3Location:
        """The same place as workers and the S3 client want it; ``allow_local``: loopback endpoints are followed."""
        return S3Location(
            bucket=self.bucket,
            endpoint=self.endpoint or None,
            region=self.region or "us-east-1",
            object_lock=self.object_lock,
            allow_local_endpoint=allow_local,
        )
