"""The end of a Backup whose policy keeps it no longer: the manifest goes, which makes it no backup, then the object.

The policy says in its status whom its rule lets go; the Backup acts. Its parts may be shared with others: they are
collected later, by a Job of the policy.
"""

import logging

from aada_operator.adapters.folder_owner import read_owner
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.adapters.referenced import backups_in_use, claim_of, policy_spec
from aada_operator.adapters.storage import ask, open_store, remove_manifest
from aada_operator.api.backup import BackupSpec
from aada_operator.api.location import Location
from aada_operator.api.manifest import lms_folder
from aada_operator.api.ownership import Claim, owned_message
from aada_operator.backups import decide, report
from aada_operator.core.controller import RESYNC, Visit
from aada_operator.core.errors import OperatorError
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS

NOW = 0.0
logger = logging.getLogger(__name__)


class Expiry:
    """Deletes Backups and what makes them backups."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local

    async def is_due(self, visit: Visit[BackupSpec]) -> bool:
        """Whether the policy, as it is now, lets this backup go, and nobody uses it."""
        policy = await self._kube.get(BACKUP_POLICIES, visit.namespace, visit.spec.policy)
        if not decide.is_let_go(visit.name, policy or {}, visit.status):
            return False
        return visit.name not in await backups_in_use(self._kube, visit.namespace)

    def begin(self, visit: Visit[BackupSpec]) -> float:
        """Say so before anything is done, so that nobody relies on it any more."""
        visit.status["phase"] = "Deleting"
        report.expired(visit, "its policy's retention keeps it no longer")
        return NOW

    async def finish(self, visit: Visit[BackupSpec]) -> float | None:
        """Delete; whatever was done before a kill is found done."""
        claim = await claim_of(self._kube, visit.namespace, visit.status["lms"], visit.spec.policy)
        location = Location.model_validate(visit.status["location"])
        store = await open_store(self._kube, visit.namespace, location, self._allow_local)
        if other := await other_owner(store, location, claim):
            report.expired(visit, f"not deleted: {other}")
            return RESYNC
        await self.remove_copies(visit, claim)
        if not await self.remove(visit, store, location):
            report.expired(visit, f"{location.prefix}/manifest.json cannot be deleted: is the bucket write-once?")
            return RESYNC
        failpoint("backup.expiry.after-manifest")
        await self._kube.delete(BACKUPS, visit.body)
        return None

    async def remove(self, visit: Visit[BackupSpec], store: ObjectStore, location: Location) -> bool:
        """Delete the manifest that the status tells of; False when the bucket refuses."""
        return await remove_manifest(store, location, visit.status["manifestSha256"])

    async def remove_copies(self, visit: Visit[BackupSpec], claim: Claim) -> None:
        """The manifests in other places; one that refuses, is another's or is named by nobody any more keeps its copy.

        Raises:
            Waiting: a place that the policy names cannot be reached: otherwise nobody would think of it again.
        """
        body = await self._kube.get(BACKUP_POLICIES, visit.namespace, visit.spec.policy)
        policy = policy_spec(body, visit.spec.policy) if body else None
        named = {place.name for place in policy.storage} if policy else set()
        for copy in decide.copies_of(visit.status):
            try:
                store = await open_store(self._kube, visit.namespace, copy.location, self._allow_local)
                other = await other_owner(store, copy.location, claim)
                gone = not other and await remove_manifest(store, copy.location, visit.status["manifestSha256"])
            except OperatorError:
                if copy.name in named:
                    raise
                gone = False
            if not gone:
                logger.warning("the copy in %s stays", copy.name, extra={"backup": visit.name})
            failpoint("backup.expiry.after-copy")


async def other_owner(store: ObjectStore, location: Location, claim: Claim) -> str:
    """Whose the folder is, in words, if it is not this LMS's; nothing is deleted there then."""
    folder = lms_folder(location.prefix)
    owner = await ask(read_owner, store, folder)
    return owned_message(owner, folder, claim.policy) if owner and not claim.owns(owner) else ""
