"""Where a Restore takes a backup from, and where to it brings it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aada_operator.api.common import (
    DnsLabel,
    HostName,
    LocalRef,
    Model,
    ObjectName,
    SecretKeyRef,
    SqlName,
    SslMode,
    rules,
)
from aada_operator.api.storage import InBucket

TargetMode = Literal["NewDatabase", "Cutover", "NewServer"]
ONE_SOURCE = "give one of backupName, policyRef with latest: true, and storage"
_ONE_BACKUP = "give either backup or latest: true"
NO_COPY = "copy is for a Backup or a policy: storage names the bucket of the copy itself"
NO_NAME = "database is for mode NewDatabase: in the other modes the restored database has the name of the live one"
SERVER = "server belongs to mode NewServer, which needs it"


class StoredSource(InBucket):
    """A backup in a bucket, by name or the newest."""

    backup: Annotated[ObjectName | None, Field(description="Name of the backup.")] = None
    latest: Annotated[bool | None, Field(description="The newest backup of that LMS.")] = None

    @model_validator(mode="after")
    def _one_backup(self) -> "StoredSource":
        if (self.backup is None) == (self.latest is not True) or (self.backup and self.latest is not None):
            raise ValueError(_ONE_BACKUP)
        return self


class Source(Model):
    """Which backup: one by name, the newest completed one of a policy, or one in a bucket."""

    backup_name: Annotated[ObjectName | None, Field(description="Name of a completed Backup.")] = None
    policy_ref: Annotated[LocalRef | None, Field(description="A BackupPolicy; with latest: true.")] = None
    latest: Annotated[bool | None, Field(description="The newest completed backup of the policy.")] = None
    copy_: Annotated[
        DnsLabel | None,
        Field(
            alias="copy",
            description="Read its copy in this place of the policy's storage. Absent: the backup itself is read.",
        ),
    ] = None
    storage: Annotated[
        StoredSource | None,
        Field(
            description="A backup in a bucket; neither Backup nor BackupPolicy nor AadaLms needs to be there.",
            json_schema_extra=rules(
                ("has(self.backup) ? !has(self.latest) : (has(self.latest) && self.latest)", _ONE_BACKUP)
            ),
        ),
    ] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "Source":
        by_policy = self.policy_ref is not None and self.latest is True
        half = (self.policy_ref is None) != (self.latest is None)
        if half or [self.backup_name is not None, by_policy, self.storage is not None].count(True) != 1:
            raise ValueError(ONE_SOURCE)
        if self.copy_ and self.storage:
            raise ValueError(NO_COPY)
        return self


class TargetServer(Model):
    """A PostgreSQL server; the fields are those of an AadaLms' database."""

    host: Annotated[HostName, Field(description="Host name or address of the server.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Port of the server.")] = 5432
    ssl_mode: Annotated[SslMode, Field(description="How far TLS is demanded and verified, as libpq's sslmode.")] = (
        "verify-full"
    )
    ca_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="CA certificate of the server; absent: the system's.")
    ] = None
    admin_secret_ref: Annotated[
        LocalRef,
        Field(description="Secret with username and password of a role that may create roles and databases."),
    ]


class Target(Model):
    """Where to."""

    mode: Annotated[
        TargetMode,
        Field(
            description="NewDatabase: beside the live one. Cutover: in its place; the live one is kept under another "
            "name for keepOldFor. NewServer: on another server, with the roles, and whatever is missing in this "
            "namespace of Secrets, AadaLms and BackupPolicies."
        ),
    ] = "NewDatabase"
    database: Annotated[
        SqlName | None,
        Field(description="Name of the new database, in mode NewDatabase. Default: <database>_restore_<id>."),
    ] = None
    server: Annotated[TargetServer | None, Field(description="The server, in mode NewServer.")] = None

    @model_validator(mode="after")
    def _fields_fit_the_mode(self) -> "Target":
        if self.mode != "NewDatabase" and self.database is not None:
            raise ValueError(NO_NAME)
        if (self.mode == "NewServer") != (self.server is not None):
            raise ValueError(SERVER)
        return self
