"""A Backup that is deleted under `deletionPolicy: Delete` of its policy: a finalizer holds it until its data is gone.

Its manifest and those of its copies go, which makes it no backup; its parts are collected later, as after retention.
"""

from datetime import timedelta

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.referenced import backups_in_use, claim_of
from aada_operator.adapters.storage import fetch_manifest, open_store
from aada_operator.api.backup import BackupSpec
from aada_operator.api.location import Location
from aada_operator.backups import decide, manifests, report
from aada_operator.backups.expiry import Expiry, other_owner
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.controller import FINALIZER, Visit, is_held
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import BACKUP_POLICIES, BACKUPS, Object

# In a namespace that ends the Secrets are gone before the Backups are: nobody should wait for them for long.
LONGEST_WAIT_FOR_SECRETS = timedelta(seconds=60)


class Deletion:
    """Sets the finalizer, and does what it stands for."""

    def __init__(self, kube: Kube, expiry: Expiry, allow_local: bool) -> None:
        self._kube = kube
        self._expiry = expiry
        self._allow_local = allow_local

    async def hold(self, visit: Visit[BackupSpec]) -> None:
        """Set or take away the finalizer as the policy wants it; without a policy it stays as it is."""
        policy = await self._policy(visit)
        wanted = is_held(visit.body) if policy is None else decide.deletes_data(policy)
        if wanted != is_held(visit.body):
            await self._kube.set_finalizer(BACKUPS, visit.body, FINALIZER, present=wanted)

    async def finish(self, visit: Visit[BackupSpec]) -> float | None:
        """Delete the data; None when the object may go. Whatever was done before a kill is found done.

        Raises:
            Waiting: a Restore uses it, its Job is still there, the storage cannot be reached, the bucket refuses.
        """
        policy = await self._policy(visit)
        if (policy and not decide.deletes_data(policy)) or "location" not in visit.status:
            return None
        visit.status["phase"] = "Deleting"
        report.expired(visit, "it was deleted, and its data goes with it: deletionPolicy of its policy is Delete")
        if visit.name in await backups_in_use(self._kube, visit.namespace):
            raise Waiting("InUse", "a Restore works with it: its data is deleted after that", 15.0)
        await self._stop_jobs(visit)
        try:
            await self._remove(visit)
        except Waiting as waiting:
            began = from_rfc3339(visit.body["metadata"]["deletionTimestamp"])
            if waiting.reason != "SecretMissing" or visit.now - began < LONGEST_WAIT_FOR_SECRETS:
                raise
        return None

    async def _policy(self, visit: Visit[BackupSpec]) -> Object | None:
        if not visit.spec.policy:
            return None
        return await self._kube.get(BACKUP_POLICIES, visit.namespace, visit.spec.policy)

    async def _stop_jobs(self, visit: Visit[BackupSpec]) -> None:
        """What still writes must have ended, or it would bring back what is about to go."""
        for name in manifests.job_names(visit.name, visit.status):
            await worker_jobs.discard(self._kube, visit.body, name)
            if await worker_jobs.is_there(self._kube, visit.body, name):
                raise Waiting("StoppingJobs", f"waits for the end of Job {name}", 3.0)

    async def _remove(self, visit: Visit[BackupSpec]) -> None:
        location = Location.model_validate(visit.status["location"])
        claim = await claim_of(self._kube, visit.namespace, visit.status["lms"], visit.spec.policy)
        store = await open_store(self._kube, visit.namespace, location, self._allow_local)
        if await other_owner(store, location, claim):
            return  # somebody else's data
        found = await fetch_manifest(store, location)
        if found and decide.is_own(found.manifest, visit.uid, found.sha256, visit.status):
            visit.status["manifestSha256"] = found.sha256
            await self._expiry.remove_copies(visit, claim)
            if not await self._expiry.remove(visit, store, location):
                message = f"{location.prefix}/manifest.json cannot be deleted: is the bucket write-once?"
                raise Waiting("WriteOnce", f"{message} deletionPolicy: Retain lets the object go alone", 60.0)
