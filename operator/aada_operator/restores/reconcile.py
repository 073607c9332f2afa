"""A Restore, visited: resolve the source, plan, prove, wait for approval, load in a Job, record what the Job said.

Each step asks the world whether it is done. What is being loaded stands on the Jobs, and on the database that they
make as a comment with the Restore's uid: so neither a killed operator nor a lost status loads twice or mistakes one
backup for another.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.api.backup import Progress
from aada_operator.api.common import ANNOTATION_APPROVE, seconds
from aada_operator.api.restore import RestoreSpec
from aada_operator.api.task import RestoreResult
from aada_operator.core import steps
from aada_operator.core.attempts import FIRST_RETRY, LONGEST_RETRY, retry_at, until
from aada_operator.core.clock import from_rfc3339, human, to_rfc3339
from aada_operator.core.controller import RESYNC, Capability, Visit
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.resources import RESTORES, Object
from aada_operator.core.steps import Step
from aada_operator.core.worker_jobs import JobRequest, JobState, WorkerImage
from aada_operator.core.workqueue import backoff
from aada_operator.restores import decide, manifests, preflight, report
from aada_operator.restores.gauges import gauges
from aada_operator.restores.manifests import Load
from aada_operator.restores.world import Resolved, newest_job, resolve

NOW = 0.0
POLL = 3.0
# A Job begun in the last moment of the timeout still gets the time to say what is wrong.
LEAST_DEADLINE = 60
_PHASES = {"Resolve": "Pending", "Plan": "Pending", "Preflight": "Planned", "Approve": "Planned"}


def capability(kube: Kube, image: WorkerImage, allow_local: bool) -> Capability[RestoreSpec]:
    """The kind Restore; ``image`` runs its Jobs, ``allow_local``: addresses may be loopback ones."""

    async def reconcile(visit: Visit[RestoreSpec]) -> float | None:
        return await Operation(kube, image, allow_local, visit).reconcile()

    return Capability(RESTORES, RestoreSpec, report.KNOWN, reconcile, gauges)


class Operation:
    """One visit to one Restore; what the steps find is kept for those after them."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool, visit: Visit[RestoreSpec]) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local
        self._visit = visit
        self._status = visit.status
        self._delay = NOW
        self._pinned: str | None = None
        self._resolved: Resolved | None = None
        self._job: JobState | None = None
        self._result: RestoreResult | None = None

    async def reconcile(self) -> float | None:
        """Take one step; returns seconds until the next visit, None in a final phase, which is never left."""
        if self._status.get("phase") in ("Completed", "Failed"):
            return None
        self._status["mode"] = self._visit.spec.target.mode
        await self._observe()
        try:
            await steps.advance("restore", self._steps(), self._status.get("steps", []), self._visit.now, self._record)
        except Stalled as refused:
            report.failed(self._visit, refused.reason, refused.message)
            return None
        return self._delay

    def _steps(self) -> list[Step]:
        return [
            _demand("Resolve", self._resolve),
            Step("Plan", self._is_planned, self._plan),
            _demand("Preflight", self._preflight),
            Step("Approve", self._is_approved, self._ask_for_approval),
            Step("Load", self._is_loaded, self._load),
            Step("Record", self._is_recorded, self._complete),
        ]

    def _record(self, progress: steps.Progress) -> None:
        self._status |= {"steps": progress.steps, "step": progress.current or ""}
        if progress.current in _PHASES:
            report.under_way(self._visit, _PHASES[progress.current], progress.current, "")

    async def _observe(self) -> None:
        """Find Jobs that a lost status does not tell of; hold on to the backup that is approved or being loaded."""
        planned = self._status.get("plan")
        lost = planned is None or not self._begun
        if lost and (job := await newest_job(self._kube, self._visit.body)):
            self._status["attempt"] = job.attempt
            self._pinned = job.backup
        if planned and (self._begun or self._approval == planned["hash"]):
            self._pinned = planned["backup"]

    @property
    def _begun(self) -> bool:
        return bool(self._status.get("attempt"))

    @property
    def _approval(self) -> str | None:
        return self._visit.annotations.get(ANNOTATION_APPROVE)

    async def _resolve(self) -> None:
        if not (self._begun and "plan" in self._status):
            await self._demand_resolved()

    async def _demand_resolved(self) -> Resolved:
        visit = self._visit
        self._resolved = await resolve(self._kube, visit.namespace, visit.spec.source, self._pinned)
        return self._resolved

    def _planned(self, resolved: Resolved) -> Object:
        name = decide.database_name(resolved.server.name, self._visit.uid, self._visit.spec.target.database)
        return decide.plan(resolved.backup, resolved.server, name)

    async def _is_planned(self) -> bool:
        return self._resolved is None or self._status.get("plan") == self._planned(self._resolved)

    async def _plan(self) -> None:
        assert self._resolved, "only what was resolved is planned"  # noqa: S101
        self._status["plan"] = self._planned(self._resolved)

    async def _preflight(self) -> None:
        if self._resolved is None:
            return  # it has begun: from now on its worker proves what it needs
        load = self._load_of(self._resolved)
        await preflight.demand(self._kube, load, self._resolved, self._request(load, attempt=1))

    async def _is_approved(self) -> bool:
        mode, planned = self._visit.spec.mode, self._status["plan"]
        return self._begun or mode == "Auto" or (mode == "Approve" and self._approval == planned["hash"])

    async def _ask_for_approval(self) -> None:
        planned = self._status["plan"]
        self._delay = RESYNC
        if self._visit.spec.mode == "Observe":
            report.observing(self._visit, f"the plan is written, nothing is done in mode Observe: {planned['summary']}")
            return
        self._status["phase"] = "AwaitingApproval"
        command = (
            f"kubectl --namespace {self._visit.namespace} annotate lmsr {self._visit.name} --overwrite "
            f"{ANNOTATION_APPROVE}={planned['hash']}"
        )
        raise Waiting("AwaitingApproval", f"approve with: {command}; the plan: {planned['summary']}", RESYNC)

    async def _is_loaded(self) -> bool:
        if not self._begun:
            return False
        name = manifests.job_name(self._visit.name, self._status["attempt"])
        state = await worker_jobs.look(self._kube, self._visit.body, name)
        self._job = state or JobState("Failed", reason="JobLost", message=f"Job {name} is gone")
        if self._job.phase != "Succeeded":
            return False
        try:
            self._result = RestoreResult.model_validate(self._job.result)
        except ValidationError:
            self._job = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable")
        return self._result is not None

    async def _load(self) -> None:
        if self._job is None:
            await self._start(attempt=1)
        elif self._job.phase == "Running":
            await self._watch(self._job)
        else:
            await self._after_failure(self._job)

    async def _start(self, attempt: int) -> None:
        resolved = self._resolved or await self._demand_resolved()
        load = self._load_of(resolved)
        if self._planned(resolved)["hash"] != self._status["plan"]["hash"]:
            raise Stalled("PlanChanged", "the backup or the server is not that of the plan any more: create a Restore")
        self._status.setdefault("startTime", to_rfc3339(self._visit.now))
        request = self._request(load, attempt)
        await require_mounts(self._kube, self._visit.namespace, request.mounts)
        await worker_jobs.start(self._kube, request, self._image)
        if await worker_jobs.look(self._kube, self._visit.body, request.name) is None:
            raise Waiting("NameTaken", f"Job {request.name} exists and is not of this Restore: delete it")
        if attempt > 1:
            await worker_jobs.discard(self._kube, self._visit.body, manifests.job_name(self._visit.name, attempt - 1))
        self._status["attempt"] = attempt
        self._status.pop("nextAttempt", None)
        self._running(JobState("Running"))

    async def _watch(self, state: JobState) -> None:
        said = await worker_jobs.progress(self._kube, self._visit.namespace, state)
        try:
            progress = Progress.model_validate(said)
        except ValidationError:
            progress = Progress()
        if progress.stage:
            self._status["progress"] = progress.model_dump(by_alias=True)
            self._status["progressText"] = decide.progress_text(progress)
        self._running(state)

    def _running(self, state: JobState) -> None:
        message = state.message or f"attempt {self._status['attempt']} loads Backup {self._status['plan']['backup']}"
        report.under_way(self._visit, "Running", state.reason or "Loading", message)
        self._delay = POLL

    async def _after_failure(self, state: JobState) -> None:
        """Try again, later and later, until the timeout; then it has failed."""
        attempt = self._status["attempt"]
        if "nextAttempt" not in self._status:
            delay = backoff(attempt, FIRST_RETRY, LONGEST_RETRY)
            moment = retry_at(state, self._deadline(), self._visit.now, delay)
            if moment is None:
                raise Stalled(state.reason, state.message)
            self._status["nextAttempt"] = to_rfc3339(moment)
            for field in ("progress", "progressText"):
                self._status.pop(field, None)
        left = until(self._status["nextAttempt"], self._visit.now)
        if not left:
            await self._start_again(attempt + 1)
            return
        message = f"attempt {attempt} failed, another one follows at {self._status['nextAttempt']}: {state.message}"
        report.under_way(self._visit, "Running", state.reason, message)
        raise Waiting(state.reason, message, left)

    async def _start_again(self, attempt: int) -> None:
        try:
            await self._start(attempt)
        except Waiting as waiting:
            if self._visit.now > self._deadline():
                raise Stalled(waiting.reason, waiting.message) from None
            raise

    async def _is_recorded(self) -> bool:
        """Never here: what is recorded has its final phase, and is not visited any more."""
        return False

    async def _complete(self) -> None:
        assert self._result, "only what was loaded is recorded"  # noqa: S101
        result, moment = self._result, to_rfc3339(self._visit.now)
        took = self._visit.now - from_rfc3339(self._status.setdefault("startTime", moment))
        self._status |= {
            "database": result.database,
            "rows": result.rows,
            "digest": result.digest,
            "completionTime": moment,
            "duration": human(took),
            "progressText": "100%",
            "step": "",
            "steps": decide.finished(self._status["steps"], moment),
        }
        self._status.pop("progress", None)
        content = f"{result.tables} tables, {result.rows} rows, equal to the manifest"
        report.completed(self._visit, f"database {result.database} holds {content}")

    def _load_of(self, resolved: Resolved) -> Load:
        return Load(
            restore=self._visit.body,
            backup=resolved.backup.name,
            location=resolved.location,
            manifest_sha256=resolved.backup.status.manifest_sha256,
            server=resolved.server,
            database=self._planned(resolved)["database"],
            identity=resolved.identity,
            job=resolved.job,
            allow_local=self._allow_local,
        )

    def _request(self, load: Load, attempt: int) -> JobRequest:
        left = (self._deadline() - self._visit.now).total_seconds()
        return manifests.restore_job(load, attempt, max(LEAST_DEADLINE, int(left)))

    def _deadline(self) -> datetime:
        """Until when the load may be tried; it begins with the first try, not with waiting for an approval."""
        start = from_rfc3339(self._status["startTime"]) if "startTime" in self._status else self._visit.now
        return start + timedelta(seconds=seconds(self._visit.spec.timeout))


def _demand(name: str, check: Callable[[], Awaitable[object]]) -> Step:
    """A step that is done when its check passes, and can do nothing but say why it does not."""
    trouble: list[OperatorError] = []

    async def done() -> bool:
        try:
            await check()
        except OperatorError as error:
            trouble.append(error)
        return not trouble

    async def act() -> None:
        raise trouble[0]

    return Step(name, done, act)
