"""What is known of a database server and of an application's roles on it: filled by an adapter, read by decisions."""

from dataclasses import dataclass

from aada_operator.api.common import GROUP


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself; ``reserved`` connections are for superusers only, sizes are bytes."""

    version: str
    connections: int
    max_connections: int
    reserved: int
    size_bytes: int


@dataclass(frozen=True)
class Names:
    """The roles and the database of one application."""

    database: str

    @property
    def owner(self) -> str:
        """Owns the database and everything in it; nobody logs in as it."""
        return f"{self.database}_owner"

    @property
    def login(self) -> str:
        """What the application logs in as; every session of it acts as the owner."""
        return f"{self.database}_a"


@dataclass(frozen=True)
class Inventory:
    """Which of the roles and the database are there: None for what is missing, an empty comment for none."""

    admin: str
    owner_comment: str | None
    login_comment: str | None
    database_owner: str | None


@dataclass(frozen=True)
class RestoreTarget:
    """Where a restore goes; ``comment`` is that of the database of the wanted name, None when there is none."""

    username: str
    major: int
    may_create: bool
    comment: str | None

    def is_taken(self, uid: str) -> bool:
        """Whether the name belongs to anything but the Restore of this uid, whose worker marks what it makes."""
        mark = f"{GROUP}/restore={uid}"
        return self.comment is not None and self.comment.partition(";")[0] != mark
