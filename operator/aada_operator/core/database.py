"""What is known of a database server and of an application's roles on it: filled by an adapter, read by decisions."""

from collections.abc import Mapping
from dataclasses import dataclass

from aada_operator.api.bundle import RoleDefinition
from aada_operator.api.common import GROUP, LABEL_LMS

# A CONNECTION LIMIT that is none.
UNLIMITED = -1


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of itself; ``reserved`` connections are for superusers only, sizes are bytes.

    ``connections`` are the sessions of all but the operator.
    """

    version: str
    connections: int
    max_connections: int
    reserved: int
    size_bytes: int


@dataclass(frozen=True)
class RoleLimit:
    """A login role of an application: its CONNECTION LIMIT (-1: none), and whether the operator made it."""

    name: str
    limit: int
    ours: bool


@dataclass(frozen=True)
class ConnectionLimits:
    """What bounds the connections to a server; ``superusers`` slots are for them alone.

    ``others`` are sessions that are open now and neither of the application nor of the operator.
    """

    max_connections: int
    superusers: int
    database_limit: int = UNLIMITED
    roles: tuple[RoleLimit, ...] = ()
    others: int = 0


@dataclass(frozen=True)
class PoolerLimits:
    """What bounds a pooler's sessions at the server, and its ``clients``; 0 for ``most`` and ``per_login`` is no bound.

    ``pool_size`` is of each login, with ``reserve`` for clients that wait long; ``most`` is of the database.
    ``forced``: it goes to the server as one user, whoever its clients are.
    """

    pool_size: int
    clients: int
    reserve: int = 0
    most: int = 0
    per_login: int = 0
    forced: bool = False

    @property
    def pools(self) -> int:
        """Pools of a database: two logins take turns, and the pooler has one that looks up passwords."""
        return 2 if self.forced else 3

    @property
    def sessions(self) -> int:
        """Sessions at the server at the most; a pool of none still opens its first one."""
        of_each = max(1, self.pool_size) + self.reserve
        together = self.pools * (min(of_each, self.per_login) if self.per_login else of_each)
        return min(together, self.most) if self.most else together


@dataclass(frozen=True)
class Activity:
    """What the sessions of a server do, on average over a few looks, the operator's own left out.

    ``active`` ones run a statement: of these, ``locked`` wait for one another, ``reading`` for the disk, and
    ``computing`` for nothing, parallel workers among them. ``hidden`` ones do not say what they do.
    """

    sessions: float = 0
    active: float = 0
    locked: float = 0
    reading: float = 0
    computing: float = 0
    hidden: float = 0
    slots: int = 0


@dataclass(frozen=True)
class Names:
    """The roles and the database of one application; ``given`` is the login that its Secret names, if it has one."""

    database: str
    given: str = ""

    @property
    def owner(self) -> str:
        """Owns the database and everything in it; nobody logs in as it."""
        return f"{self.database}_owner"

    @property
    def logins(self) -> tuple[str, str]:
        """The two that take turns: one is in use, the other has no login until the next rotation."""
        return f"{self.database}_a", f"{self.database}_b"

    @property
    def login(self) -> str:
        """What the application logs in as; every session of it acts as the owner."""
        return self.given if self.given in self.logins else self.logins[0]

    @property
    def next_login(self) -> str:
        """What it logs in as after the next rotation."""
        first, second = self.logins
        return second if self.given in ("", first) else first


def role_mark(uid: str) -> str:
    """The comment on roles that were made for one AadaLms."""
    return f"{LABEL_LMS}={uid}"


@dataclass(frozen=True)
class Inventory:
    """Which of the roles and the database are there: None for what is missing, an empty comment for none."""

    admin: str
    owner_comment: str | None
    login_comment: str | None
    database_owner: str | None


@dataclass(frozen=True)
class LoginRole:
    """A role that an application logs in as, or did.

    ``acts_as_owner``: a member of the owner role, which every session of it acts as. ``owns`` counts what it owns in
    the database; ``elsewhere`` names what it owns in others. ``default_privileges`` and ``odd_grants`` count what
    cannot be handed on; ``powers`` are attributes that the owner role has not.
    """

    name: str
    comment: str
    can_login: bool
    acts_as_owner: bool
    sessions: int
    owns: int
    elsewhere: tuple[str, ...] = ()
    default_privileges: int = 0
    odd_grants: int = 0
    powers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RotationServer:
    """A server on which an application's login is to be replaced, as its admin sees it; ``logins`` are by name."""

    admin: str
    may_make_roles: bool
    database_owner: str | None
    logins: Mapping[str, LoginRole]

    def sessions(self, login: str) -> int:
        """How many sessions somebody has open as this role; 0 for one that is not there."""
        return self.logins[login].sessions if login in self.logins else 0

    def may_log_in(self, login: str) -> bool:
        """Whether the role is there and not closed."""
        return login in self.logins and self.logins[login].can_login


@dataclass(frozen=True)
class RestoreTarget:
    """Where a restore goes; ``comment`` is that of the database of the wanted name, None when there is none."""

    username: str
    major: int
    may_create: bool
    comment: str | None

    def is_taken(self, uid: str) -> bool:
        """Whether the name belongs to anything but the Restore of this uid, whose worker marks what it makes."""
        return self.comment is not None and self.comment not in (begun_mark(uid), complete_mark(uid))


@dataclass(frozen=True)
class CutoverNames:
    """The databases of a cutover: the ``live`` one, the ``restored`` one, and the name that the live one gets."""

    live: str
    restored: str
    old: str


@dataclass(frozen=True)
class CutoverServer:
    """A server on which databases are to change their names.

    ``comments`` has those of the three databases that are there; ``holds`` is what keeps the live one from getting
    another name, in words.
    """

    username: str
    may_rename: bool
    may_terminate: bool
    comments: dict[str, str]
    holds: tuple[str, ...]

    def is_swapped(self, names: CutoverNames, uid: str) -> bool:
        """Whether the live database is the one that the Restore of this uid completed."""
        return self.comments.get(names.live) == complete_mark(uid)

    def has_live(self, names: CutoverNames) -> bool:
        """Whether there is a live database to be replaced."""
        return names.live in self.comments


def begun_mark(uid: str) -> str:
    """The comment on a database that the worker of a Restore made and has not compared yet."""
    return f"{GROUP}/restore={uid}"


def complete_mark(uid: str) -> str:
    """The comment on a database whose content the worker of a Restore found equal."""
    return f"{begun_mark(uid)};complete"


def replaced_mark(uid: str) -> str:
    """The comment on a database in whose place a Restore has put another one."""
    return f"{GROUP}/replaced-by={uid}"


@dataclass(frozen=True)
class Grant:
    """One privilege on a database; ``grantee`` is None for everybody."""

    grantee: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True)
class Setting:
    """A setting that sessions in a database begin with; ``role`` is None for everybody's."""

    role: str | None
    name: str
    value: str


@dataclass(frozen=True)
class DatabaseProperties:
    """What belongs to a database and is in no backup of its content."""

    owner: str
    connection_limit: int
    grants: frozenset[Grant]
    settings: frozenset[Setting]


@dataclass(frozen=True)
class ServerRole:
    """A role that is there, and the comment on it."""

    definition: RoleDefinition
    comment: str


@dataclass(frozen=True)
class ServerRoles:
    """A server as its admin sees it: whether it may make roles, and those that are there already, by name."""

    username: str
    may_create_roles: bool
    roles: Mapping[str, ServerRole]
