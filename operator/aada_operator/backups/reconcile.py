"""A Backup, visited: wait for its turn, look for it in the bucket, run one Job per attempt, keep what the Job said.

Everything that decides is in the status before it is acted upon (which attempt, where to, until when) or in the world
(Jobs named after their attempts, the manifest in the bucket), so that a restarted operator goes on where it was and a
backup that exists is never taken twice.
"""

from dataclasses import replace
from datetime import timedelta

from pydantic import ValidationError

from aada_operator.adapters import interlock, worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import claim_of, lms_of, policy_of
from aada_operator.adapters.storage import StoredManifest, fetch_manifest, open_store
from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR, ENDED, BackupSpec
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.common import seconds
from aada_operator.api.location import Location
from aada_operator.api.task import BackupResult
from aada_operator.backups import decide, importing, manifests, outcome, report
from aada_operator.backups.bundle import bundle_order
from aada_operator.backups.checkpoint import Checkpoint, sooner
from aada_operator.backups.chunk_key import ensure_chunk_key
from aada_operator.backups.copying import Copier
from aada_operator.backups.deletion import Deletion
from aada_operator.backups.expiry import Expiry
from aada_operator.backups.gauges import gauges
from aada_operator.backups.manifests import Context
from aada_operator.backups.verification import Verifier
from aada_operator.core.attempts import FIRST_RETRY, LONGEST_RETRY, retry_at, until
from aada_operator.core.clock import from_rfc3339, human_bytes, to_rfc3339
from aada_operator.core.controller import Capability, Visit
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS, Claim, Operation
from aada_operator.core.resources import BACKUPS
from aada_operator.core.worker_jobs import JobState, WorkerImage
from aada_operator.core.workqueue import backoff

NOW = 0.0
POLL = 3.0
# These say nothing about the backup: the operator itself cannot reach its API server.
_API_TROUBLE = frozenset({"ApiServerUnreachable", "ApiServerBusy", "Conflict"})


def capability(kube: Kube, image: WorkerImage, allow_local: bool) -> Capability[BackupSpec]:
    """The kind Backup; ``image`` runs its Jobs, ``allow_local``: storage endpoints may be loopback addresses."""
    reconciler = BackupReconciler(kube, image, allow_local)
    return Capability(BACKUPS, BackupSpec, report.KNOWN, reconciler.reconcile, gauges, reconciler.finalize)


class BackupReconciler:
    """Brings Backups about."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local
        self._expiry = Expiry(kube, allow_local)
        self._deletion = Deletion(kube, self._expiry, allow_local)
        self._checkpoint = Checkpoint(kube, allow_local)
        self._verifier = Verifier(kube, image, allow_local)
        self._copier = Copier(kube, image, allow_local)

    async def reconcile(self, visit: Visit[BackupSpec]) -> float | None:
        """One visit; returns seconds until the next one. A final phase is never left."""
        await self._deletion.hold(visit)
        _identify(visit)
        match visit.status.get("phase"):
            case "Completed" if visit.spec.import_from:
                return await self._verifier.reconcile(visit)
            case "Completed" if await self._expiry.is_due(visit):
                return self._expiry.begin(visit)
            case "Completed":
                report.immutable(visit)
                report.size_accepted(visit)
                delay = await self._checkpoint.look(visit)
                delay = sooner(delay, await self._verifier.reconcile(visit))
                return sooner(delay, await self._copier.reconcile(visit))
            case "Deleting":
                return await self._expiry.finish(visit)
            case "Failed":
                return None
            case _:
                return await self._bring_about(visit)

    async def finalize(self, visit: Visit[BackupSpec]) -> float | None:
        """One visit to a Backup that is deleted and held by our finalizer; None when it may go."""
        return await self._deletion.finish(visit)

    async def _bring_about(self, visit: Visit[BackupSpec]) -> float:
        """Take the next step; while no Job runs and none is about to, nobody is kept waiting."""
        try:
            delay = await self._next(visit)
        except Waiting:
            if visit.status.get("phase") == "Pending":
                await self._let_others_work(visit)
            raise
        if visit.status.get("phase") in ENDED or "nextAttempt" in visit.status:
            await self._let_others_work(visit)
        return delay

    async def _let_others_work(self, visit: Visit[BackupSpec]) -> None:
        if lms := visit.status.get("lms"):
            await interlock.release(self._kube, visit.namespace, lms, visit.uid)

    async def _next(self, visit: Visit[BackupSpec]) -> float:
        try:
            if visit.spec.import_from:
                return await importing.find(self._kube, self._allow_local, visit, visit.spec.import_from)
            if "deadline" not in visit.status:
                return await self._admit(visit)
            if not visit.status.get("attempt") or "nextAttempt" in visit.status:
                return await self._prepare(visit)
            return await self._follow(visit)
        except Stalled as refused:
            report.failed(visit, refused.reason, refused.message)
            return NOW
        except Waiting as waiting:
            if waiting.reason in _API_TROUBLE:
                raise
            if _is_over(visit):
                report.failed(visit, waiting.reason, waiting.message)
                return NOW
            queued = waiting.reason == OPERATION_IN_PROGRESS
            phase = "Queued" if queued else visit.status.get("phase", "Pending")
            report.under_way(visit, phase, "Queued" if queued else waiting.reason, waiting.message)
            raise

    async def _admit(self, visit: Visit[BackupSpec]) -> float:
        """Wait for policy, LMS and one's turn; then write down where to and until when."""
        visit.status["phase"] = "Pending"
        policy = await policy_of(self._kube, visit.namespace, visit.spec.policy)
        await lms_of(self._kube, visit.namespace, policy.lms_ref.name)
        report.encrypted(visit, policy.encryption.mode)
        if visit.status.get("lms") != policy.lms_ref.name:
            visit.status |= {"lms": policy.lms_ref.name, "method": "logical"}
            return NOW
        await self._take_turn(visit)
        location = decide.location_of(policy, visit.namespace, visit.name)
        visit.status["location"] = location.model_dump(by_alias=True, exclude_defaults=True)
        visit.status["startTime"] = to_rfc3339(visit.now)
        visit.status["deadline"] = to_rfc3339(visit.now + timedelta(seconds=seconds(policy.starting_deadline)))
        report.under_way(visit, "Pending", "Starting", "looking into the bucket")
        return NOW

    async def _take_turn(self, visit: Visit[BackupSpec]) -> None:
        """Claim the LMS for a backup, which another one, a migration or a Cutover excludes."""
        wanted = Claim.of(visit.body, Operation.BACKUP, visit.now)
        await interlock.claim(self._kube, visit.namespace, visit.status["lms"], wanted)

    async def _prepare(self, visit: Visit[BackupSpec]) -> float:
        """Write down the next attempt, unless the backup is in the bucket already: then take it over."""
        if wait := until(visit.status.get("nextAttempt"), visit.now):
            return wait
        if (found := await self._find(visit)) is not None:
            return await self._adopt(visit, found)
        visit.status.pop("nextAttempt", None)
        visit.status["attempt"] = visit.status.get("attempt", 0) + 1
        report.under_way(visit, "Pending", "Starting", f"attempt {visit.status['attempt']}")
        return NOW

    async def _follow(self, visit: Visit[BackupSpec]) -> float:
        """Start the Job of the present attempt, or see how far it is."""
        name = manifests.backup_job_name(visit.name, visit.status["attempt"])
        state = await worker_jobs.look(self._kube, visit.body, name)
        if state is None and visit.status["phase"] in ("Pending", "Queued"):
            return await self._start(visit)
        state = state or JobState("Failed", reason="JobLost", message=f"Job {name} is gone")
        if state.phase == "Running":
            return await self._watch(visit, state)
        return await (self._complete if state.phase == "Succeeded" else self._after_failure)(visit, state)

    async def _start(self, visit: Visit[BackupSpec]) -> float:
        attempt = visit.status["attempt"]
        policy = await policy_of(self._kube, visit.namespace, visit.spec.policy)
        lms = await lms_of(self._kube, visit.namespace, policy.lms_ref.name)
        base = await self._base(visit)
        claim = await claim_of(self._kube, visit.namespace, policy.lms_ref.name, visit.spec.policy)
        await ensure_chunk_key(self._kube, visit.namespace, policy.lms_ref.name)
        bundle = await bundle_order(self._kube, visit.namespace, policy, lms)
        request = manifests.backup_job(replace(self._context(visit, policy), claim=claim), lms, attempt, base, bundle)
        await require_mounts(self._kube, visit.namespace, request.mounts)
        await self._take_turn(visit)
        await worker_jobs.discard(self._kube, visit.body, manifests.backup_job_name(visit.name, attempt - 1))
        await worker_jobs.start(self._kube, request, self._image)
        report.under_way(visit, "Running", "Running", f"attempt {attempt} runs")
        return POLL

    async def _base(self, visit: Visit[BackupSpec]) -> str | None:
        """The backup whose chunks this one may share; None for a full one, and when there is none."""
        if visit.spec.type == "Full":
            return None
        location = Location.model_validate(visit.status["location"])
        return decide.base_of(location, visit.status["lms"], await self._kube.list(BACKUPS, visit.namespace))

    async def _watch(self, visit: Visit[BackupSpec], state: JobState) -> float:
        said = outcome.progress_fields(await worker_jobs.progress(self._kube, visit.namespace, state))
        if said["stage"]:
            visit.status["progress"] = said
        message = state.message or f"attempt {visit.status['attempt']} runs"
        report.under_way(visit, decide.phase_of(said["stage"]), state.reason or "Running", message)
        return POLL

    async def _complete(self, visit: Visit[BackupSpec], state: JobState) -> float:
        try:
            result = BackupResult.model_validate(state.result)
        except ValidationError:
            lost = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable here")
            return await self._after_failure(visit, lost)
        return await self._keep(visit, result, adopted=False)

    async def _after_failure(self, visit: Visit[BackupSpec], state: JobState) -> float:
        """Try again later, or give up; a worker that was killed may have completed its backup before."""
        delay = backoff(visit.status["attempt"], FIRST_RETRY, LONGEST_RETRY)
        moment = retry_at(state, from_rfc3339(visit.status["deadline"]), visit.now, delay)
        if moment is not None:
            visit.status["nextAttempt"] = to_rfc3339(moment)
            visit.status.pop("progress", None)
            message = f"attempt {visit.status['attempt']} failed, another one follows: {state.message}"
            report.retrying(visit, state.reason, message)
            return delay
        if (found := await self._find(visit)) is not None:
            return await self._adopt(visit, found)
        report.failed(visit, state.reason, state.message)
        return NOW

    async def _find(self, visit: Visit[BackupSpec]) -> StoredManifest | None:
        location = Location.model_validate(visit.status["location"])
        store = await open_store(self._kube, visit.namespace, location, self._allow_local)
        return await fetch_manifest(store, location)

    async def _adopt(self, visit: Visit[BackupSpec], found: StoredManifest) -> float:
        names = (visit.namespace, visit.status["lms"], visit.status["policy"], visit.name)
        if not decide.is_of(found.manifest, *names, visit.uid):
            folder = visit.status["location"]["prefix"]
            raise Stalled(
                "NameTaken", f"{folder} holds another backup: create a Backup of another name, or move that folder away"
            )
        result = outcome.result_of(found.manifest, found.sha256)
        return await self._keep(visit, result, adopted=found.manifest.uid != visit.uid)

    async def _keep(self, visit: Visit[BackupSpec], result: BackupResult, *, adopted: bool) -> float:
        visit.status |= outcome.completed_fields(result, visit.status.get("startTime"))
        for field in ("progress", "nextAttempt"):
            visit.status.pop(field, None)
        content = f"{result.tables} tables, {result.rows} rows, as of {visit.status['recoverableFrom']}"
        if result.base:
            content += f"; {human_bytes(result.new_bytes)} travelled, the rest is shared with {result.base}"
        elif visit.spec.type == "Incremental":
            content += "; everything travelled, because there was no backup to build upon"
        reason, message = (
            (report.ADOPTED, f"found in the bucket: {content}") if adopted else ("BackupCompleted", content)
        )
        report.completed(visit, reason, message)
        report.bundled(visit, result.bundle)
        if not adopted:
            siblings = await self._kube.list(BACKUPS, visit.namespace)
            report.sized(visit, decide.predecessor(visit.name, visit.status, siblings))
        report.settled(visit)
        return NOW

    def _context(self, visit: Visit[BackupSpec], policy: BackupPolicySpec) -> Context:
        location = Location.model_validate(visit.status["location"])
        return Context(visit.body, policy, location, self._allow_local)


def _identify(visit: Visit[BackupSpec]) -> None:
    """What the object says of itself, for the printer columns."""
    visit.status["policy"] = visit.spec.policy
    visit.status.setdefault("type", visit.spec.type)
    try:
        slot = from_rfc3339(visit.annotations[ANNOTATION_SCHEDULED_FOR])
    except (KeyError, ValueError):  # by hand; or a hand wrote what is no time
        return
    visit.status["scheduledFor"] = to_rfc3339(slot)


def _is_over(visit: Visit[BackupSpec]) -> bool:
    """Whether the time for further tries has passed."""
    deadline = visit.status.get("deadline")
    return deadline is not None and visit.now > from_rfc3339(deadline)
