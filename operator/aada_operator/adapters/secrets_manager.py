"""AWS Secrets Manager, kept in step with a Secret of the cluster: proposed as AWSPENDING, promoted to AWSCURRENT.

A version has an id of our choosing, so that whatever is sent twice makes one version.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aada_operator.adapters.aws import AwsApi, open_aws
from aada_operator.adapters.kube import Kube
from aada_operator.api.credential import AwsSecretsManager
from aada_operator.core.errors import OperatorError, Stalled, Waiting

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}


_LOGIN = ("username", "password")


@dataclass(frozen=True)
class Version:
    """What the store holds now, never shown: JSON, or ``bare``, a password and nothing else."""

    id: str
    values: Mapping[str, str] = field(repr=False)
    bare: bool = False

    def has(self, login: Mapping[str, str]) -> bool:
        """Whether it is this login, as far as the store has one."""
        return all(self.values[key] == login[key] for key in _LOGIN if key in self.values)

    def with_login(self, login: Mapping[str, str]) -> str:
        """The same text with another login in it."""
        changed = {**self.values, **{key: login[key] for key in _LOGIN if key in self.values}}
        return changed["password"] if self.bare else json.dumps(changed)


class SecretsManager:
    """One secret of the store."""

    def __init__(self, store: AwsSecretsManager, api: AwsApi, *, user_stays: bool) -> None:
        self._store = store
        self._api = api
        self._user_stays = user_stays

    async def current(self) -> Version:
        """What everybody reads.

        Raises:
            Waiting: StoreUnreachable, StoreAccessDenied.
            Stalled: StoreSecretMissing; StoreValueNotJson, the user changes and it has no user and password as JSON.
        """
        answer = await self._ask("get_secret_value", VersionStage=CURRENT)
        found = _read(answer["VersionId"], answer.get("SecretString", ""))
        if not (self._user_stays or found.values.keys() >= set(_LOGIN)) or not found.values.get("password"):
            message = (
                f"secret {self._store.secret_id} must be JSON with username and password, since the user changes as "
                "well: write it so, and have its readers read both. With strategy InPlace the password is enough"
            )
            raise Stalled("StoreValueNotJson", message)
        return found

    async def propose(self, version: str, text: str) -> None:
        """Keep a value as AWSPENDING, beside what everybody reads; raises as `current`."""
        await self._ask("put_secret_value", ClientRequestToken=version, SecretString=text, VersionStages=[PENDING])

    async def stages(self) -> dict[str, str]:
        """The version of each stage; raises as `current`."""
        answer = await self._ask("describe_secret")
        return {stage: version for version, stages in answer["VersionIdsToStages"].items() for stage in stages}

    async def promote(self, version: str) -> None:
        """Have everybody read a version from now on; raises as `current`."""
        now = (await self.stages()).get(CURRENT)
        if now != version:
            moved = {"MoveToVersionId": version} | ({"RemoveFromVersionId": now} if now else {})
            await self._ask("update_secret_version_stage", VersionStage=CURRENT, **moved)

    async def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        try:
            return await self._api.ask(call, SecretId=self._store.secret_id, **arguments)
        except ClientError as error:
            raise self._translated(error.response.get("Error", {}).get("Code", "")) from None
        except BotoCoreError:
            raise Waiting("StoreUnreachable", f"{self._place} does not answer", 15.0) from None

    @property
    def _place(self) -> str:
        return f"Secrets Manager at {self._store.endpoint or 'AWS'}"

    def _translated(self, code: str) -> OperatorError:
        if code == "ResourceNotFoundException":
            message = f"{self._place} has no secret {self._store.secret_id}: create it, or correct store"
            return Stalled("StoreSecretMissing", message)
        if code in _DENIED:
            message = f"{self._place} refuses the key: it needs to get, describe, put and move versions of the secret"
            return Waiting("StoreAccessDenied", message, 30.0)
        return Waiting("StoreUnreachable", f"{self._place} answers with {code or 'an error'}", 15.0)


def _read(version: str, text: str) -> Version:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if isinstance(values, dict):
        return Version(version, {key: str(value) for key, value in values.items()})
    return Version(version, {"password": text}, bare=True)


async def open_secrets_manager(
    kube: Kube, namespace: str, store: AwsSecretsManager, *, allow_local: bool, user_stays: bool
) -> SecretsManager:
    """The store, with the keys that its Secret holds now; ``user_stays`` when only the password is replaced.

    Raises:
        Waiting: SecretMissing.
    """
    api = await open_aws(kube, namespace, "secretsmanager", store, allow_local=allow_local)
    return SecretsManager(store, api, user_stays=user_stays)
