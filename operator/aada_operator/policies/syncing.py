"""The Job that copies users' files: one at a time, begun by interval and after each backup, its result kept."""

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import lms_spec
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.uploads import SyncResult
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.errors import OperatorError
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobState, WorkerImage
from aada_operator.policies import manifests, uploads
from aada_operator.policies.world import World


class Syncer:
    """Starts and follows syncs."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local

    async def advance(self, visit: Visit[BackupPolicySpec], world: World) -> None:
        """Follow the sync that runs, or begin one that is due."""
        claim = uploads.claim_of(world.lms)
        if visit.spec.uploads is None or not claim:
            return
        known = visit.status.get("uploads") or {}
        if known.get("result") == "Running":
            known = visit.status["uploads"] = await self._follow(visit, known, claim)
        due = uploads.next_sync(visit.spec, {"uploads": known}, world.backups)
        if due is not None and due <= visit.now:
            visit.status["uploads"] = await self._begin(visit, world, known)

    async def _begin(self, visit: Visit[BackupPolicySpec], world: World, known: Object) -> Object:
        """Start the next Job; what it lacks is told as a failure, and tried again by the interval."""
        number, now = known.get("number", 0) + 1, to_rfc3339(visit.now)
        begun = uploads.begun(known, number, uploads.claim_of(world.lms), now)
        try:
            await self._start(visit, world, number)
        except OperatorError as trouble:
            return uploads.failed(begun, trouble.reason, trouble.message, now) | {"number": number - 1}
        return begun

    async def _start(self, visit: Visit[BackupPolicySpec], world: World, number: int) -> None:
        spec = visit.spec
        lms = lms_spec(world.lms, spec.lms_ref.name)
        readable = world.storage is not None and world.storage.ok
        wanted = uploads.awaiting(spec, visit.status.get("uploads") or {}, world.backups) if readable else []
        folders = [backup.status.location.prefix for backup in wanted if backup.status.location]
        request = manifests.sync_job(visit.body, spec, lms, number, folders, self._allow_local)
        await require_mounts(self._kube, visit.namespace, request.mounts)
        await worker_jobs.discard(self._kube, visit.body, manifests.sync_job_name(visit.name, number - 1))
        await worker_jobs.start(self._kube, request, self._image)

    async def _follow(self, visit: Visit[BackupPolicySpec], known: Object, claim: str) -> Object:
        name, now = manifests.sync_job_name(visit.name, known["number"]), to_rfc3339(visit.now)
        if known.get("claim") != claim:
            await worker_jobs.discard(self._kube, visit.body, name)
            return uploads.failed(known, "ClaimChanged", "the AadaLms names another claim now", now)
        state = await worker_jobs.look(self._kube, visit.body, name)
        if state is None:
            return uploads.failed(known, "JobLost", "the Job is gone", now)
        if state.phase == "Running":
            return known | ({"message": state.message} if state.message else {})
        if state.phase == "Failed":
            return uploads.failed(known, state.reason, state.message, now)
        return _done(known, state, now)


def _done(known: Object, state: JobState, now: str) -> Object:
    try:
        result = SyncResult.model_validate(state.result)
    except ValidationError:
        return uploads.failed(known, "ResultUnreadable", "the worker's result is not readable here", now)
    return uploads.done(known, result.model_dump(by_alias=True, exclude_none=True), now)
