"""What is known of a database server and of an application's roles on it: filled by an adapter, read by decisions."""

from dataclasses import dataclass


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
