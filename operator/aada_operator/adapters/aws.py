"""An API of AWS: opened with the keys of a Secret, asked in threads."""

from functools import cached_property
from typing import Any, Literal, Protocol

import boto3
from botocore.config import Config

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.adapters.s3_errors import check_endpoint
from aada_operator.adapters.storage import ask, read_access_keys
from aada_operator.api.common import LocalRef
from aada_operator.api.task import S3Location
from aada_operator.core.names import qualified_url

_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

Service = Literal["rds", "secretsmanager"]


class AwsPlace(Protocol):
    """The part of a spec that says where an API is; without ``endpoint`` it is that of AWS in the region."""

    @property
    def region(self) -> str: ...
    @property
    def endpoint(self) -> str | None: ...
    @property
    def credentials_secret_ref(self) -> LocalRef: ...


class AwsApi:
    """One API; calls and answers are in boto3's words."""

    def __init__(
        self, service: Service, region: str, endpoint: str | None, keys: AccessKeys, *, allow_local: bool = False
    ) -> None:
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._keys = keys
        self._allow_local = allow_local

    async def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """What it answers.

        Raises:
            Waiting: StorageUnreachable, no answer in time.
            Stalled: the endpoint is an address that may not be asked.
            ClientError, BotoCoreError: as boto3 has them.
        """
        return await ask(self._call, call, arguments)

    def _call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """In a thread: the client waits, and so does the look for its address."""
        answer: dict[str, Any] = getattr(self.client, name)(**arguments)
        return answer

    @cached_property
    def client(self) -> Any:
        """boto3's client."""
        check_endpoint(S3Location(bucket="none", endpoint=self._endpoint, allow_local_endpoint=self._allow_local))
        return boto3.Session().client(
            self._service,
            region_name=self._region,
            endpoint_url=self._endpoint,
            aws_access_key_id=self._keys.access_key,
            aws_secret_access_key=self._keys.secret_key,
            config=_CONFIG,
        )


async def open_aws(kube: Kube, namespace: str, service: Service, place: AwsPlace, *, allow_local: bool) -> AwsApi:
    """The API with the keys that its Secret holds now; raises Waiting, SecretMissing."""
    keys = await read_access_keys(kube, namespace, place.credentials_secret_ref.name)
    endpoint = qualified_url(place.endpoint, namespace) if place.endpoint else None
    return AwsApi(service, place.region, endpoint, keys, allow_local=allow_local)
