"""The verification of a completed Backup: one Job per try, and what its word makes of the condition Verified."""

from datetime import timedelta

from pydantic import ValidationError

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.kube_secrets import require_mounts
from aada_operator.adapters.referenced import policy_spec
from aada_operator.api.backup import ANNOTATION_VERIFY_AT, BackupSpec
from aada_operator.api.backup_policy import BackupPolicySpec
from aada_operator.api.location import Location
from aada_operator.api.task import VerifyResult
from aada_operator.backups import decide, importing, manifests, outcome, report
from aada_operator.backups.decide import VerificationOrder
from aada_operator.backups.manifests import Context
from aada_operator.core.attempts import until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import RESYNC, Visit
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.resources import BACKUP_POLICIES, Object
from aada_operator.core.worker_jobs import JobState, WorkerImage
from aada_operator.core.workqueue import backoff

NOW = 0.0
POLL, AWAITING = 5.0, 30.0
FIRST_RETRY, LONGEST_RETRY = 15.0, 300.0
# The annotation's values are told apart by their first characters: as many as the status can echo.
_MARK = 64
_IDENTITY = "encryption.verificationIdentitySecretRef"


class Verifier:
    """Verifies completed Backups when their policy or a person asks."""

    def __init__(self, kube: Kube, image: WorkerImage, allow_local: bool) -> None:
        self._kube = kube
        self._image = image
        self._allow_local = allow_local

    async def reconcile(self, visit: Visit[BackupSpec]) -> float | None:
        """One visit; returns seconds until the next one, None when only an event can bring news."""
        try:
            return await self._advance(visit)
        except OperatorError as trouble:
            report.not_verified(visit, trouble.reason, trouble.message)
            return trouble.retry_after if isinstance(trouble, Waiting) else RESYNC
        finally:
            report.settled(visit)

    async def _advance(self, visit: Visit[BackupSpec]) -> float | None:
        body = None
        if visit.spec.policy:
            body = await self._kube.get(BACKUP_POLICIES, visit.namespace, visit.spec.policy)
        known = visit.status.get("verification") or {}
        if known.get("result") == "Running":
            return await self._follow(visit, body, known)
        policy = _policy(visit, body) if body or visit.spec.import_from else None
        said = (body or {}).get("status") or {}
        verify_at = visit.annotations.get(ANNOTATION_VERIFY_AT, "")[:_MARK]
        new_and_full = visit.conditions.reason_of(report.COMPLETED) != report.ADOPTED and not visit.status.get("parent")
        on_full = new_and_full and policy is not None and policy.verification.on_full
        order = decide.verification_wanted(visit.name, known, said, verify_at, on_full=on_full)
        if order is None:
            report.not_asked(visit)
            return None
        return self._begin(visit, _policy(visit, body), known, order)

    def _begin(
        self, visit: Visit[BackupSpec], policy: BackupPolicySpec, known: Object, order: VerificationOrder
    ) -> float:
        """Write down what is verified, before the Job is there."""
        if _encrypted(visit) and policy.encryption.verification_identity_secret_ref is None:
            field = "importFrom.identitySecretRef" if visit.spec.import_from else _IDENTITY
            report.not_verified(visit, "NoIdentity", f"name a key in {field}")
            return RESYNC
        if decide.awaits_files(policy, visit.status, visit.now):
            report.not_verified(visit, "AwaitingUploads", "waits for the copy of users' files, which are looked for")
            return AWAITING
        asked = {"request": order.request, "verifyAt": order.verify_at}
        began = {"result": "Running", "attempt": known.get("attempt", 0) + 1, "tries": 1}
        visit.status["verification"] = known | asked | began
        report.not_verified(visit, "Verifying", "the backup is being restored on a scratch server")
        return NOW

    async def _follow(self, visit: Visit[BackupSpec], policy: Object | None, known: Object) -> float | None:
        if wait := until(known.get("nextAttempt"), visit.now):
            return wait
        if known.pop("nextAttempt", None):
            visit.status["verification"] = known | {"attempt": known["attempt"] + 1, "tries": known["tries"] + 1}
            return NOW
        name = manifests.verify_job_name(visit.name, known["attempt"])
        state = await worker_jobs.look(self._kube, visit.body, name)
        if state is None:
            return await self._start(visit, _policy(visit, policy), known["attempt"])
        if state.phase == "Running":
            report.not_verified(visit, state.reason or "Verifying", state.message or "restoring on a scratch server")
            return POLL
        return self._passed(visit, known, state) if state.phase == "Succeeded" else self._failed(visit, known, state)

    async def _start(self, visit: Visit[BackupSpec], policy: BackupPolicySpec, attempt: int) -> float:
        location = Location.model_validate(visit.status["location"])
        context = Context(visit.body | {"status": visit.status}, policy, location, self._allow_local)
        request = manifests.verify_job(context, attempt, encrypted=_encrypted(visit))
        await require_mounts(self._kube, visit.namespace, request.mounts)
        await worker_jobs.discard(self._kube, visit.body, manifests.verify_job_name(visit.name, attempt - 1))
        await worker_jobs.start(self._kube, request, self._image)
        return POLL

    def _passed(self, visit: Visit[BackupSpec], known: Object, state: JobState) -> float | None:
        try:
            result = VerifyResult.model_validate(state.result)
        except ValidationError:
            lost = JobState("Failed", reason="ResultUnreadable", message="the worker's result is not readable here")
            return self._failed(visit, known, lost)
        passed = {"time": to_rfc3339(visit.now), "result": "Passed"}
        visit.status["verification"] = known | passed | outcome.verification_fields(result)
        message = f"restored and compared: {result.tables} tables, {result.rows} rows, equal digests"
        visit.conditions.set(report.VERIFIED, True, "RestoredAndCompared", message)
        return NOW

    def _failed(self, visit: Visit[BackupSpec], known: Object, state: JobState) -> float | None:
        verdict = decide.verification_verdict(state, known["tries"])
        if verdict == "Retry":
            moment = visit.now + timedelta(seconds=backoff(known["tries"], FIRST_RETRY, LONGEST_RETRY))
            visit.status["verification"] = known | {"nextAttempt": to_rfc3339(moment)}
            report.not_verified(visit, state.reason, f"tried again: {state.message}")
            return until(to_rfc3339(moment), visit.now)
        kept = {field: value for field, value in known.items() if field not in ("duration", "rto", "checks")}
        visit.status["verification"] = kept | {"time": to_rfc3339(visit.now), "result": "Failed"}
        if verdict == "Bad":
            visit.conditions.set(report.VERIFIED, False, state.reason, state.message)
        else:
            message = f"could not be verified: {state.reason}: {state.message}"
            visit.conditions.set(report.VERIFIED, "Unknown", "VerificationFailed", message)
        return NOW


def _policy(visit: Visit[BackupSpec], body: Object | None) -> BackupPolicySpec:
    """The policy's spec; what stands for it, for an imported backup."""
    source = visit.spec.import_from
    return importing.policy_for(source) if source else policy_spec(body, visit.spec.policy)


def _encrypted(visit: Visit[BackupSpec]) -> bool:
    return bool(visit.status.get("encryption") == "Age")
