"""The step Uploads: one Job at a time brings users' files back; one that fails is followed by another."""

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import lms_of, policy_of
from aada_operator.api.restore import RestoreUploads
from aada_operator.api.uploads import RestoreFilesResult
from aada_operator.core.attempts import FIRST_RETRY, LONGEST_RETRY, retry_at, until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobState
from aada_operator.core.workqueue import backoff
from aada_operator.restores import report, uploads
from aada_operator.restores.work import LEAST_DEADLINE, Work

POLL = 3.0


class Files:
    """Asks the newest Job, starts the next one."""

    def __init__(self, work: Work, wanted: RestoreUploads) -> None:
        self._work = work
        self._wanted = wanted
        self._job: JobState | None = None

    @property
    def _known(self) -> Object:
        return dict(self._work.status.get("uploads") or {})

    async def done(self) -> bool:
        """Whether the Job said that every file is in the claim; its words are then in the status."""
        known, visit = self._known, self._work.visit
        if known.get("done"):
            return True
        if not known.get("attempt"):
            return False
        name = uploads.job_name(visit.name, known["attempt"])
        state = await worker_jobs.look(self._work.kube, visit.body, name)
        self._job = state or JobState("Failed", reason="JobLost", message=f"Job {name} is gone")
        if self._job.phase != "Succeeded":
            return False
        try:
            result = RestoreFilesResult.model_validate(self._job.result)
        except ValidationError:
            self._job = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable")
            return False
        self._work.status["uploads"] = known | result.model_dump(by_alias=True) | {"done": True}
        return True

    async def act(self) -> None:
        """Start the first Job, watch it, or follow up one that failed.

        Raises:
            Waiting: another attempt follows.
            Stalled: none does.
        """
        if self._job is None:
            await self._start(1)
        elif self._job.phase == "Failed":
            await self._after_failure(self._job)
        else:
            self._running(self._job)

    async def _start(self, attempt: int) -> None:
        work, visit = self._work, self._work.visit
        backup = (work.resolved or await work.demand_resolved()).backup
        checkpoint = uploads.demand_checkpoint(backup.name, backup.status.uploads)
        policy = await policy_of(work.kube, visit.namespace, backup.policy)
        lms = await lms_of(work.kube, visit.namespace, policy.lms_ref.name)
        left = max(LEAST_DEADLINE, int((work.deadline() - visit.now).total_seconds()))
        local = work.allow_local
        request = uploads.job(visit.body, self._wanted, checkpoint, policy, lms, attempt, left, allow_local=local)
        await require_mounts(work.kube, visit.namespace, request.mounts)
        await worker_jobs.start(work.kube, request, work.image)
        work.status["uploads"] = {"attempt": attempt}
        self._running(JobState("Running"))

    def _running(self, state: JobState) -> None:
        message = state.message or f"users' files are brought into claim {self._wanted.claim_name}"
        report.under_way(self._work.visit, "Running", state.reason or "Uploads", message)
        self._work.delay = POLL

    async def _after_failure(self, state: JobState) -> None:
        known, visit = self._known, self._work.visit
        if "nextAttempt" not in known:
            delay = backoff(known["attempt"], FIRST_RETRY, LONGEST_RETRY)
            moment = retry_at(state, self._work.deadline(), visit.now, delay)
            if moment is None:
                raise Stalled(state.reason, state.message)
            known["nextAttempt"] = to_rfc3339(moment)
            self._work.status["uploads"] = known
        if left := until(known["nextAttempt"], visit.now):
            raise Waiting(state.reason, f"users' files: attempt {known['attempt']} failed: {state.message}", left)
        await self._start(known["attempt"] + 1)
