"""Whether the database is the limit: more pods would only ask more of it at the same time; pure."""

from dataclasses import dataclass
from datetime import timedelta

from aada_operator.api.scaling import ScalingPolicySpec
from aada_operator.core.database import Activity

DATABASE_BOUND = "DatabaseBound"
# Fewer sessions at work than these prove nothing when they wait.
FEW = 5
WAITING = 0.5
IN_USE = 0.9
# How long it must be the limit until it counts, and how long not until it does not any more.
ENTER, LEAVE = timedelta(seconds=60), timedelta(minutes=5)
_MOST_CPU = 0.9


@dataclass(frozen=True)
class Pressure:
    """What one look at the database found: ``bound`` is None when nobody knows; reason and message say why."""

    bound: bool | None
    reason: str
    message: str = ""


UNASKED = Pressure(None, "Unasked")


def judge(spec: ScalingPolicySpec, seen: Activity, cpu: float | None) -> Pressure:
    """Whether the database is the limit now; ``cpu`` is the part of its cores in use, None when nobody asked."""
    cores = spec.database_bound.cores
    if seen.hidden >= 1:
        message = "the admin of the database does not see what sessions do: GRANT pg_read_all_stats to it"
        return Pressure(None, "SessionsNotVisible", f"{message}, and leave track_activities on")
    if seen.slots and seen.sessions >= IN_USE * seen.slots:
        count = f"{seen.sessions:.0f} of {seen.slots} connections are in use"
        return Pressure(True, "ConnectionsInUse", f"{count}: smaller pools, PgBouncer, or more max_connections")
    waiting = seen.locked + seen.reading
    if seen.active >= FEW and waiting >= WAITING * seen.active:
        count = f"{waiting:.0f} of {seen.active:.0f} sessions at work wait, {seen.locked:.0f} for locks"
        count += f" and {seen.reading:.0f} for the disk"
        return Pressure(True, "SessionsWait", f"{count}: wait_event and query_id in pg_stat_activity say where")
    if cores and seen.computing > cores:
        count = f"{seen.computing:.0f} sessions compute on {cores} cores"
        return Pressure(True, "DatabaseCpuBusy", f"{count}: an index for the slowest query, or more cores")
    if cpu is not None and cpu >= _MOST_CPU:
        count = f"{cpu:.0%} of the database's CPU are in use"
        return Pressure(True, "DatabaseCpuBusy", f"{count}: an index for the slowest query, or more cores")
    return Pressure(False, "HasRoom")
