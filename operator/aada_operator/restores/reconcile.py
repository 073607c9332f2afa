"""A Restore, visited: plan, check, ask for approval, load in a Job, keep what the Job said.

The database itself says whose it is and whether it is complete (its comment), so that a worker that comes after a
kill, or after a lost status, goes on or takes over instead of doing it twice.
"""

from datetime import datetime, timedelta

from pydantic import ValidationError

from aada_operator.adapters import referenced, worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.storage import fetch_manifest, open_store
from aada_operator.api.common import seconds
from aada_operator.api.restore import Plan, RestoreSpec
from aada_operator.api.task import CORRUPT, RestoreResult
from aada_operator.core.attempts import FIRST_RETRY, LONGEST_RETRY, retry_at, until
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.controller import Capability, Visit
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import BACKUPS, RESTORES, Object
from aada_operator.core.steps import Progress, Step, advance
from aada_operator.core.worker_jobs import JobRequest, JobState, WorkerImage
from aada_operator.core.workqueue import backoff
from aada_operator.restores import decide, manifests, report
from aada_operator.restores.decide import Chosen
from aada_operator.restores.gauges import gauges
from aada_operator.restores.manifests import Context

NOW = 0.0
POLL = 3.0


def capability(kube: Kube, image: WorkerImage, allow_local: bool) -> Capability[RestoreSpec]:
    """The kind Restore; ``image`` runs its Jobs, ``allow_local``: storage endpoints may be loopback addresses."""
    reconciler = RestoreReconciler(kube, image, allow_local)
    return Capability(RESTORES, RestoreSpec, report.KNOWN, reconciler.reconcile, gauges)


class RestoreReconciler:
    """Brings Restores about."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local

    async def reconcile(self, visit: Visit[RestoreSpec]) -> float | None:
        """One visit; returns seconds until the next one. A final phase is never left."""
        if visit.status.get("phase") in ("Completed", "Failed"):
            return None
        try:
            return await _Visited(self._kube, self._image, self._allow_local, visit).advance()
        except Stalled as refused:
            report.failed(visit, refused.reason, refused.message)
            return None
        except Waiting as waiting:
            if _is_over(visit):
                report.failed(visit, waiting.reason, waiting.message)
                return None
            report.under_way(visit, waiting.reason, waiting.message)
            return waiting.retry_after


class _Visited:
    """The steps of one Restore during one visit."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool, visit: Visit[RestoreSpec]) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local
        self._visit = visit
        self._status = visit.status
        self._delay = NOW

    async def advance(self) -> float | None:
        """Take the next step."""
        steps = (
            Step("Plan", self._planned, self._plan),
            Step("Preflight", self._checked, self._check),
            Step("Approve", self._approved, self._demand_approval),
            Step("Load", self._loaded, self._load),
        )
        while not await advance("restore", steps, self._status.get("steps", []), self._visit.now, self._record):
            if not await self._loaded():
                return self._delay
        self._status["step"] = ""
        return None

    def _record(self, progress: Progress) -> None:
        self._status["steps"] = progress.steps
        self._status["step"] = progress.current or ""

    async def _planned(self) -> bool:
        return "plan" in self._status

    async def _plan(self) -> None:
        """Made once: a newer backup does not slip under an approval."""
        chosen = await self._chosen()
        lms = await referenced.lms_of(self._kube, self._visit.namespace, chosen.status.lms)
        database = decide.database_name(self._visit.spec, lms.database.name, self._visit.uid)
        plan = decide.plan(chosen, lms.database, database)
        self._status["plan"] = plan.model_dump(by_alias=True, exclude_none=True)
        report.under_way(self._visit, "Planned", plan.summary)

    async def _chosen(self) -> Chosen:
        source, namespace = self._visit.spec.source, self._visit.namespace
        if source.backup_name:
            return decide.by_name(source.backup_name, await self._kube.get(BACKUPS, namespace, source.backup_name))
        policy = source.policy_ref.name if source.policy_ref else ""
        bodies = await self._kube.list(BACKUPS, namespace)
        return decide.newest(policy, [body for body in bodies if body["spec"]["policyRef"]["name"] == policy])

    async def _checked(self) -> bool:
        return "checkedAt" in self._status or "startTime" in self._status

    async def _check(self) -> None:
        """What can be checked without touching the server; the worker checks the rest before it touches anything."""
        context, chosen = await self._context()
        await require_mounts(self._kube, self._visit.namespace, self._request(context, 1).mounts)
        store = await open_store(self._kube, self._visit.namespace, chosen.location, self._allow_local)
        found = await fetch_manifest(store, chosen.location)
        if found is None or found.sha256 != chosen.status.manifest_sha256:
            folder = chosen.location.prefix
            raise Stalled(
                CORRUPT, f"{folder} does not hold the manifest that Backup {chosen.name} names: restore another"
            )
        self._status["checkedAt"] = to_rfc3339(self._visit.now)

    async def _approved(self) -> bool:
        return "startTime" in self._status

    async def _demand_approval(self) -> None:
        visit = self._visit
        decide.demand_approval(visit.spec, visit.name, self._status["plan"], visit.annotations)
        self._status |= {"startTime": to_rfc3339(visit.now), "attempt": 1}
        report.under_way(visit, "Starting", "attempt 1")

    async def _loaded(self) -> bool:
        return self._status.get("phase") == "Completed"

    async def _load(self) -> None:
        """Start the Job of the present attempt, or see how far it is; a Job that went away is made again."""
        if wait := until(self._status.get("nextAttempt"), self._visit.now):
            self._delay = wait
            return
        if self._status.pop("nextAttempt", None):
            self._status["attempt"] += 1
        attempt = self._status["attempt"]
        state = await worker_jobs.look(self._kube, self._visit.body, manifests.job_name(self._visit.name, attempt))
        match state:
            case None:
                await self._start(attempt)
            case JobState(phase="Running"):
                await self._watch(state)
            case JobState(phase="Succeeded"):
                self._complete(state)
            case _:
                self._after_failure(state)

    async def _start(self, attempt: int) -> None:
        context, _ = await self._context()
        request = self._request(context, attempt)
        await require_mounts(self._kube, self._visit.namespace, request.mounts)
        await worker_jobs.start(self._kube, request, self._image)
        self._delay = POLL
        report.under_way(self._visit, "Running", f"attempt {attempt} runs")

    async def _watch(self, state: JobState) -> None:
        said = await worker_jobs.progress(self._kube, self._visit.namespace, state)
        if said:
            self._status["progress"] = said
            self._status["progressText"] = decide.percent(said)
        self._delay = POLL
        message = state.message or f"attempt {self._status['attempt']} runs"
        report.under_way(self._visit, state.reason or "Running", message)

    def _complete(self, state: JobState) -> None:
        try:
            report.completed(self._visit, RestoreResult.model_validate(state.result))
        except ValidationError:
            self._after_failure(
                JobState("Failed", reason="ResultUnreadable", message="the worker's result is unreadable")
            )

    def _after_failure(self, state: JobState) -> None:
        """Try again later, or give up."""
        delay = backoff(self._status["attempt"], FIRST_RETRY, LONGEST_RETRY)
        moment = retry_at(state, _deadline(self._visit), self._visit.now, delay)
        if moment is None:
            raise Stalled(state.reason, state.message)
        self._status["nextAttempt"] = to_rfc3339(moment)
        self._status.pop("progress", None)
        self._delay = delay
        message = f"attempt {self._status['attempt']} failed, another one follows: {state.message}"
        report.under_way(self._visit, state.reason, message)

    async def _context(self) -> tuple[Context, Chosen]:
        plan = Plan.model_validate(self._status["plan"])
        namespace = self._visit.namespace
        chosen = decide.by_name(plan.backup, await self._kube.get(BACKUPS, namespace, plan.backup))
        lms = await referenced.lms_of(self._kube, namespace, chosen.status.lms)
        policy = await referenced.policy_of(self._kube, namespace, chosen.status.policy)
        encrypted = chosen.status.encryption == "Age"
        if encrypted and policy.encryption.verification_identity_secret_ref is None:
            message = (
                f"Backup {chosen.name} is encrypted: name its private key in BackupPolicy {chosen.status.policy}, "
            )
            raise Waiting("NoIdentity", message + "encryption.verificationIdentitySecretRef")
        body: Object = self._visit.body
        context = Context(
            body,
            self._visit.spec,
            chosen.status.lms,
            lms.database,
            policy,
            chosen.location,
            encrypted,
            self._allow_local,
        )
        return context, chosen

    def _request(self, context: Context, attempt: int) -> JobRequest:
        return manifests.restore_job(context, self._status["plan"]["database"], attempt)


def _deadline(visit: Visit[RestoreSpec]) -> datetime:
    return from_rfc3339(visit.status["startTime"]) + timedelta(seconds=seconds(visit.spec.timeout))


def _is_over(visit: Visit[RestoreSpec]) -> bool:
    """Whether the time for further tries has passed; before the start there is no such time."""
    return "startTime" in visit.status and visit.now > _deadline(visit)
