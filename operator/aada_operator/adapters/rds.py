"""A read replica made through Amazon RDS: found, made once, and deleted only where a tag says that it was made here."""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aada_operator.adapters.aws import AwsApi, open_aws
from aada_operator.adapters.kube import Kube
from aada_operator.api.common import GROUP
from aada_operator.api.read_replica import RdsReplica
from aada_operator.core.errors import OperatorError, Stalled, Waiting

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

    def __init__(self, replica: RdsReplica, api: AwsApi) -> None:
        self._replica = replica
        self._api = api

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
            return await self._api.ask(call, **arguments)
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
    return Rds(replica, await open_aws(kube, namespace, "rds", replica, allow_local=allow_local))
