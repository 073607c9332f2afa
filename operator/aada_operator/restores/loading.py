"""The step Load: one Job at a time brings the backup in and compares; one that fails is followed by another."""

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.api.backup import Progress
from aada_operator.api.task import RestoreResult
from aada_operator.core.attempts import FIRST_RETRY, LONGEST_RETRY, retry_at, until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.worker_jobs import JobState
from aada_operator.core.workqueue import backoff
from aada_operator.restores import abandoned, decide, manifests, report
from aada_operator.restores.work import Work

POLL = 3.0


class Loading:
    """Asks the newest Job, starts the next one."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._status = work.status
        self._job: JobState | None = None

    @property
    def running(self) -> bool:
        """Whether the Job was seen to run."""
        return self._job is not None and self._job.phase == "Running"

    async def done(self) -> bool:
        """Whether the Job said that the content is there and equal; its words are then in the status."""
        if not self._work.begun:
            return False
        name = manifests.job_name(self._visit.name, self._status["attempt"])
        state = await worker_jobs.look(self._work.kube, self._visit.body, name)
        self._job = state or JobState("Failed", reason="JobLost", message=f"Job {name} is gone")
        if self._job.phase != "Succeeded":
            return False
        try:
            result = RestoreResult.model_validate(self._job.result)
        except ValidationError:
            self._job = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable")
            return False
        self._status |= decide.loaded_fields(result)
        return True

    async def act(self) -> None:
        """Start the first Job, watch it, or follow up one that failed.

        Raises:
            Waiting: another attempt follows.
            Stalled: none does.
        """
        if self._job is None:
            await self._start(attempt=1)
        elif self._job.phase == "Running":
            await self._watch(self._job)
        else:
            await self._after_failure(self._job)

    async def _start(self, attempt: int) -> None:
        work = self._work
        resolved = work.resolved or await work.demand_resolved()
        if work.planned(resolved)["hash"] != self._status["plan"]["hash"]:
            raise Stalled("PlanChanged", "the backup or the server is not that of the plan any more: create a Restore")
        self._status.setdefault("startTime", to_rfc3339(self._visit.now))
        request = work.request(work.load_of(resolved), attempt)
        await require_mounts(work.kube, self._visit.namespace, request.mounts)
        await abandoned.hold(work, loads=True)
        await worker_jobs.start(work.kube, request, work.image)
        if await worker_jobs.look(work.kube, self._visit.body, request.name) is None:
            raise Waiting("NameTaken", f"Job {request.name} exists and is not of this Restore: delete it")
        if attempt > 1:
            await worker_jobs.discard(work.kube, self._visit.body, manifests.job_name(self._visit.name, attempt - 1))
        self._status["attempt"] = attempt
        self._status.pop("nextAttempt", None)
        self._running(JobState("Running"))

    async def _watch(self, state: JobState) -> None:
        said = await worker_jobs.progress(self._work.kube, self._visit.namespace, state)
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
        self._work.delay = POLL

    async def _after_failure(self, state: JobState) -> None:
        """Try again, later and later, until the timeout; then it has failed."""
        attempt = self._status["attempt"]
        if "nextAttempt" not in self._status:
            delay = backoff(attempt, FIRST_RETRY, LONGEST_RETRY)
            moment = retry_at(state, self._work.deadline(), self._visit.now, delay)
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
            if self._visit.now > self._work.deadline():
                raise Stalled(waiting.reason, waiting.message) from None
            raise
