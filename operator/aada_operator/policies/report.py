"""What a BackupPolicy's status says: pure functions from what was observed to fields and conditions."""

from collections.abc import Collection
from datetime import timedelta

from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.api.manifest import backup_folder
from aada_operator.api.ownership import PREFIX_OWNED_BY_ANOTHER, owned_message
from aada_operator.core import conditions
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.conditions import Truth
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.policies import decide, locks, objectives, uploads
from aada_operator.policies.copies import COPIES_CURRENT
from aada_operator.policies.retention import MOST_NAMES, expired
from aada_operator.policies.world import Hold, KnownBackup, Reachability, World

STORAGE_REACHABLE = "StorageReachable"
STORAGE_RULES = "StorageRulesSafe"
PREFIX_OWNED = "PrefixOwned"
RPO_MET = "RPOMet"
RPO_UNREACHABLE = "RPOUnreachable"
RTO_AT_RISK = "RTOAtRisk"
SCHEDULE_KEPT = "ScheduleKept"
VERIFIED = "Verified"
ENCRYPTED = "Encrypted"
OFFLINE_KEY = "OfflineKey"
METHOD_CHOSEN = "MethodChosen"
IMMUTABLE = "Immutable"
KNOWN = (
    conditions.READY,
    conditions.RECONCILING,
    STORAGE_REACHABLE,
    STORAGE_RULES,
    PREFIX_OWNED,
    RPO_MET,
    RPO_UNREACHABLE,
    RTO_AT_RISK,
    SCHEDULE_KEPT,
    VERIFIED,
    ENCRYPTED,
    OFFLINE_KEY,
    METHOD_CHOSEN,
    COPIES_CURRENT,
    IMMUTABLE,
)

# What Ready says where one of these is False.
_TROUBLES = {
    RPO_MET: ("RPONotMet", "the newest recovery point is older than objectives.rpo, or there is none"),
    STORAGE_RULES: ("LifecycleDeletes", "a rule of the bucket deletes backups: see the condition StorageRulesSafe"),
    VERIFIED: ("VerificationFailed", "the last verification failed: see the condition Verified"),
    COPIES_CURRENT: ("CopiesBehind", "backups are not copied to the second place: see the condition CopiesCurrent"),
}


def facts(visit: Visit[BackupPolicySpec], world: World) -> None:
    """Everything that is read off the Backups and the bucket."""
    _storage(visit, world)
    _method(visit)
    _encryption(visit)
    _newest(visit, world.backups)
    _reachable(visit, world.backups)
    _recovery_point(visit, decide.newest_completed(world.backups))
    _verified(visit, world.backups)
    _recovery_time(visit)
    visit.conditions.set(IMMUTABLE, *locks.verdict(visit.spec))
    upcoming = decide.next_slot(visit.spec, visit.now)
    put(visit, "next", to_rfc3339(upcoming) if upcoming and not visit.spec.suspend else None)


def put(visit: Visit[BackupPolicySpec], field: str, value: object) -> None:
    """Set a field of the status; None and empty text remove it."""
    if value in (None, ""):
        visit.status.pop(field, None)
    else:
        visit.status[field] = value


def retention(visit: Visit[BackupPolicySpec], world: World, in_use: Collection[str]) -> None:
    """Whom the rule lets go: in mode Auto, and where the bucket can delete, each of these deletes itself."""
    rule = visit.spec.retention
    assert rule, "asked for only where there is a rule"  # noqa: S101
    going = expired(rule, visit.spec.time_zone, world.backups, in_use, visit.now)
    completed = [backup for backup in world.backups if backup.completed and backup.scheduled_for]
    before = visit.status.get("retention") or {}
    refused = world.storage is not None and not world.storage.deletes
    locked = [backup.name for backup in going if refused or backup.is_locked(visit.now)]
    free = [backup.name for backup in going if backup.name not in locked]
    visit.status["retention"] = {
        "mode": rule.mode,
        "kept": len(completed) - len(going),
        "expired": free[:MOST_NAMES],
        "locked": locked[:MOST_NAMES],
        "deleted": before.get("deleted", 0) + _gone_since(before, world.backups),
    }


def _gone_since(before: Object, backups: list[KnownBackup]) -> int:
    """How many of those that were told to go have gone."""
    if before.get("mode") != "Auto":
        return 0
    return len(set(before.get("expired", ())) - {backup.name for backup in backups if backup.completed})


def ready(visit: Visit[BackupPolicySpec], world: World, hold: Hold | None) -> None:
    """Ready, as the sum of all: the policy does what it says, and what it says is enough."""
    _schedule_kept(visit, decide.newest_completed(world.backups))
    status, reason, message = _ready(visit, world, hold)
    visit.conditions.set(conditions.READY, status, reason, message)
    busy = (hold is not None and reason != "Suspended") or any(backup.active for backup in world.backups)
    visit.conditions.set(conditions.RECONCILING, busy, reason if busy else "Settled")
    visit.status["phase"] = reason


def _ready(visit: Visit[BackupPolicySpec], world: World, hold: Hold | None) -> tuple[Truth, str, str]:
    if hold and not hold.healthy:
        return "False", hold.reason, hold.message
    if world.storage is None:
        return "Unknown", "Probing", "the storage is being probed"
    if trouble := _trouble(visit, world):
        return "False", *trouble
    if running := next((backup for backup in world.backups if backup.active), None):
        return "True", "Running", f"Backup {running.name} is on its way"
    return "True", "Settled", f"backups are as the policy wants them{uploads.advice(visit.spec, world.lms)}"


def _trouble(visit: Visit[BackupPolicySpec], world: World) -> tuple[str, str] | None:
    """Reason and message of the first thing that is not as it should be."""
    if world.storage is not None and not world.storage.ok:
        return world.storage.reason, world.storage.message
    last, newest = decide.newest_finished(world.backups), decide.newest_completed(world.backups)
    if last is not None and last.failed:
        return "LastBackupFailed", f"Backup {last.name} failed: see its condition Failed"
    if newest is not None and newest.suspicious:
        return "SuspiciousSize", f"Backup {newest.name} is much smaller than the one before: see its condition"
    found = next((told for kind, told in _TROUBLES.items() if visit.conditions.status_of(kind) == "False"), None)
    return found or uploads.trouble(visit)


def _storage(visit: Visit[BackupPolicySpec], world: World) -> None:
    found = world.storage
    if visit.spec.suspend:
        visit.conditions.set(STORAGE_REACHABLE, "Unknown", "Suspended", "not probed while the policy is suspended")
    elif found is None:
        visit.conditions.set(STORAGE_REACHABLE, "Unknown", "Probing", "no answer yet")
    else:
        visit.conditions.set(STORAGE_REACHABLE, found.ok, found.reason, found.message)
        if found.ok:
            visit.conditions.set(STORAGE_RULES, *_rules(visit, world, found))
            _owned(visit, world)


def _rules(visit: Visit[BackupPolicySpec], world: World, primary: Reachability) -> tuple[Truth, str, str]:
    """What is said of the rules of all places: the first harmful ones, else those of the first place."""
    place = visit.spec.copy_storage
    if place and world.copy and world.copy.ok and primary.rules[0] != "False" and world.copy.rules[0] == "False":
        status, reason, message = world.copy.rules
        return status, reason, f"{place.name}: {message}"
    return primary.rules


def _owned(visit: Visit[BackupPolicySpec], world: World) -> None:
    owner = world.storage.owner if world.storage else None
    if other := world.taken_by:
        folder = backup_folder(visit.spec.storage[0].s3.prefix, visit.namespace, visit.spec.lms_ref.name, "")
        visit.conditions.set(PREFIX_OWNED, False, PREFIX_OWNED_BY_ANOTHER, owned_message(other, folder, visit.name))
    elif owner is None:
        visit.conditions.set(PREFIX_OWNED, "Unknown", "NotMarkedYet", "the next backup marks the folder as ours")
    elif world.claim and world.claim.owns(owner):
        visit.conditions.set(PREFIX_OWNED, True, "Ours", f"marked as ours since {owner.claimed_at}")
    else:
        message = f"the next backup takes the folder over from the AadaLms of uid {owner.uid}"
        visit.conditions.set(PREFIX_OWNED, True, "TakingOver", message)


def _method(visit: Visit[BackupPolicySpec]) -> None:
    visit.status["method"] = "logical"
    if visit.spec.method == "auto":
        message = "auto: logical, which needs nothing but a role that may read everything"
        visit.conditions.set(METHOD_CHOSEN, True, "LogicalByDefault", message)
    else:
        visit.conditions.set(METHOD_CHOSEN, True, "Specified", "spec.method says so")


def _encryption(visit: Visit[BackupPolicySpec]) -> None:
    if visit.spec.encryption.mode == "None":
        message = "backups are readable for whoever can read the bucket: add recipients"
        visit.conditions.set(ENCRYPTED, False, "None", message)
        visit.conditions.set(OFFLINE_KEY, "Unknown", "NotEncrypted", "there is no key to be kept")
    else:
        count = len(set(visit.spec.encryption.recipients))
        visit.conditions.set(ENCRYPTED, True, "Age", f"for {count} recipient{'s' if count > 1 else ''}")
        _offline_key(visit, count)


def _offline_key(visit: Visit[BackupPolicySpec], recipients: int) -> None:
    """Whether a key is left when the cluster is not: the one that it verifies with dies with it."""
    if recipients == 1 and visit.spec.encryption.verification_identity_secret_ref:
        message = "the only private key is in this cluster: add a recipient whose key you keep offline"
        visit.conditions.set(OFFLINE_KEY, False, "OnlyInCluster", message)
    else:
        message = "a recipient's private key is not in this cluster: keep it safe, and try it once"
        visit.conditions.set(OFFLINE_KEY, True, "OutsideCluster", message)


def _newest(visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
    full = decide.newest_completed(backup for backup in backups if backup.full)
    incremental = decide.newest_completed(backup for backup in backups if not backup.full)
    put(visit, "lastFull", to_rfc3339(full.completion) if full else None)
    put(visit, "lastFullName", full.name if full else None)
    put(visit, "lastIncremental", to_rfc3339(incremental.completion) if incremental else None)


def _recovery_point(visit: Visit[BackupPolicySpec], newest: KnownBackup | None) -> None:
    point = newest.recovery_point if newest else None
    put(visit, "recoveryPoint", to_rfc3339(point) if point else None)
    put(visit, "rpo", decide.rpo_text(visit.now - point) if point else None)
    met = decide.rpo_met(visit.spec, from_rfc3339(visit.body["metadata"]["creationTimestamp"]), point, visit.now)
    put(visit, "rpoMet", None if met is None else str(met))
    objective = visit.spec.objectives.rpo
    if objective is None:
        visit.conditions.set(RPO_MET, "Unknown", "NoObjective", "objectives.rpo is not set")
    elif met is None:
        visit.conditions.set(RPO_MET, "Unknown", "NoBackupYet", "the first backup is still awaited")
    elif point is None:
        visit.conditions.set(RPO_MET, False, "NoBackup", f"no backup was completed within {objective}")
    elif met:
        visit.conditions.set(RPO_MET, True, "WithinObjective", f"the objective is {objective}")
    else:
        message = f"the newest recovery point, {to_rfc3339(point)}, is older than {objective}"
        visit.conditions.set(RPO_MET, False, "TooOld", message)


def _reachable(visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
    """Whether the schedule can keep the objective, whatever happens to a single backup."""
    spec, found = visit.spec, objectives.outlook(visit.spec, backups, visit.now)
    put(visit, "rpoWorstCase", f"{found.worst.total_seconds():.0f}s" if found else None)
    if spec.objectives.rpo is None:
        visit.conditions.set(RPO_UNREACHABLE, "Unknown", "NoObjective", "objectives.rpo is not set")
    elif found is None:
        visit.conditions.set(RPO_UNREACHABLE, True, "NoSchedule", "there are only backups by hand: set full")
    elif found.keeps(timedelta(seconds=seconds(spec.objectives.rpo))):
        visit.conditions.set(RPO_UNREACHABLE, False, "WithinObjective", objectives.told(found))
    else:
        fix = objectives.advice(spec, found)
        message = f"{objectives.told(found)}: {spec.objectives.rpo} cannot be kept; {fix}"
        visit.conditions.set(RPO_UNREACHABLE, True, "ScheduleTooRare", message)


def _schedule_kept(visit: Visit[BackupPolicySpec], newest: KnownBackup | None) -> None:
    """Whether every slot had its backup; a missed one is told until a backup was completed after it was noticed."""
    noticed = decide.open_miss(visit.status.get("missedAt"), newest)
    put(visit, "missedAt", to_rfc3339(noticed) if noticed else None)
    if visit.spec.full is None:
        visit.conditions.set(SCHEDULE_KEPT, "Unknown", "NoSchedule", "there are only backups by hand")
    elif noticed is None:
        visit.conditions.set(SCHEDULE_KEPT, True, "OnTime", "")
    else:
        message = (
            f"a slot up to {visit.status['lastSlot']} has no backup of its own, seen at {to_rfc3339(noticed)}: "
            "the operator, the storage or the database was away; the next completed backup ends this"
        )
        visit.conditions.set(SCHEDULE_KEPT, False, "SlotMissed", message)


def _verified(visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
    last = decide.last_verification(backups)
    passed = decide.last_verification(b for b in backups if b.verified == "True")
    put(visit, "lastVerified", passed.verification.time if passed else None)
    put(visit, "rtoMeasured", passed.verification.rto if passed else None)
    if last is not None:
        condition = next(c for c in last.status.conditions if c.type == VERIFIED)
        visit.conditions.set(VERIFIED, condition.status, condition.reason, f"Backup {last.name}: {condition.message}")
        return
    reason, message = _why_not_verified(visit.spec)
    visit.conditions.set(VERIFIED, "Unknown", reason, message)


def _recovery_time(visit: Visit[BackupPolicySpec]) -> None:
    objective, measured = visit.spec.objectives.rto, visit.status.get("rtoMeasured")
    if objective is None:
        visit.conditions.set(RTO_AT_RISK, "Unknown", "NoObjective", "objectives.rto is not set")
    elif measured is None:
        visit.conditions.set(RTO_AT_RISK, "Unknown", "NotMeasured", "the first passed verification measures it")
    else:
        risky = seconds(measured) > seconds(objective)
        message = f"the last restore took {measured}, the objective is {objective}"
        visit.conditions.set(RTO_AT_RISK, risky, "TooSlow" if risky else "WithinObjective", message)


def _why_not_verified(spec: BackupPolicySpec) -> tuple[str, str]:
    if spec.encryption.mode == "Age" and spec.encryption.verification_identity_secret_ref is None:
        return "NoIdentity", "nothing can be verified: name a key in encryption.verificationIdentitySecretRef"
    if spec.verification.schedule is None and not spec.verification.on_full:
        return "NotScheduled", "no verification is asked for: set verification.schedule or verification.onFull"
    return "NotVerifiedYet", "no backup was verified yet"
