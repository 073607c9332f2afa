"""What a BackupPolicy should do now: pure functions of its spec, its Backups and the time.

Everything can be told anew from the Backups: their names are made of their slots, so a slot that is decided twice
(a lost status, two operators, a clock that went back) meets the Backup that is there already.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.api.backup import BackupType
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.api.ownership import PREFIX_OWNED_BY_ANOTHER
from aada_operator.api.task import CORRUPT, DIGEST_MISMATCH, RESTORE_FAILED
from aada_operator.core import schedule
from aada_operator.core.conditions import condition_of
from aada_operator.core.resources import Object
from aada_operator.policies.world import Hold, KnownBackup, World, moment_or_none

# Below an hour the age of the newest recovery point is told in these steps: each step is a write.
_RPO_STEP = timedelta(minutes=10)
SUSPENDED = "Suspended"
_REPLACED = {CORRUPT, DIGEST_MISMATCH, RESTORE_FAILED}


@dataclass(frozen=True)
class DueSlot:
    """A slot to deal with: ``start`` says whether by a backup, ``missed`` how many slots go without one.

    ``replaces`` is the bad backup in whose place this one is taken.
    """

    slot: datetime
    start: bool
    missed: int
    type: BackupType = "Full"
    replaces: str = ""


def last_slot(recorded: str | None, backups: Iterable[KnownBackup], now: datetime) -> datetime | None:
    """The newest slot that was dealt with, by the record and by the Backups; None when none ever was.

    Never later than ``now``: a clock that was ahead for a while must not silence the schedule until that time.
    """
    moments = [moment_or_none(recorded), *(backup.scheduled_for for backup in backups)]
    dealt_with = [moment for moment in moments if moment]
    past = [moment for moment in dealt_with if moment <= now]
    return max(past) if past else now if dealt_with else None


def newest_completed(backups: Iterable[KnownBackup]) -> KnownBackup | None:
    """The completed backup with the newest content."""
    return max((b for b in backups if b.completed), key=lambda b: (b.recovery_point, b.name), default=None)


def newest_finished(backups: Iterable[KnownBackup]) -> KnownBackup | None:
    """The newest backup that came to an end, good or bad."""
    return max((b for b in backups if not b.active), key=lambda b: (b.created, b.name), default=None)


def newest_verified(backups: Iterable[KnownBackup]) -> KnownBackup | None:
    """The newest backup that is proved to be good."""
    return newest_completed(b for b in backups if b.verified == "True")


def last_verification(backups: Iterable[KnownBackup]) -> KnownBackup | None:
    """The backup whose verification told good from bad most lately; of one slot, the bad one if there is one."""
    told = [
        (_asked(b), b.verified == "False", b.verified_at, b.name, b) for b in backups if b.completed and b.verified_at
    ]
    return max(told, key=lambda entry: entry[:4])[4] if told else None


def _asked(backup: KnownBackup) -> datetime:
    """The slot that a verification answers, or when it ended where none asked."""
    slot = moment_or_none(backup.verification.request)
    ended = backup.verified_at
    assert ended, "asked of those that were verified"  # noqa: S101
    return slot or ended


def schedule_text(spec: BackupPolicySpec, hold: Hold | None) -> str:
    """A schedule as text that is another one when other slots count; none do while the policy is suspended."""
    suspended = hold is not None and hold.reason == SUSPENDED
    return " | ".join([*_expressions(spec), spec.time_zone, *([SUSPENDED] if suspended else [])])


def due_slot(
    spec: BackupPolicySpec,
    created: datetime,
    last: datetime | None,
    point: datetime | None,
    now: datetime,
    since: datetime | None = None,
) -> DueSlot | None:
    """The slot to deal with now, None when none is due.

    ``last`` is the newest slot that was dealt with, ``point`` the newest recovery point. The first backup has the
    creation of the policy as its slot. Of several missed slots only the newest is caught up, by a full backup when
    one of a full backup is among them. Those from before the schedule stands so, ``since``, nobody has missed.
    """
    if spec.full is None:
        return None
    if last is None and spec.immediate:
        return DueSlot(created, start=True, missed=0)
    after = last or created
    due = schedule.due(_expressions(spec), spec.time_zone, after, now)
    if due is None:
        return None
    start = now - due.slot <= timedelta(seconds=seconds(spec.starting_deadline)) or catch_up_needed(spec, point, now)
    full = schedule.due([spec.full.schedule], spec.time_zone, after, now)
    counted = schedule.due(_expressions(spec), spec.time_zone, max(after, since or after), now)
    missed = counted.missed + (0 if start else 1) if counted else 0
    return DueSlot(due.slot, start, missed, "Full" if full else "Incremental")


def replacement(spec: BackupPolicySpec, backups: Sequence[KnownBackup]) -> DueSlot | None:
    """A full backup now, where the newest bad one has no full one after it; its slot is the end of its verification.

    Not for a wrong key or a check of the policy, which a new backup meets again, and not for one that was itself taken
    in the place of a bad one: whatever is wrong then, the next slot is soon enough.
    """
    bad = [b for b in backups if b.completed and b.verified == "False" and b.verdict in _REPLACED and b.verified_at]
    worst = max(bad, key=lambda b: (b.verified_at, b.name), default=None)
    if spec.full is None or worst is None or worst.verified_at is None or worst.replaces:
        return None
    if any(b.full and b.created >= worst.verified_at for b in backups):
        return None
    return DueSlot(worst.verified_at, start=True, missed=0, replaces=worst.name)


def suspect(backups: Sequence[KnownBackup]) -> tuple[KnownBackup, datetime] | None:
    """A backup that counts as verified although one with which it may share chunks was found bad since, and when.

    The one whose verification is the oldest comes first: so none is asked for again before all others were.
    """
    bad: dict[str, datetime] = {}
    for backup in backups:
        epoch, damaged = backup.status.epoch, backup.verified == "False" and backup.verdict in _REPLACED
        if backup.completed and damaged and epoch and backup.verified_at:
            bad[epoch] = max(backup.verified_at, bad.get(epoch, backup.verified_at))
    good = [(b.verified_at, b.name, b) for b in backups if b.completed and b.verified == "True" and b.verified_at]
    stale = [entry for entry in good if entry[0] < bad.get(entry[2].status.epoch, entry[0])]
    oldest = min(stale, default=None)
    return (oldest[2], bad[oldest[2].status.epoch]) if oldest else None


def open_miss(noticed: str | None, newest: KnownBackup | None) -> datetime | None:
    """When a missed slot was noticed, None when none was or a backup was completed since."""
    moment = moment_or_none(noticed)
    completed = newest.completion if newest else None
    return None if moment is None or (completed and completed > moment) else moment


def is_taken(slot: datetime, backups: Iterable[KnownBackup]) -> bool:
    """Whether a slot has its Backup already, of whatever type."""
    return any(backup.scheduled_for == slot for backup in backups)


def _expressions(spec: BackupPolicySpec) -> list[str]:
    return [entry.schedule for entry in (spec.full, spec.incremental) if entry]


def catch_up_needed(spec: BackupPolicySpec, point: datetime | None, now: datetime) -> bool:
    """Whether waiting for the next slot is no choice: nothing can be recovered, or the RPO would be broken by then."""
    if point is None:
        return True
    upcoming = next_slot(spec, now)
    if spec.objectives.rpo is None or upcoming is None:
        return False
    return point + timedelta(seconds=seconds(spec.objectives.rpo)) < upcoming


def blocked(spec: BackupPolicySpec, world: World) -> Hold | None:
    """Why the policy as a whole starts nothing now, None when it may."""
    if spec.suspend:
        return Hold(SUSPENDED, "spec.suspend is true: nothing new is started")
    if world.lms is None:
        return Hold("LmsNotFound", f"AadaLms {spec.lms_ref.name} does not exist: create it or correct lmsRef")
    if (world.lms.get("spec") or {}).get("suspend"):
        return Hold(SUSPENDED, f"AadaLms {spec.lms_ref.name} is suspended: nothing new is started")
    return None


def knows_nothing(status: Object, world: World) -> bool:
    """Whether a policy has no backup but those that it is just finding in its bucket, which can be read."""
    looked = "inventory" in status or "lastSlot" in status
    readable = world.storage is not None and world.storage.ok
    return readable and not looked and all(backup.found for backup in world.backups)


def held(spec: BackupPolicySpec, world: World, due: DueSlot, now: datetime) -> Hold | None:
    """What the backup of a slot waits for, None when it can start."""
    if running := next((backup for backup in world.backups if backup.active), None):
        return Hold("Running", f"the next backup waits for Backup {running.name}", healthy=True)
    if hold := _storage_hold(world):
        return hold
    if condition_of(world.lms, "DatabaseReachable") != "True":
        return Hold("WaitingForDatabase", f"a backup is due and waits until AadaLms {spec.lms_ref.name} has a database")
    # The first backup of a new LMS shall hold its schema; one whose migrations fail is still worth a backup.
    young = now - due.slot <= timedelta(seconds=seconds(spec.starting_deadline))
    first = newest_completed(world.backups) is None
    if first and young and condition_of(world.lms, "SchemaCurrent") != "True":
        return Hold("WaitingForSchema", f"the first backup waits until AadaLms {spec.lms_ref.name} has its schema")
    return None


def _storage_hold(world: World) -> Hold | None:
    if world.storage is None:
        return Hold("Probing", "a backup is due; the storage is being probed", healthy=True)
    if not world.storage.ok:
        return Hold(world.storage.reason, f"a backup is due and waits: {world.storage.message}")
    if world.taken_by:
        message = "a backup is due and waits: the folder in the bucket is of another AadaLms, see PrefixOwned"
        return Hold(PREFIX_OWNED_BY_ANOTHER, message)
    return None


def next_slot(spec: BackupPolicySpec, now: datetime) -> datetime | None:
    """The next slot of a backup, None without a schedule."""
    return schedule.next_slot(_expressions(spec), spec.time_zone, now) if spec.full else None


def beyond_history(backups: Sequence[KnownBackup], spec: BackupPolicySpec) -> list[KnownBackup]:
    """Finished Backups of the schedule that are too many, oldest first; those made by hand are their makers'.

    Decided by order alone, so that no wrong clock deletes anything. The newest verified one always stays, and all
    completed ones do where a retention rule looks after them, or their data would go with them.
    """
    limit, kept = spec.history_limit, newest_verified(backups)
    ours = [
        b for b in backups if b.scheduled_for and b is not kept and b.verification.result != "Running" and not b.copying
    ]
    completed = sorted((b for b in ours if b.completed), key=lambda b: (b.recovery_point, b.name))
    failed = sorted((b for b in ours if b.failed), key=lambda b: (b.created, b.name))
    room = limit.successful - (1 if kept is not None and kept.scheduled_for else 0)
    keeps_all = spec.retention or spec.deletion_policy == "Delete"
    surplus = [] if keeps_all else completed[: max(0, len(completed) - max(room, 1))]
    return surplus + failed[: max(0, len(failed) - limit.failed)]


def verification_slot(
    spec: BackupPolicySpec, created: datetime, recorded: str | None, backups: Iterable[KnownBackup], now: datetime
) -> datetime | None:
    """The slot of the verification schedule for which the newest backup is to be verified, None when none is due."""
    if spec.verification.schedule is None:
        return None
    asked = [moment_or_none(recorded), *(moment_or_none(b.verification.request) for b in backups)]
    # What a clock that was ahead has asked for says nothing about the slots since.
    after = max((moment for moment in asked if moment and moment <= now), default=min(created, now))
    due = schedule.due([spec.verification.schedule], spec.time_zone, after, now)
    return due.slot if due else None


def older_sample(
    spec: BackupPolicySpec, backups: Iterable[KnownBackup], newest: KnownBackup, slot: datetime
) -> KnownBackup | None:
    """An older backup that chance chooses, the same one however often a slot is asked; None when there is none."""
    older = sorted((b for b in backups if b.completed and b.name != newest.name), key=lambda b: b.name)
    return random.Random(slot.isoformat()).choice(older) if older and spec.verification.older_sample else None  # noqa: S311 - no secret


def next_verification(spec: BackupPolicySpec, now: datetime) -> datetime | None:
    """The next slot of the verification schedule, None without one."""
    expression = spec.verification.schedule
    return schedule.next_slot([expression], spec.time_zone, now) if expression else None


def rpo_text(age: timedelta) -> str:
    """The age of the newest recovery point in coarse steps: tens of minutes, then hours, then days from the third."""
    if age < _RPO_STEP:
        return f"<{_RPO_STEP.seconds // 60}m"
    if age < timedelta(hours=1):
        return f"{age // _RPO_STEP * _RPO_STEP.seconds // 60}m"
    hours = age // timedelta(hours=1)
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def rpo_met(spec: BackupPolicySpec, created: datetime, point: datetime | None, now: datetime) -> bool | None:
    """Whether the objective is kept now; None when there is none, or the first backup still has time."""
    if spec.objectives.rpo is None:
        return None
    objective = timedelta(seconds=seconds(spec.objectives.rpo))
    if point is None:
        return None if now - created <= objective else False
    return now - point <= objective


def wake_times(spec: BackupPolicySpec, point: datetime | None, now: datetime) -> list[datetime]:
    """Moments after ``now`` at which something is due: a slot, a verification, the breach of the RPO."""
    breach = None
    if spec.objectives.rpo is not None and point is not None:
        breach = point + timedelta(seconds=seconds(spec.objectives.rpo) + 1)
    times = (next_slot(spec, now), next_verification(spec, now), breach)
    return [moment for moment in times if moment is not None and moment > now]
