"""AadaLms: the application, its database and how the two are kept in step."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from aada_operator.api.common import (
    Column,
    CommonStatus,
    Duration,
    EnvName,
    HostName,
    LocalRef,
    Model,
    ObjectName,
    Resource,
    SecretKeyName,
    SecretKeyRef,
    SqlName,
    SslMode,
    StatusModel,
    Timestamp,
    named_list,
    rules,
)
from aada_operator.api.component import AbsolutePath, Argument, Component
from aada_operator.api.data_key import DataKey
from aada_operator.api.read_replica import READ_URL, SERVICE, ReadReplica, ReadReplicaStatus
from aada_operator.api.windows import MaintenanceWindow

Tag = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]


class Pooler(Model):
    """A connection pooler that the application connects through."""

    kind: Annotated[Literal["PgBouncer"], Field(description="Which one.")] = "PgBouncer"
    host: Annotated[HostName, Field(description="Host name or address of the pooler.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Port of the pooler.")] = 6432
    admin_secret_ref: Annotated[
        LocalRef,
        Field(
            description="Secret with username and password of one of its stats_users or admin_users, to ask for limits."
        ),
    ]


class Database(Model):
    """Where the database is and who may manage it."""

    provider: Annotated[Literal["external"], Field(description="Who runs the server: external, by its address.")] = (
        "external"
    )
    host: Annotated[HostName, Field(description="Host name or address of the PostgreSQL server.")]
    port: Annotated[int, Field(ge=1, le=65535, description="Port of the server.")] = 5432
    # PostgreSQL cuts names off after 63 characters without an error, and the longest role is <name>_owner.
    name: Annotated[
        SqlName, Field(max_length=57, description="Name of the database; it is made when it is missing.")
    ] = "aada_lms"
    ssl_mode: Annotated[SslMode, Field(description="How far TLS is demanded and verified, as libpq's sslmode.")] = (
        "verify-full"
    )
    ca_secret_ref: Annotated[
        SecretKeyRef | None, Field(description="CA certificate of the server; absent: the system's.")
    ] = None
    admin_secret_ref: Annotated[
        LocalRef,
        Field(
            description="Secret with username and password of a role that may create roles and databases. "
            "Used by the operator and its Jobs only, never mounted in the application."
        ),
    ]
    pooler: Annotated[
        Pooler | None,
        Field(
            description="What the application connects through, with the same sslMode and CA. Migrations, backups and "
            "the operator connect to the server itself."
        ),
    ] = None
    read_replica: Annotated[
        ReadReplica | None,
        Field(
            description=f"A streaming replica. Key {READ_URL} of the application's Secret leads to it while its lag is "
            f"small, and to the server otherwise, through Service <lms>-{SERVICE}."
        ),
    ] = None
    data_key: Annotated[
        DataKey | None,
        Field(description="The key of values that the application encrypts: each restore proves that it fits first."),
    ] = None
    app_secret_name: Annotated[
        ObjectName | None,
        Field(
            description="Secret with the application's credentials (url, host, port, name, username, password). "
            "Exists: used as it is. Missing: roles and Secret are made. Default: <lms>-db."
        ),
    ] = None
    env: Annotated[
        dict[EnvName, SecretKeyName],
        Field(max_length=20, description="Variables of the api components, by key of the application's Secret."),
    ] = {"DATABASE_URL": "url"}
    url_scheme: Annotated[
        str,
        Field(
            max_length=40,
            pattern=r"^[a-z][a-z0-9+.]*$",
            description="Scheme of the url key, as the application's driver wants it.",
        ),
    ] = "postgresql+psycopg2"

    @property
    def entrance(self) -> "Database | Pooler":
        """Where the application connects to."""
        return self.pooler or self

    def app_secret(self, lms: str) -> str:
        """Name of the Secret with the application's credentials."""
        return self.app_secret_name or f"{lms}-db"


class Schema(Model):
    """To which revision the schema is brought, and with what."""

    tool: Annotated[Literal["alembic"], Field(description="Migration tool; its table tells the revision.")] = "alembic"
    command: Annotated[
        list[Argument],
        Field(min_length=1, max_length=64, description="Command in the first api image; {revision} is replaced."),
    ] = ["alembic", "upgrade", "{revision}"]
    revision: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]*$",
            description="Revision to reach: an id, or head for the newest that the image knows.",
        ),
    ] = "head"
    revision_table: Annotated[SqlName, Field(description="Table with the current revision, in schema public.")] = (
        "alembic_version"
    )
    lock_timeout: Annotated[
        Duration, Field(description="How long a migration waits for a lock before it gives up and leaves users alone.")
    ] = "3s"
    timeout: Annotated[Duration, Field(description="How long the migration Job may run.")] = "15m"


class SecretVariable(Model):
    """One environment variable of the api components, from a Secret."""

    name: Annotated[EnvName, Field(description="Name of the variable.")]
    secret_ref: Annotated[SecretKeyRef, Field(description="Where its value is.")]


class Uploads(Model):
    """The claim with users' files."""

    claim_name: Annotated[ObjectName, Field(description="Existing PersistentVolumeClaim; never deleted.")]
    mount_path: Annotated[AbsolutePath, Field(description="Where the api components see it.")]


class Storage(Model):
    """Files of the application."""

    uploads: Annotated[Uploads | None, Field(description="Users' files.")] = None


class AadaLmsSpec(Model):
    """What should be true of one LMS."""

    version: Annotated[Tag | None, Field(description="Default image tag; one bump is one release.")] = None
    components: Annotated[
        list[Component],
        Field(
            min_length=1,
            max_length=10,
            description="Deployments of the application; at least one of role api.",
            json_schema_extra=named_list()
            | rules(("self.exists(c, c.role == 'api')", "at least one component needs role: api")),
        ),
    ]
    database: Annotated[Database, Field(description="The PostgreSQL database.")]
    schema_: Annotated[Schema, Field(alias="schema", description="The database schema.")] = Schema()
    secrets: Annotated[
        list[SecretVariable],
        Field(max_length=50, json_schema_extra=named_list(), description="Secrets of the api components."),
    ] = []
    storage: Annotated[Storage, Field(description="Files.")] = Storage()
    maintenance_windows: Annotated[
        list[MaintenanceWindow],
        Field(
            max_length=20,
            description="When what disturbs may begin: inside any Allow (with none: always), never inside a Deny. "
            "SecretRotations ask for them.",
        ),
    ] = []
    suspend: Annotated[bool, Field(description="True: the operator only observes; nothing is written.")] = False

    @model_validator(mode="after")
    def _has_api(self) -> "AadaLmsSpec":
        if not any(component.role == "api" for component in self.components):
            raise ValueError("components: at least one component needs role: api")
        names = [component.name for component in self.components]
        if len(set(names)) != len(names):
            raise ValueError("components: names must differ")
        if self.database.read_replica and SERVICE in names:
            raise ValueError(f"components: {SERVICE} is the Service of database.readReplica, choose another name")
        return self

    def api_component(self) -> Component:
        """The first component of role api: its image carries the migrations."""
        return next(component for component in self.components if component.role == "api")


class ComponentStatus(StatusModel):
    """How far one component's rollout is."""

    name: Annotated[str, Field(max_length=63, description="Name of the component.")]
    image: Annotated[str, Field(max_length=512, description="Image that is rolled out.")] = ""
    desired: Annotated[int, Field(ge=0, description="Pods that should be there.")] = 0
    ready: Annotated[int, Field(ge=0, description="Pods of the wanted revision that are ready.")] = 0


class DatabaseStatus(StatusModel):
    """What the server said at the last look."""

    version: Annotated[str, Field(max_length=32, description="Version of the server.")] = ""
    connections: Annotated[int, Field(ge=0, description="Client sessions open now.")] = 0
    max_connections: Annotated[int, Field(ge=0, description="Sessions that the server allows.")] = 0
    reserved_connections: Annotated[int, Field(ge=0, description="Those of them that only superusers get.")] = 0
    size_bytes: Annotated[int, Field(ge=0, description="Size of the database.")] = 0


class SchemaStatus(StatusModel):
    """Where the schema is."""

    revision: Annotated[str, Field(max_length=128, description="Revision read from the database.")] = ""
    previous_revision: Annotated[str, Field(max_length=128, description="Revision before the last migration.")] = ""
    job: Annotated[str, Field(max_length=63, description="Job that brought it there.")] = ""


class OperationStatus(StatusModel):
    """What is being done to the LMS, while everything that it excludes waits."""

    kind: Annotated[str, Field(max_length=32, description="Cutover, Migration, Rotation or Backup.")] = ""
    holder: Annotated[str, Field(max_length=320, description="Object whose operation it is, as Backup/name.")] = ""
    since: Annotated[Timestamp, Field(description="When it was asked for.")] = ""


class AadaLmsStatus(CommonStatus):
    """What is true of one LMS."""

    version: Annotated[str, Field(max_length=128, description="Version that is rolled out completely.")] = ""
    ready: Annotated[str, Field(max_length=16, description="Ready components of all, as 2/3.")] = ""
    schema_: Annotated[SchemaStatus | None, Field(alias="schema", description="Schema of the database.")] = None
    database: Annotated[DatabaseStatus | None, Field(description="The database server.")] = None
    read_replica: Annotated[ReadReplicaStatus | None, Field(description="Where reads are led.")] = None
    components: Annotated[
        list[ComponentStatus],
        Field(max_length=10, json_schema_extra=named_list(), description="The components."),
    ] = []
    operation: Annotated[OperationStatus | None, Field(description="What is being done to it now.")] = None
    last_backup: Annotated[
        str, Field(max_length=40, description="Completion of the newest backup, over all policies.")
    ] = ""
    reset_at: Annotated[str, Field(max_length=64, description="Value of the reset-at annotation acted upon.")] = ""


AADA_LMS = Resource(
    kind="AadaLms",
    plural="aadalms",
    short_names=("lms",),
    description="An AADA LMS: its components, its database and the revision of its schema.",
    max_name=30,
    columns=(
        Column(name="VERSION", path=".status.version"),
        Column(name="SCHEMA", path=".status.schema.revision"),
        Column(name="READY", path=".status.ready", description="Ready components of all."),
        Column(name="HEALTH", path='.status.conditions[?(@.type=="Ready")].status'),
        Column(name="OPERATION", path=".status.operation.kind", description="What is being done to it."),
        Column(name="DB", path=".status.database.version", priority=1),
        Column(name="LAST-BACKUP", path=".status.lastBackup", priority=1),
        Column(name="STATUS", path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
