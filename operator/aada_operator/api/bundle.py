"""The bundle of a backup: what an LMS needs besides its rows. One encrypted document; it may hold Secrets.

By hand: ``kubernetes`` is for ``kubectl apply``, the two texts of SQL are for ``psql``. ``roles`` and ``database`` say
the same as these texts for programs.
"""

from typing import Annotated, Any

from pydantic import Field

from aada_operator.api.common import Model, StatusModel

# Kind of the part of a backup that holds it.
BUNDLE = "bundle"


class SecretOrder(Model):
    """A Secret that is to be packed: its data are in the mounted ``folder``, this is the rest of it."""

    folder: Annotated[str, Field(description="Folder below the mounted Secrets.")]
    name: Annotated[str, Field(description="Name of the Secret.")]
    type: Annotated[str, Field(description="Type of the Secret.")] = "Opaque"
    labels: Annotated[dict[str, str], Field(description="Its labels.")] = {}


class BundleOrder(Model):
    """What goes into a bundle; nothing of it is secret."""

    objects: Annotated[list[dict[str, Any]], Field(description="Custom resources, without status.")] = []
    secrets: Annotated[list[SecretOrder], Field(description="Secrets that are mounted.")] = []
    missing: Annotated[list[str], Field(description="What is named and was not there, as Kind/name.")] = []


class BundleSummary(StatusModel):
    """What is in a bundle, for manifests and conditions: names and counts, no content."""

    objects: int = 0
    secrets: int = 0
    roles: int = 0
    missing: list[str] = []


class Membership(StatusModel):
    """A role that another one is a member of."""

    role: str
    admin: bool = False


class RoleSetting(StatusModel):
    """A setting that sessions of a role begin with, in every database."""

    name: str
    value: str


class RoleDefinition(StatusModel):
    """A role of the server, without its password."""

    name: str
    login: bool = False
    inherit: bool = True
    superuser: bool = False
    create_db: bool = False
    create_role: bool = False
    replication: bool = False
    bypass_rls: bool = False
    connection_limit: int = -1
    valid_until: str | None = None
    member_of: list[Membership] = []
    settings: list[RoleSetting] = []


class DatabaseGrant(StatusModel):
    """One privilege on the database; ``grantee`` is None for everybody."""

    grantee: str | None = None
    privilege: str
    grantable: bool = False


class DatabaseSetting(StatusModel):
    """A setting that sessions in the database begin with; ``role`` is None for everybody's."""

    role: str | None = None
    name: str
    value: str


class DatabaseDefinition(StatusModel):
    """What belongs to the database and is in no dump of its content."""

    owner: str
    connection_limit: int = -1
    grants: list[DatabaseGrant] = []
    settings: list[DatabaseSetting] = []


class Bundle(StatusModel):
    """The document."""

    kubernetes: dict[str, Any]
    roles_sql: str
    database_sql: str
    roles: list[RoleDefinition]
    database: DatabaseDefinition

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        return [item for item in self.kubernetes.get("items", []) if item.get("kind") == kind]
