"""What a SecretRotation says of a credential: who else uses it, what it is made of, how it is verified and kept."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from aada_operator.api.common import DnsLabel, EnvName, LocalRef, Model, ObjectName, rules
from aada_operator.api.component import Argument

_ONE_QUESTION = "command: either a command, or path and status, not both: leave one out"


class Consumer(Model):
    """A workload beside the LMS that logs in with the same Secret."""

    kind: Annotated[Literal["Deployment", "StatefulSet", "CronJob"], Field(description="Kind of the workload.")]
    name: Annotated[ObjectName, Field(description="Its name, in the namespace of this resource.")]


class Generator(Model):
    """What a new value is made of; a database password always has 256 bits."""

    length: Annotated[int, Field(ge=16, le=1024, description="Characters.")] = 43
    alphabet: Annotated[Literal["url-safe", "alphanumeric", "hex"], Field(description="Which characters.")] = "url-safe"


class Jwt(Model):
    """How the application gets its keys: variables of the AadaLms' spec.secrets, both of one Secret."""

    variable: Annotated[EnvName, Field(description="The key that signs.")] = "JWT_SECRET_KEY"
    accepted_variable: Annotated[EnvName, Field(description="Further keys that verify, separated by commas.")] = (
        "JWT_SECRET_KEYS_ACCEPTED"
    )
    revoke_sql: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="In an emergency: one statement that revokes refresh tokens, run as the application once no "
            "pod accepts the old key. It may run twice.",
        ),
    ] = None


class Verification(Model):
    """How a component is asked whether it is well: by a request, or by a command in a pod of its own."""

    model_config = ConfigDict(
        json_schema_extra=rules(("!has(self.command) || !(has(self.path) || has(self.status))", _ONE_QUESTION))
    )

    component: Annotated[DnsLabel, Field(description="Component of the AadaLms.")]
    path: Annotated[
        str | None,
        Field(min_length=1, max_length=256, pattern=r"^/[^\s]*$", description="Path of a GET. Default: /health."),
    ] = None
    status: Annotated[int | None, Field(ge=100, le=599, description="Status of its answer. Default: 200.")] = None
    command: Annotated[
        list[Argument] | None,
        Field(
            min_length=1,
            max_length=64,
            description="Instead of a request: run in a pod like those of the component, beside them and without "
            "users; exit code 0 is well.",
        ),
    ] = None

    @model_validator(mode="after")
    def _asks_once(self) -> "Verification":
        if self.command and (self.path or self.status):
            raise ValueError(_ONE_QUESTION)
        return self


class AwsSecretsManager(Model):
    """A secret of AWS Secrets Manager: JSON with username and password, and whatever else its readers need."""

    secret_id: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$", description="Name or ARN.")]
    region: Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9-]+$", description="Region of the secret.")] = (
        "us-east-1"
    )
    endpoint: Annotated[
        str | None, Field(max_length=512, pattern=r"^https?://[^\s]+$", description="URL; absent: AWS's own.")
    ] = None
    credentials_secret_ref: Annotated[
        LocalRef,
        Field(
            description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: get, describe, put, move versions."
        ),
    ]


class Store(Model):
    """A store outside the cluster that is kept in step."""

    aws_secrets_manager: Annotated[AwsSecretsManager, Field(description="AWS Secrets Manager.")]
