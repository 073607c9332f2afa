"""Where the application reads, from what was seen of the replica: no I/O and no clock here.

What was decided last stands on the EndpointSlice, so that an operator that knows nothing goes on with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from aada_operator.api.read_replica import (
    ANNOTATION_LEFT_REPLICA_AT,
    ANNOTATION_RDS,
    ANNOTATION_READS_FROM,
    Place,
    RdsReplica,
    RecordedReplica,
)
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.conditions import Truth
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import Object

REPLICA: Place = "Replica"
PRIMARY: Place = "Primary"
# So long reads stay away from a replica that they have left, however well it does meanwhile.
AWAY = timedelta(minutes=1)


@dataclass(frozen=True)
class Reads:
    """Where reads are led, and when they left the replica last; None: never. ``rds`` was asked for there."""

    place: Place = PRIMARY
    left_at: datetime | None = None
    rds: RecordedReplica | None = None


@dataclass(frozen=True)
class Seen:
    """What a look at the replica found: how many seconds it is behind, or why nobody knows.

    ``status`` is False for what is wrong, Unknown for what is meant to be so. ``unclear``: the replica may well be all
    right, since it was the primary that did not answer.
    """

    lag: float | None = None
    reason: str = ""
    message: str = ""
    status: Truth = "False"
    unclear: bool = False


@dataclass(frozen=True)
class Verdict:
    """Where reads belong, and the condition that says so."""

    reads: Reads
    status: Truth
    reason: str
    message: str = ""


def reads_of(endpoint_slice: Object | None) -> Reads | None:
    """What was decided last; None when there is no EndpointSlice."""
    if endpoint_slice is None:
        return None
    notes = endpoint_slice["metadata"].get("annotations") or {}
    left = notes.get(ANNOTATION_LEFT_REPLICA_AT)
    place = REPLICA if notes.get(ANNOTATION_READS_FROM) == REPLICA else PRIMARY
    return Reads(place, from_rfc3339(left) if left else None, _recorded(notes.get(ANNOTATION_RDS, "")))


def _recorded(text: str) -> RecordedReplica | None:
    try:
        return RecordedReplica.model_validate_json(text) if text else None
    except ValidationError:
        return None


def recorded(before: RecordedReplica | None, declared: RdsReplica | None) -> RecordedReplica | None:
    """What is to be noted of a replica in RDS: another one than before only once that is forgotten."""
    if declared is None or (before and not before.declared.is_same(declared)):
        return before
    return before.model_copy(update={"declared": declared}) if before else RecordedReplica(declared=declared)


def is_cut_over(claims: Iterable[Claim]) -> bool:
    """Whether databases are about to change their names."""
    return any(claim.held and claim.operation is Operation.CUTOVER for claim in claims)


def judge(before: Reads | None, seen: Seen, limit: float, now: datetime) -> Verdict:
    """Where reads belong: out at the ``limit``, back at half of it, and not at once.

    While the primary is away reads stay where they are: it could not answer them either.
    """
    known = before or Reads()
    if seen.lag is None:
        return Verdict(known if seen.unclear else _left(known, now), seen.status, seen.reason, seen.message)
    if seen.lag >= limit:
        message = (
            f"it is {limit:g} s behind or more: reads go to the primary, and back once it is less than half of that"
        )
        return Verdict(_left(known, now), "False", "ReplicaLagging", message)
    if known.place == REPLICA or _may_return(known, seen.lag, limit, now):
        return Verdict(replace(known, place=REPLICA), "True", "ReadsFromReplica")
    message = f"it is less than {limit:g} s behind again: reads go back to it after a minute, below half of that"
    return Verdict(known, "False", "ReplicaCatchingUp", message)


def _left(before: Reads, now: datetime) -> Reads:
    return replace(before, place=PRIMARY, left_at=now if before.place == REPLICA else before.left_at)


def _may_return(before: Reads, lag: float, limit: float, now: datetime) -> bool:
    return lag < limit / 2 and (before.left_at is None or now - before.left_at >= AWAY)
