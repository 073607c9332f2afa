"""Backups that the bucket has and the cluster does not: after the loss of a cluster their objects are made again.

Only a policy that never made a backup and has none looks: an object that somebody deleted must not come back.
"""

import re
from datetime import UTC, datetime

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.storage import fetch_manifest, in_thread, open_store
from aada_operator.api.backup import BackupType
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.location import Location
from aada_operator.api.manifest import Manifest, backup_folder
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.errors import Stalled
from aada_operator.core.resources import BACKUPS
from aada_operator.policies import manifests

_SLOT = re.compile(r".*-(?:full|incr)-(\d{8}t\d{4})z")
# As long as the name of a Backup may be.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")


class Inventory:
    """Makes the Backup objects of a bucket."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local

    async def take(self, visit: Visit[BackupPolicySpec]) -> int:
        """Make an object for each completed backup of this policy; each finds its data and is completed at once.

        Returns how many there are.

        Raises:
            Waiting: the storage cannot be read; the next visit begins again, and meets what is there already.
        """
        s3, lms = visit.spec.storage[0].s3, visit.spec.lms_ref.name
        place = s3.location(backup_folder(s3.prefix, visit.namespace, lms, ""))
        store = await open_store(self._kube, visit.namespace, place, self._allow_local)
        names = await in_thread(lambda: sorted(store.folders(f"{place.prefix}/")))
        found = 0
        for name in filter(_NAME.fullmatch, names):
            location = s3.location(backup_folder(s3.prefix, visit.namespace, lms, name))
            if manifest := await self._manifest(store, location):
                found += await self._make(visit, manifest, name)
        visit.status["inventory"] = {"takenAt": to_rfc3339(visit.now), "found": found}
        return found

    async def _manifest(self, store: ObjectStore, location: Location) -> Manifest | None:
        """The manifest in a folder; None where there is none, or none that can be read: it is no backup here."""
        try:
            found = await fetch_manifest(store, location)
        except Stalled:
            return None
        return found.manifest if found else None

    async def _make(self, visit: Visit[BackupPolicySpec], manifest: Manifest, name: str) -> bool:
        if not is_of(manifest, visit.namespace, visit.spec.lms_ref.name, visit.name, name):
            return False
        kind: BackupType = "Incremental" if manifest.base else "Full"
        lms = visit.spec.lms_ref.name
        body = manifests.found_backup(visit.namespace, visit.name, lms, name, kind, slot_of(name), visit.now)
        await self._kube.create(BACKUPS, body)
        return True


def is_of(manifest: Manifest, namespace: str, lms: str, policy: str, name: str) -> bool:
    """Whether a manifest tells of a backup of this policy."""
    names = (manifest.namespace, manifest.lms, manifest.policy or policy, manifest.backup)
    return names == (namespace, lms, policy, name)


def slot_of(name: str) -> datetime | None:
    """The slot that the name of a schedule's backup is made of; None for one that was made by hand."""
    found = _SLOT.fullmatch(name)
    return datetime.strptime(found[1], "%Y%m%dt%H%M").replace(tzinfo=UTC) if found else None
