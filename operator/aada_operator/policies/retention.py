"""Which backups stay, and why: a pure function of the rule and of what each backup holds.

Time is the newest content there is, never a clock of ours: when backups stop, none is too old any more, and a clock
that runs ahead deletes nothing.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.api.retention import Retention
from aada_operator.core.resources import Object
from aada_operator.policies.world import KnownBackup, moment_or_none

# What was deleted is collected soon, and what killed tries left once a day.
COLLECT_SOON, COLLECT_ALWAYS = timedelta(hours=1), timedelta(days=1)
# At most so many names are in the status; the next visits have the others.
MOST_NAMES = 20
Period = tuple[int, ...]
# What tells one period from another, in the order in which a reason is given.
PERIODS: dict[str, Callable[[datetime], Period]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour, at.fold),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: tuple(at.isocalendar())[:2],
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


def expired(
    rule: Retention, time_zone: str, backups: Iterable[KnownBackup], in_use: Collection[str], now: datetime
) -> list[KnownBackup]:
    """The completed backups of the schedule that no reason keeps, oldest first; ``in_use`` are names."""
    ours = [backup for backup in backups if backup.completed and backup.scheduled_for]
    reasons = kept(rule, time_zone, ours, in_use, now)
    return sorted((b for b in ours if b.name not in reasons), key=lambda b: (b.recovery_point, b.name))


def kept(
    rule: Retention, time_zone: str, backups: Sequence[KnownBackup], in_use: Collection[str], now: datetime
) -> dict[str, str]:
    """Why each of these completed backups stays, by name; one that is missing has no reason to.

    A backup that was found to be bad counts for nothing: it stays while it is young, and in no good one's place. One of
    a suspicious size stays as a good one would, but takes no place: the others stay as if it were not there.
    """
    newest_first = sorted(backups, key=lambda b: (b.recovery_point, b.name), reverse=True)
    good = [backup for backup in newest_first if backup.verified != "False"]
    if not good:
        return {backup.name: "NothingBetter" for backup in backups}
    reasons: dict[str, str] = {}
    for counted in (good, [backup for backup in good if not backup.suspicious]):
        for name, chosen in _reasons(rule, ZoneInfo(time_zone), newest_first, counted, in_use, now):
            for backup in chosen:
                reasons.setdefault(backup.name, name)
    return reasons


def _reasons(
    rule: Retention,
    zone: ZoneInfo,
    newest_first: list[KnownBackup],
    good: list[KnownBackup],
    in_use: Collection[str],
    now: datetime,
) -> Iterable[tuple[str, list[KnownBackup]]]:
    yield "InUse", [b for b in newest_first if b.name in in_use or b.verification.result == "Running" or b.copying]
    yield "LastVerified", [b for b in good if b.verified == "True"][:1]
    yield "MinCount", good[: rule.min_count]
    if rule.max_age is not None and good:
        oldest = min(now, good[0].recovery_point) - timedelta(seconds=seconds(rule.max_age))
        yield "MaxAge", [b for b in newest_first if b.recovery_point >= oldest]
    for period, tell in PERIODS.items():
        if count := getattr(rule, period):
            yield period.capitalize(), _newest_of_each(good, lambda b, tell=tell: tell(_local(b, zone)), count)  # type: ignore[misc]


def _newest_of_each(
    newest_first: list[KnownBackup], period_of: Callable[[KnownBackup], Period], count: int
) -> list[KnownBackup]:
    """The newest backup of each of the ``count`` newest periods that have one."""
    chosen: dict[Period, KnownBackup] = {}
    for backup in newest_first:
        chosen.setdefault(period_of(backup), backup)
    return list(chosen.values())[:count]


def _local(backup: KnownBackup, zone: ZoneInfo) -> datetime:
    return backup.recovery_point.astimezone(zone)


def collects(spec: BackupPolicySpec) -> bool:
    """Whether data of this policy's backups is ever deleted, so that there is something to collect."""
    return spec.deletion_policy == "Delete" or (spec.retention is not None and spec.retention.mode == "Auto")


def collection_due(
    spec: BackupPolicySpec, status: Object, created: datetime, now: datetime, field: str = "collection"
) -> bool:
    """Whether objects of no backup are to be collected now; never where nothing deletes backups.

    ``field`` of the status tells of the last collection in the place that is asked for.
    """
    if not collects(spec):
        return False
    known = status.get(field) or {}
    deleted = (status.get("retention") or {}).get("deleted", 0)
    began = moment_or_none(known.get("startedAt"))
    if deleted > known.get("deletedBackups", 0):
        return began is None or now - began >= COLLECT_SOON
    return now - (began or created) >= COLLECT_ALWAYS


def next_collection(spec: BackupPolicySpec, status: Object, created: datetime, now: datetime) -> datetime | None:
    """The next moment at which `collection_due` may become true by itself."""
    if not collects(spec):
        return None
    began = moment_or_none((status.get("collection") or {}).get("startedAt")) or created
    return min((began + pause for pause in (COLLECT_SOON, COLLECT_ALWAYS) if began + pause > now), default=None)
