"""Which backup is copied next to the second place, and how far that place is; pure."""

from dataclasses import dataclass
from datetime import datetime

from aada_operator.api.backup import CopyStatus
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.conditions import Truth
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.policies.world import KnownBackup, World, moment_or_none

COPIES_CURRENT = "CopiesCurrent"


@dataclass(frozen=True)
class Entry:
    """A completed backup, and its copy in the second place."""

    backup: KnownBackup
    copy: CopyStatus

    @property
    def done(self) -> bool:
        return self.copy.state == "Completed"

    @property
    def resting(self) -> bool:
        """Whether a try failed and the next one is not due."""
        return self.copy.state == "Waiting"

    def rests_at(self, now: datetime) -> bool:
        """Whether that still holds now."""
        moment = moment_or_none(self.copy.next_attempt)
        return self.resting and moment is not None and moment > now


def entries(spec: BackupPolicySpec, namespace: str, backups: list[KnownBackup]) -> list[Entry]:
    """The completed backups, newest content first; none without a second place."""
    place = spec.copy_storage
    if place is None:
        return []
    completed = sorted((b for b in backups if b.completed), key=lambda b: (b.recovery_point, b.name), reverse=True)
    where = [place.location_of(namespace, spec.lms_ref.name, backup.name) for backup in completed]
    return [Entry(b, b.copied_to(place.name, location)) for b, location in zip(completed, where, strict=True)]


def next_one(found: list[Entry], going: set[str], now: datetime) -> KnownBackup | None:
    """The backup whose turn it is: one that is at it, else the newest that is missing there and may be tried.

    ``going`` are names of those that retention lets go: they are not brought along any more.
    """
    if running := next((entry.backup for entry in found if entry.copy.state == "Running"), None):
        return running
    missing = (e.backup for e in found if not e.done and not e.rests_at(now) and e.backup.name not in going)
    return next(missing, None)


def report(visit: Visit[BackupPolicySpec], world: World, *, collecting: bool) -> None:
    """Say whose turn it is, and whether the second place has everything.

    While objects of no backup are being collected, or are about to be, nobody begins.
    """
    place = visit.spec.copy_storage
    if place is None:
        visit.status.pop("copies", None)
        message = "there is one place: a second entry in spec.storage holds a copy of each backup elsewhere"
        visit.conditions.set(COPIES_CURRENT, "Unknown", "NoCopy", message)
        return
    found = entries(visit.spec, visit.namespace, world.backups)
    usable = world.copy is not None and world.copy.ok
    going = set((visit.status.get("retention") or {}).get("expired", ()))
    chosen = next_one(found, going, visit.now) if usable else None
    if chosen is not None and collecting and not chosen.copying:
        chosen = None
    visit.status["copies"] = _fields(place.name, found, chosen)
    visit.conditions.set(COPIES_CURRENT, *_verdict(place.name, found, world))


def _fields(place: str, found: list[Entry], chosen: KnownBackup | None) -> Object:
    done = [entry for entry in found if entry.done]
    last = max((moment for entry in done if (moment := moment_or_none(entry.copy.time))), default=None)
    fields: Object = {"storage": place, "copied": len(done), "behind": len(found) - len(done)}
    if chosen is not None:
        fields["backupName"] = chosen.name
    return fields | ({"lastCopied": to_rfc3339(last)} if last else {})


def _verdict(place: str, found: list[Entry], world: World) -> tuple[Truth | bool, str, str]:
    """Status, reason and message of the condition."""
    missing = [entry for entry in found if not entry.done]
    if world.copy is not None and not world.copy.ok:
        return False, world.copy.reason, f"{place}: {world.copy.message}"
    if failed := next((entry.backup for entry in missing if entry.resting), None):
        message = f"{len(missing)} of {len(found)} backups are not in {place}; Backup {failed.name} could not be copied"
        return False, "Behind", f"{message}: see its condition Replicated"
    if missing:
        return "Unknown", "Copying", f"{len(missing)} of {len(found)} backups are not in {place} yet"
    stays = world.copy is not None and not world.copy.deletes
    told = "; it refuses deletions, so what retention lets go stays there" if stays else ""
    return True, "Current", f"{place} holds all {len(found)} backups{told}"


def wake_times(spec: BackupPolicySpec, namespace: str, backups: list[KnownBackup], now: datetime) -> list[datetime]:
    """Moments after ``now`` at which a copy is tried again."""
    moments = (moment_or_none(entry.copy.next_attempt) for entry in entries(spec, namespace, backups) if entry.resting)
    return [moment for moment in moments if moment is not None and moment > now]
