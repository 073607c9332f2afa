"""A read replica made through Amazon RDS: found, made once, and deleted only where a tag says that it was made here."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import read_keys
from aada_operator.adapters.s3_client import AccessKeys
from aada_operator.adapters.s3_errors import check_endpoint
from aada_operator.adapters.storage import ask
from aada_operator.api.common import GROUP
from aada_operator.api.read_replica import RdsReplica
from aada_operator.api.task import S3Location
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.names import qualified_url

_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
_TAG = f"{GROUP}/made-for"
_NOT_FOUND = "DBInstanceNotFound"
_DENIED = {"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"}


@dataclass(frozen=True)
class Instance:
    """An instance: its status in RDS's words, its address once it has one, and the uid that it was made for."""

    status: str
    host: str
    port: int
    made_for: str


class Rds:
    """One replica, there or not."""

    def __init__(self, replica: RdsReplica, endpoint: str | None, keys: AccessKeys, *, allow_local: bool) -> None:
        self._replica = replica
        self._endpoint = endpoint
        self._keys = keys
        self._allow_local = allow_local

    async def find(self) -> Instance | None:
        """The instance, None when there is none.

        Raises:
            Waiting: RdsUnreachable, RdsAccessDenied, RdsRefused.
        """
        try:
            answer = await self._ask("describe_db_instances", DBInstanceIdentifier=self._replica.identifier)
        except _Missing:
            return None
        return instance(answer["DBInstances"][0])

    async def create(self, uid: str) -> None:
        """Ask for the replica; one that is there already stays as it is.

        Raises:
            Waiting: RdsSourceMissing; or as `find`.
        """
        replica = self._replica
        try:
            await self._ask(
                "create_db_instance_read_replica",
                DBInstanceIdentifier=replica.identifier,
                SourceDBInstanceIdentifier=replica.source_identifier,
                DBInstanceClass=replica.instance_class,
                Tags=[{"Key": _TAG, "Value": uid}],
            )
        except _Missing:
            message = f"RDS has no instance {replica.source_identifier}: correct rds.sourceIdentifier or rds.region"
            raise Waiting("RdsSourceMissing", message, 30.0) from None

    async def delete(self, uid: str) -> None:
        """Have the instance deleted if it was made for this uid; whatever else has its name stays.

        Raises:
            Waiting: as `find`.
        """
        found = await self.find()
        if found is None or found.made_for != uid or found.status == "deleting":
            return
        try:
            await self._ask("delete_db_instance", DBInstanceIdentifier=self._replica.identifier, SkipFinalSnapshot=True)
        except _Missing:
            return

    async def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        try:
            return await ask(self._call, call, arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code.startswith("DBInstanceAlreadyExists"):
                return {}
            if code.startswith(_NOT_FOUND):
                raise _Missing from None
            raise self._translated(code) from None
        except Stalled as refused:
            raise Waiting("RdsRefused", refused.message, 30.0) from None
        except (BotoCoreError, Waiting):
            raise Waiting("RdsUnreachable", f"{self._place} does not answer", 15.0) from None

    def _call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """In a thread: the client waits, and so does the look for its address."""
        answer: dict[str, Any] = getattr(self._client, name)(**arguments)
        return answer

    @cached_property
    def _client(self) -> Any:
        check_endpoint(S3Location(bucket="none", endpoint=self._endpoint, allow_local_endpoint=self._allow_local))
        return boto3.Session().client(
            "rds",
            region_name=self._replica.region,
            endpoint_url=self._endpoint,
            aws_access_key_id=self._keys.access_key,
            aws_secret_access_key=self._keys.secret_key,
            config=_CONFIG,
        )

    @property
    def _place(self) -> str:
        return f"RDS at {self._replica.endpoint or 'AWS'}"

    def _translated(self, code: str) -> OperatorError:
        if code in _DENIED:
            rights = "rds:DescribeDBInstances, CreateDBInstanceReadReplica, AddTagsToResource and DeleteDBInstance"
            return Waiting("RdsAccessDenied", f"{self._place} refuses the key: it needs {rights}", 30.0)
        message = f"{self._place} answers with {code or 'an error'} for {self._replica.identifier}"
        return Waiting("RdsRefused", f"{message}: its own page says what that means", 30.0)


class _Missing(Exception):
    """RDS does not know an instance that was named."""


def instance(described: dict[str, Any]) -> Instance:
    """An instance as RDS describes it."""
    address = described.get("Endpoint") or {}
    tags = {tag["Key"]: tag["Value"] for tag in described.get("TagList") or ()}
    return Instance(
        status=str(described.get("DBInstanceStatus", "")),
        host=str(address.get("Address", "")),
        port=int(address.get("Port", 0)),
        made_for=tags.get(_TAG, ""),
    )


async def open_rds(kube: Kube, namespace: str, replica: RdsReplica, *, allow_local: bool) -> Rds:
    """RDS, with the keys that its Secret holds now; raises Waiting, SecretMissing."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    found = await read_keys(kube, namespace, replica.credentials_secret_ref.name, names)
    keys = AccessKeys(*(found[name].decode(errors="replace").strip() for name in names))
    endpoint = qualified_url(replica.endpoint, namespace) if replica.endpoint else None
    return Rds(replica, endpoint, keys, allow_local=allow_local)
