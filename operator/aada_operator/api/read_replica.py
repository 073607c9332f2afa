"""A read replica of the database of an AadaLms: where it is, and when reads are led to it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from aada_operator.api.common import GROUP, Duration, HostName, Model, SslMode, StatusModel, seconds

# Key of the application's Secret with the URL to read from, as the application calls its variable.
READ_URL = "READ_DATABASE_URL"
# The Service that this URL names is called after the AadaLms and this.
SERVICE = "db-read"
# On the EndpointSlice of that Service: where it leads, and when it led to the replica last.
ANNOTATION_READS_FROM = f"{GROUP}/reads-from"
ANNOTATION_LEFT_REPLICA_AT = f"{GROUP}/left-replica-at"
# A lag that a replica makes up for in this time, in seconds, counts as none.
SHORTEST_LAG = 1.0
Place = Literal["Replica", "Primary"]


def _check_lag(duration: str) -> str:
    if seconds(duration) < SHORTEST_LAG:
        raise ValueError(f"{duration!r} is less than a second, which is not measured: say 1s or more")
    return duration


class ReadReplica(Model):
    """A streaming replica of the server."""

    host: Annotated[HostName, Field(description="Host name or address of the replica.")]
    port: Annotated[int | None, Field(ge=1, le=65535, description="Its port. Default: database.port.")] = None
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


class ReadReplicaStatus(StatusModel):
    """Where reads are led."""

    reads_from: Annotated[Literal["", "Replica", "Primary"], Field(description="Replica or Primary.")] = ""
    lag_seconds: Annotated[int | None, Field(ge=0, description="How far the replica is behind; absent: not known.")] = (
        None
    )


def service_name(lms: str) -> str:
    """The Service that the application reads through."""
    return f"{lms}-{SERVICE}"
