"""The Job that deletes what belongs to no backup any more: begun now and then, followed, its result kept."""

from datetime import datetime

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import backups_in_use
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.task import CollectResult
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobState, WorkerImage
from aada_operator.policies import manifests, retention
from aada_operator.policies.manifests import PRIMARY, Bin
from aada_operator.policies.world import World


class Collector:
    """Starts and follows collections."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local

    async def advance(self, visit: Visit[BackupPolicySpec], world: World, where: Bin = PRIMARY) -> bool:
        """Follow the collection that runs, or begin one that is due; False: there is nothing to collect now."""
        known = visit.status.get(where.field) or {}
        if known.get("result") == "Running":
            visit.status[where.field] = await self._follow(visit, known, where)
            return True
        due = retention.collection_due(visit.spec, visit.status, _created(visit), visit.now, where.field)
        if due and await self._nobody_reads_or_writes(visit, world):
            visit.status[where.field] = await self._start(visit, known, world, where)
        return due

    async def _nobody_reads_or_writes(self, visit: Visit[BackupPolicySpec], world: World) -> bool:
        about_to = (visit.status.get("copies") or {}).get("backupName")
        busy = about_to or any(backup.active or backup.copying for backup in world.backups)
        return not busy and not await backups_in_use(self._kube, visit.namespace)

    async def _start(self, visit: Visit[BackupPolicySpec], known: Object, world: World, where: Bin) -> Object:
        number = known.get("number", 0) + 1
        request = manifests.collect_job(visit.body, visit.spec, number, self._allow_local, world.claim, where)
        await require_mounts(self._kube, visit.namespace, request.mounts)
        await worker_jobs.discard(self._kube, visit.body, manifests.collect_job_name(visit.name, number - 1, where))
        await worker_jobs.start(self._kube, request, self._image)
        deleted = (visit.status.get("retention") or {}).get("deleted", 0)
        kept = {name: known[name] for name in ("orphanBytes",) if name in known}
        return kept | {
            "number": number,
            "result": "Running",
            "startedAt": to_rfc3339(visit.now),
            "deletedBackups": deleted,
        }

    async def _follow(self, visit: Visit[BackupPolicySpec], known: Object, where: Bin) -> Object:
        name = manifests.collect_job_name(visit.name, known["number"], where)
        state = await worker_jobs.look(self._kube, visit.body, name)
        if state is not None and state.phase == "Running":
            return known
        return known | {"finishedAt": to_rfc3339(visit.now)} | _outcome(state)


def _outcome(state: JobState | None) -> Object:
    if state is None or state.phase == "Failed":
        return {"result": "Failed", "message": state.message if state else "the Job is gone"}
    try:
        result = CollectResult.model_validate(state.result)
    except ValidationError:
        return {"result": "Failed", "message": "the worker's result is not readable"}
    if result.postponed:
        return {"result": "Postponed", "message": result.postponed}
    return {
        "result": "Done",
        "deletedObjects": result.deleted_objects,
        "deletedBytes": result.deleted_bytes,
        "orphanBytes": result.orphan_bytes,
    }


def _created(visit: Visit[BackupPolicySpec]) -> datetime:
    return from_rfc3339(visit.body["metadata"]["creationTimestamp"])
