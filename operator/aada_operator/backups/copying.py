"""The copy of a completed Backup in the second place of its policy: one Job per try, for as long as it is wanted.

The policy says in its status whose turn it is; the Backup acts. Whatever happens to the copy, the backup stays
completed.
"""

from datetime import timedelta

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import claim_of, policy_spec
from aada_operator.api.backup import BackupSpec, CopyStatus
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.location import Location
from aada_operator.api.task import CopyResult
from aada_operator.backups import decide, manifests, report
from aada_operator.backups.manifests import Context
from aada_operator.core.attempts import until
from aada_operator.core.clock import human_bytes, to_rfc3339
from aada_operator.core.controller import RESYNC, Visit
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.resources import BACKUP_POLICIES
from aada_operator.core.worker_jobs import JobState, WorkerImage
from aada_operator.core.workqueue import backoff

NOW = 0.0
POLL = 5.0
FIRST_RETRY, LONGEST_RETRY = 15.0, 600.0
# What no try by itself can help may have been put right by a person.
HOPELESS_RETRY = 6 * 3600.0
# Of places that the policy named once, the newest are remembered.
MOST_COPIES = 4


class Copier:
    """Copies completed Backups when their policy says that it is their turn."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local

    async def reconcile(self, visit: Visit[BackupSpec]) -> float | None:
        """One visit; returns seconds until the next one, None when only an event can bring news."""
        try:
            return await self._advance(visit)
        except OperatorError as trouble:
            report.not_copied(visit, trouble.reason, trouble.message)
            return trouble.retry_after if isinstance(trouble, Waiting) else RESYNC

    async def _advance(self, visit: Visit[BackupSpec]) -> float | None:
        name = visit.spec.policy
        body = await self._kube.get(BACKUP_POLICIES, visit.namespace, name)
        policy = policy_spec(body, name) if body else None
        place = policy.copy_storage if policy else None
        if body is None or policy is None or place is None:
            report.no_copy(visit)
            return None
        location = place.location_of(visit.namespace, visit.status["lms"], visit.name)
        known = next((copy for copy in decide.copies_of(visit.status) if copy.is_at(place.name, location)), None)
        known = known or CopyStatus(name=place.name, location=location)
        if known.state == "Completed":
            return None
        if known.state == "Running":
            return await self._follow(visit, policy, known)
        if not decide.is_its_turn(visit.name, place.name, body):
            report.awaits_copy(visit, place.name)
            return None
        return self._begin(visit, known)

    def _begin(self, visit: Visit[BackupSpec], known: CopyStatus) -> float:
        """Write down what is copied where to, before the Job is there."""
        if wait := until(known.next_attempt, visit.now):
            return wait
        attempts = [copy.attempt for copy in decide.copies_of(visit.status)]
        update = {"state": "Running", "attempt": max(attempts, default=0) + 1, "next_attempt": None}
        _keep(visit, known.model_copy(update=update))
        report.copying(visit, f"the backup is being copied to {known.name}")
        return NOW

    async def _follow(self, visit: Visit[BackupSpec], policy: BackupPolicySpec, known: CopyStatus) -> float | None:
        state = await worker_jobs.look(self._kube, visit.body, manifests.copy_job_name(visit.name, known.attempt))
        if state is None:
            return await self._start(visit, policy, known)
        if state.phase == "Running":
            report.copying(visit, state.message or f"the backup is being copied to {known.name}")
            return POLL
        return self._copied(visit, known, state) if state.phase == "Succeeded" else self._failed(visit, known, state)

    async def _start(self, visit: Visit[BackupSpec], policy: BackupPolicySpec, known: CopyStatus) -> float | None:
        source = Location.model_validate(visit.status["location"])
        claim = await claim_of(self._kube, visit.namespace, policy.lms_ref.name, visit.spec.policy)
        context = Context(visit.body, policy, source, self._allow_local, claim)
        request = manifests.copy_job(context, known.location, known.attempt)
        try:
            await require_mounts(self._kube, visit.namespace, request.mounts)
        except OperatorError as missing:  # others get their turn meanwhile
            return self._failed(visit, known, JobState("Failed", reason=missing.reason, message=missing.message))
        await worker_jobs.discard(self._kube, visit.body, manifests.copy_job_name(visit.name, known.attempt - 1))
        await worker_jobs.start(self._kube, request, self._image)
        return POLL

    def _copied(self, visit: Visit[BackupSpec], known: CopyStatus, state: JobState) -> float | None:
        try:
            result = CopyResult.model_validate(state.result)
        except ValidationError:
            lost = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable here")
            return self._failed(visit, known, lost)
        ended: dict[str, object] = {"state": "Completed", "time": to_rfc3339(visit.now), "bytes": result.bytes}
        _keep(visit, known.model_copy(update=ended | {"immutable_until": result.immutable_until}))
        where = f"{known.name} (bucket {known.location.bucket})"
        report.copied(visit, f"{where} holds the same backup; {human_bytes(result.bytes)} travelled")
        return None

    def _failed(self, visit: Visit[BackupSpec], known: CopyStatus, state: JobState) -> float | None:
        pause = backoff(known.attempt, FIRST_RETRY, LONGEST_RETRY) if state.retryable else HOPELESS_RETRY
        moment = to_rfc3339(visit.now + timedelta(seconds=pause))
        _keep(visit, known.model_copy(update={"state": "Waiting", "next_attempt": moment}))
        message = f"try {known.attempt} to copy it to {known.name} failed, another follows at {moment}: {state.message}"
        report.not_copied(visit, state.reason, message)
        return None


def _keep(visit: Visit[BackupSpec], copy: CopyStatus) -> None:
    """In the place of what was known of the place of that name."""
    others = [other for other in decide.copies_of(visit.status) if other.name != copy.name]
    kept = [*others, copy][-MOST_COPIES:]
    visit.status["copies"] = [one.model_dump(by_alias=True, exclude_defaults=True) for one in kept]
