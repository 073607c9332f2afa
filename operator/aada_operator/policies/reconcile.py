"""A BackupPolicy, visited: observe its Backups and bucket, report, ask for a verification, prune, start what is due."""

from datetime import datetime

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import backups_in_use
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.ownership import ANNOTATION_TAKE_OVER, Claim
from aada_operator.api.storage import StorageEntry
from aada_operator.core.backups import policy_name
from aada_operator.core.clock import Clock, SystemClock, from_rfc3339, to_rfc3339
from aada_operator.core.controller import FINALIZER, RESYNC, Capability, Visit, is_held
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, BACKUPS, Object, leaves
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.policies import copies, decide, manifests, report, retention, uploads
from aada_operator.policies.collection import Collector
from aada_operator.policies.gauges import gauges
from aada_operator.policies.inventory import Inventory
from aada_operator.policies.probe import StorageProbe
from aada_operator.policies.syncing import Syncer
from aada_operator.policies.world import Hold, KnownBackup, Reachability, World, moment_or_none

# Seconds until a slot that is held is looked at again; a Backup that ends wakes its policy by itself.
HELD_RETRY = 10.0
NOW = 0.0
# The probe of the second place goes under the policy's uid with this.
_COPY = "/copy"


def capability(
    kube: Kube, image: WorkerImage, allow_local: bool, clock: Clock | None = None
) -> Capability[BackupPolicySpec]:
    """The kind BackupPolicy; ``image`` runs its Jobs, ``allow_local``: storage endpoints may be loopback addresses."""
    timer = clock or SystemClock()
    probe, collector = StorageProbe(kube, allow_local), Collector(kube, image, allow_local)
    inventory, syncer = Inventory(kube, allow_local), Syncer(kube, image, allow_local)
    reconciler = PolicyReconciler(kube, probe, collector, inventory, syncer)
    return Capability(
        BACKUP_POLICIES, BackupPolicySpec, report.KNOWN, reconciler.reconcile, lambda body: gauges(body, timer)
    )


class PolicyReconciler:
    """Brings policies about; what it remembers is the probes of their buckets, which can be asked anew."""

    def __init__(
        self, kube: Kube, probe: StorageProbe, collector: Collector, inventory: Inventory, syncer: Syncer
    ) -> None:
        self._kube = kube
        self._probe = probe
        self._collector = collector
        self._inventory = inventory
        self._syncer = syncer

    async def reconcile(self, visit: Visit[BackupPolicySpec]) -> float | None:
        """One visit; returns seconds until something is due."""
        world = await self._observe(visit)
        report.facts(visit, world)
        await self._hold(visit, world.backups)
        hold, collecting = decide.blocked(visit.spec, world), False
        self._note_schedule(visit, hold)
        if hold is None and decide.knows_nothing(visit.status, world) and await self._inventory.take(visit):
            return NOW
        if hold is None:
            self._request_verification(visit, world.backups)
            await self._prune(visit, world.backups)
            collecting = await self._retain(visit, world)
            await self._syncer.advance(visit, world)
            hold = await self._start_due(visit, world)
        copies.report(visit, world, collecting=collecting)
        uploads.report(visit, world.lms)
        report.ready(visit, world, hold)
        return self._delay(visit, world, hold)

    async def _observe(self, visit: Visit[BackupPolicySpec]) -> World:
        lms = await self._kube.get(AADA_LMS, visit.namespace, visit.spec.lms_ref.name)
        bodies = await self._kube.list(BACKUPS, visit.namespace)
        backups = [KnownBackup(body) for body in bodies if policy_name(body) == visit.name]
        if visit.spec.suspend:
            return World(lms, backups, None)
        place, claim = visit.spec.copy_storage, _claim(visit, lms)
        copy = await self._look(visit, place, claim, _COPY) if place else None
        return World(lms, backups, await self._look(visit, visit.spec.storage[0], claim), copy, claim)

    async def _look(
        self, visit: Visit[BackupPolicySpec], place: StorageEntry, claim: Claim, suffix: str = ""
    ) -> Reachability | None:
        generation = int(visit.body["metadata"]["generation"])
        location = place.location_of(visit.namespace, visit.spec.lms_ref.name, "")
        return await self._probe.look(visit.uid + suffix, generation, visit.namespace, location, claim)

    def _request_verification(self, visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
        """Ask for the newest backup and an older one to be verified; the Backups read this status and act.

        One that shares chunks with a bad one is asked for, too: its own verification may be older than the damage.
        """
        doubted = decide.suspect(backups)
        named = {"backupName": doubted[0].name, "since": to_rfc3339(doubted[1])} if doubted else None
        report.put(visit, "suspect", named)
        newest = decide.newest_completed(backups)
        asked = (visit.status.get("verificationRequest") or {}).get("requestedAt")
        slot = decide.verification_slot(visit.spec, _created(visit), asked, backups, visit.now)
        if newest is not None and slot is not None:
            older = decide.older_sample(visit.spec, backups, newest, slot)
            visit.status["verificationRequest"] = {
                "backupName": newest.name,
                "olderName": older.name if older else "",
                "requestedAt": to_rfc3339(slot),
            }

    async def _hold(self, visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
        """A change of the deletion policy holds for the Backups that are there, too; new ones see to it themselves."""
        wanted = visit.spec.deletion_policy == "Delete"
        for backup in backups:
            if is_held(backup.body) != wanted and not (leaves(backup.body) and wanted):
                await self._kube.set_finalizer(BACKUPS, backup.body, FINALIZER, present=wanted)

    async def _prune(self, visit: Visit[BackupPolicySpec], backups: list[KnownBackup]) -> None:
        """Delete Backup objects beyond the history limits; their data stays in the bucket."""
        for backup in decide.beyond_history(backups, visit.spec):
            await self._kube.delete(BACKUPS, backup.body)

    async def _retain(self, visit: Visit[BackupPolicySpec], world: World) -> bool:
        """Say whom the rule lets go, which the Backups do by themselves; then collect what they leave.

        Returns whether a collection runs or is about to.
        """
        if visit.spec.retention is None:
            visit.status.pop("retention", None)
        else:
            report.retention(visit, world, await backups_in_use(self._kube, visit.namespace))
        bins = [(world.storage, manifests.PRIMARY), (world.copy, manifests.COPY)]
        able = [where for found, where in bins if found is not None and found.ok and found.deletes]
        return any([await self._collector.advance(visit, world, where) for where in able])

    def _note_schedule(self, visit: Visit[BackupPolicySpec], hold: Hold | None) -> None:
        """Remember since when the schedule stands as it does: who changes or suspends it has missed no slot."""
        text, before = decide.schedule_text(visit.spec, hold), visit.status.get("schedule")
        if before and before != text:
            visit.status["scheduleSince"] = to_rfc3339(visit.now)
        visit.status["schedule"] = text

    async def _start_due(self, visit: Visit[BackupPolicySpec], world: World) -> Hold | None:
        """Deal with the slot that is due: start its Backup, leave it out, or say what it waits for."""
        last = decide.last_slot(visit.status.get("lastSlot"), world.backups, visit.now)
        report.put(visit, "lastSlot", to_rfc3339(last) if last else None)
        newest = decide.newest_completed(world.backups)
        point = newest.recovery_point if newest else None
        since = moment_or_none(visit.status.get("scheduleSince"))
        due = decide.due_slot(visit.spec, _created(visit), last, point, visit.now, since)
        due = due or decide.replacement(visit.spec, world.backups)
        if due is None:
            return None
        if due.start and not decide.is_taken(due.slot, world.backups):
            if hold := decide.held(visit.spec, world, due, visit.now):
                return hold
            lms = visit.spec.lms_ref.name
            body = manifests.backup(visit.namespace, visit.name, lms, due.slot, due.type, due.replaces)
            await self._kube.create(BACKUPS, body)
        visit.status["lastSlot"] = to_rfc3339(due.slot)
        visit.status["missedSlots"] = visit.status.get("missedSlots", 0) + due.missed
        if due.missed:
            visit.status["missedAt"] = to_rfc3339(visit.now)
        return None

    def _delay(self, visit: Visit[BackupPolicySpec], world: World, hold: Hold | None) -> float:
        newest = decide.newest_completed(world.backups)
        point = newest.recovery_point if newest else None
        moments = decide.wake_times(visit.spec, point, visit.now)
        moments += copies.wake_times(visit.spec, visit.namespace, world.backups, visit.now)
        if collection := retention.next_collection(visit.spec, visit.status, _created(visit), visit.now):
            moments.append(collection)
        if sync := uploads.next_sync(visit.spec, visit.status, world.backups):
            moments.append(max(sync, visit.now + uploads.SOON))
        waits = [(moment - visit.now).total_seconds() for moment in moments]
        if not visit.spec.suspend:
            waits.append(self._probe.pause(visit.uid))
            waits += [self._probe.pause(visit.uid + _COPY)] if visit.spec.copy_storage else []
        return min([*waits, HELD_RETRY if hold else RESYNC, RESYNC])


def _claim(visit: Visit[BackupPolicySpec], lms: Object | None) -> Claim:
    """Who this policy acts for."""
    uid = str(lms["metadata"]["uid"]) if lms else ""
    take_over, lms_name = visit.annotations.get(ANNOTATION_TAKE_OVER, ""), visit.spec.lms_ref.name
    return Claim(namespace=visit.namespace, lms=lms_name, uid=uid, take_over=take_over, policy=visit.name)


def _created(visit: Visit[BackupPolicySpec]) -> datetime:
    return from_rfc3339(visit.body["metadata"]["creationTimestamp"])
