"""The interlock: which operations on one AadaLms may run beside each other, and whose turn it is.

All claims on an AadaLms are in one list, which its Lease keeps. Whoever may not run yet is in the list as well, so that
those who come later do not overtake. These functions are the whole rule; `adapters.interlock` keeps the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aada_operator.api.common import ANNOTATION_ON_BEHALF_OF, StatusModel
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object

OPERATION_IN_PROGRESS = "OperationInProgress"


class Operation(StrEnum):
    """What is done to an AadaLms; of those that wait, the first in this order goes first.

    A Cutover brings a school back, a migration lets a release go on, a backup may be a minute late.
    """

    CUTOVER = "Cutover"
    MIGRATION = "Migration"
    ROTATION = "Rotation"
    BACKUP = "Backup"


# Two operations exclude each other unless they stand here. A backup reads from one snapshot, but a migration's locks
# and a database that changes its name would end it, and two at once would only take each other's time. A rotation
# changes only the application's login, and backups log in as the admin.
_BESIDE_EACH_OTHER: frozenset[frozenset[Operation]] = frozenset({frozenset({Operation.ROTATION, Operation.BACKUP})})


class Claim(StatusModel):
    """What somebody does, or waits to do: ``held`` tells which.

    ``uid``, ``kind`` and ``name`` are the object whose operation it is; ``since`` is when it was first asked for, and
    ``on_behalf_of`` the uid of an object whose operation this one is a part of.
    """

    uid: str
    kind: str
    name: str
    operation: Operation
    since: str
    held: bool = False
    on_behalf_of: str = ""

    @classmethod
    def of(cls, body: Object, operation: Operation, now: datetime) -> "Claim":
        """What an object asks for."""
        metadata = body["metadata"]
        parent = (metadata.get("annotations") or {}).get(ANNOTATION_ON_BEHALF_OF, "")
        return cls(
            uid=metadata["uid"],
            kind=body["kind"],
            name=metadata["name"],
            operation=operation,
            since=to_rfc3339(now),
            on_behalf_of=parent,
        )

    def is_same(self, other: "Claim") -> bool:
        """Whether it is the same operation of the same object."""
        return (self.uid, self.operation) == (other.uid, other.operation)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.operation})"


@dataclass(frozen=True)
class Answer:
    """The list after somebody asked, and who must end or go first; nobody: the claim is held."""

    claims: tuple[Claim, ...]
    blockers: tuple[Claim, ...]


def ask(claims: tuple[Claim, ...], wanted: Claim) -> Answer:
    """Ask for a claim; asking again changes nothing until those in the way are gone.

    A part of an operation is not kept out by the operation that it belongs to, nor by those who wait for that one.
    """
    mine = next((claim for claim in claims if claim.is_same(wanted)), None)
    if mine and mine.held:
        return Answer(claims, ())
    me = mine or wanted
    others = tuple(claim for claim in claims if not claim.is_same(me))
    is_part = any(other.held and other.uid == me.on_behalf_of for other in others)
    blockers = tuple(other for other in others if _keeps_out(other, me, is_part=is_part))
    settled = me.model_copy(update={"held": not blockers})
    after = tuple(settled if claim.is_same(me) else claim for claim in claims) if mine else (*claims, settled)
    return Answer(after, blockers)


def without(claims: tuple[Claim, ...], gone: Callable[[Claim], bool]) -> tuple[Claim, ...]:
    """The list without some claims."""
    return tuple(claim for claim in claims if not gone(claim))


def disruptive(claims: Iterable[Claim]) -> Claim | None:
    """What is being done, for people: the claim that is held, the most important of several, None for nothing."""
    return min((claim for claim in claims if claim.held), key=_rank, default=None)


def exclude(one: Operation, other: Operation) -> bool:
    """Whether two operations may not run at the same time."""
    return frozenset({one, other}) not in _BESIDE_EACH_OTHER


def _keeps_out(other: Claim, me: Claim, *, is_part: bool) -> bool:
    if other.uid == me.on_behalf_of or not exclude(other.operation, me.operation):
        return False
    return other.held or (not is_part and _rank(other) < _rank(me))


def _rank(claim: Claim) -> tuple[int, str, str, str]:
    """Where it stands in the queue; no two are equal, so that nobody waits in a circle."""
    return list(Operation).index(claim.operation), claim.since, claim.name, claim.uid
