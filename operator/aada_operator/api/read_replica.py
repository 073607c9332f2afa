"""A read replica of the database of an AadaLms: where it is, and when reads are led to it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from aada_operator.api.common import (
    GROUP,
    Duration,
    HostName,
    LocalRef,
    Model,
    SslMode,
    StatusModel,
    rules,
    seconds,
)

# Key of the application's Secret with the URL to read from, as the application calls its variable.
READ_URL = "READ_DATABASE_URL"
# The Service that this URL names is called after the AadaLms and this.
SERVICE = "db-read"
# On the EndpointSlice of that Service: where it leads, and when it led to the replica last.
ANNOTATION_READS_FROM = f"{GROUP}/reads-from"
ANNOTATION_LEFT_REPLICA_AT = f"{GROUP}/left-replica-at"
# And the replica that was asked for from RDS, with its address once it has one.
ANNOTATION_RDS = f"{GROUP}/rds-replica"
# A lag that a replica makes up for in this time, in seconds, counts as none.
SHORTEST_LAG = 1.0
Place = Literal["Replica", "Primary"]
_ONE_WAY = "readReplica: either host, or rds, which has an address of its own: leave one out"
# As RDS wants its names.
Identifier = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z](-?[a-z0-9])*$")]


def _check_lag(duration: str) -> str:
    if seconds(duration) < SHORTEST_LAG:
        raise ValueError(f"{duration!r} is less than a second, which is not measured: say 1s or more")
    return duration


class RdsReplica(Model):
    """A read replica that is made through Amazon RDS."""

    identifier: Annotated[Identifier, Field(description="Name of the replica; one that is there is used as it is.")]
    source_identifier: Annotated[Identifier, Field(description="Name of the instance that it is a replica of.")]
    instance_class: Annotated[
        str,
        Field(max_length=64, pattern=r"^db\.[a-z0-9.-]+$", description="Class that it is made with, as db.t4g.medium."),
    ]
    region: Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9-]+$", description="Region of both.")] = "us-east-1"
    endpoint: Annotated[
        str | None, Field(max_length=512, pattern=r"^https?://[^\s]+$", description="URL; absent: AWS's own.")
    ] = None
    credentials_secret_ref: Annotated[
        LocalRef, Field(description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    ]
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Field(
            description="Delete: a replica that was made for this AadaLms goes with it, or when rds is taken out or "
            "names another one."
        ),
    ] = "Retain"

    def is_same(self, other: "RdsReplica | None") -> bool:
        """Whether it is the same instance, whatever else is said of it."""
        mine = (self.identifier, self.region, self.endpoint)
        return other is not None and mine == (other.identifier, other.region, other.endpoint)


class RecordedReplica(StatusModel):
    """A replica that was asked for, with its address once it has one."""

    declared: RdsReplica
    host: str = ""
    port: int = 0


class ReadReplica(Model):
    """A streaming replica of the server."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.host) != has(self.rds)", _ONE_WAY)))

    host: Annotated[HostName | None, Field(description="Host name or address of the replica.")] = None
    port: Annotated[int | None, Field(ge=1, le=65535, description="Its port. Default: database.port.")] = None
    rds: Annotated[RdsReplica | None, Field(description="Instead of host: the replica is made through Amazon RDS.")] = (
        None
    )
    publish_when_lag_below: Annotated[
        Duration,
        AfterValidator(_check_lag),
        Field(
            description="Reads go to the replica while it is behind by less; back to it, once it is behind by less "
            "than half of that, and a minute after they left it."
        ),
    ] = "10s"
    ssl_mode: Annotated[
        SslMode | None,
        Field(
            description=f"How far the application verifies TLS when it reads. Default: database.sslMode. verify-full "
            f"needs the name <lms>-{SERVICE} in the certificates of both servers."
        ),
    ] = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> "ReadReplica":
        if (self.host is None) == (self.rds is None):
            raise ValueError(_ONE_WAY)
        return self


class ReadReplicaStatus(StatusModel):
    """Where reads are led."""

    reads_from: Annotated[Literal["", "Replica", "Primary"], Field(description="Replica or Primary.")] = ""
    lag_seconds: Annotated[int | None, Field(ge=0, description="How far the replica is behind; absent: not known.")] = (
        None
    )


def service_name(lms: str) -> str:
    """The Service that the application reads through."""
    return f"{lms}-{SERVICE}"
