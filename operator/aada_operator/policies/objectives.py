"""Whether a schedule can keep an objective at all: pure.

A backup holds the moment of its snapshot and exists from its manifest on. Right before that the newest content is the
one of the backup before, so what may be lost is the widest gap between two slots and the duration of a backup.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.core import schedule
from aada_operator.core.clock import human
from aada_operator.policies.world import KnownBackup

# How many of the newest backups tell how long one takes.
_MEASURED = 10
# Schedules that people write, the rarest first.
_EVERY = (
    (timedelta(hours=12), "0 */12 * * *"),
    (timedelta(hours=8), "0 */8 * * *"),
    (timedelta(hours=6), "0 */6 * * *"),
    (timedelta(hours=4), "0 */4 * * *"),
    (timedelta(hours=3), "0 */3 * * *"),
    (timedelta(hours=2), "0 */2 * * *"),
    (timedelta(hours=1), "0 * * * *"),
    (timedelta(minutes=30), "*/30 * * * *"),
    (timedelta(minutes=15), "*/15 * * * *"),
    (timedelta(minutes=5), "*/5 * * * *"),
)


@dataclass(frozen=True)
class Outlook:
    """The most that may be lost by schedule: a gap between two slots and the time of a backup (None: not measured)."""

    gap: timedelta
    takes: timedelta | None

    @property
    def worst(self) -> timedelta:
        return self.gap + (self.takes or timedelta(0))

    def keeps(self, objective: timedelta) -> bool:
        """Whether the objective can be kept; a backup that was not measured yet takes some time too."""
        return self.worst < objective if self.takes is None else self.worst <= objective


def outlook(spec: BackupPolicySpec, backups: Iterable[KnownBackup], now: datetime) -> Outlook | None:
    """The outlook of a schedule, None without one. It is that of the day, in UTC, so that it rarely changes."""
    expressions = [entry.schedule for entry in (spec.full, spec.incremental) if entry]
    if not expressions:
        return None
    day = datetime(now.year, now.month, now.day, tzinfo=UTC)
    return Outlook(schedule.widest_gap(tuple(expressions), spec.time_zone, day), _longest(backups))


def advice(spec: BackupPolicySpec, found: Outlook) -> str:
    """What keeps the objective: a schedule, where one can, and an objective."""
    takes = found.takes or timedelta(0)
    # Whole hours above, which people can remember.
    honest = f"{-(-int(found.worst.total_seconds() + 1) // 3600)}h"
    objective = timedelta(seconds=seconds(str(spec.objectives.rpo)))
    fitting = next((cron for every, cron in _EVERY if every + takes < objective), None)
    if fitting is None:
        return f"set objectives.rpo to {honest}"
    return f'set incremental: {{schedule: "{fitting}"}}, or objectives.rpo to {honest}'


def _longest(backups: Iterable[KnownBackup]) -> timedelta | None:
    completed = sorted((b for b in backups if b.completed), key=lambda b: (b.recovery_point, b.name))
    return max((b.completion - b.recovery_point for b in completed[-_MEASURED:]), default=None)


def told(found: Outlook) -> str:
    """The outlook for people."""
    if found.takes is None:
        return f"up to {human(found.gap)} pass between two backups"
    return f"up to {human(found.gap)} pass between two backups and one takes up to {human(found.takes)}"
