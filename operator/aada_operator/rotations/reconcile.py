"""A SecretRotation, visited: is it due, which step is next, did it fail, and what is left to tidy up.

What is under way stands in the cluster and on the server: two Secrets of revisions from the first step to the last,
marks on them, and what the roles may. A lost status loses the history and nothing else.
"""

import logging
from typing import Any

from aada_operator.adapters.kube import Kube
from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.core import steps
from aada_operator.core.attempts import until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import FINALIZER, RESYNC, Capability, Visit, is_held
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS
from aada_operator.core.resources import SECRET_ROTATIONS, SECRETS
from aada_operator.rotations import decide, manifests, report
from aada_operator.rotations.alternating import Alternating
from aada_operator.rotations.blue_green import SWITCHING, BlueGreen
from aada_operator.rotations.canary import CANARY_STARTING
from aada_operator.rotations.command import VERIFYING
from aada_operator.rotations.gauges import gauges
from aada_operator.rotations.generic import Generic, ReplaceOnly
from aada_operator.rotations.green import GREEN_STARTING
from aada_operator.rotations.in_place import InPlace
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.replacement import CONVERGING, GRACE, ROLLING_BACK, Replacement
from aada_operator.rotations.three_phase import ThreePhase
from aada_operator.rotations.work import Work, observe, revisions

logger = logging.getLogger(__name__)
NOW = 0.0
# Waiting for these is how it goes, and no trouble.
_CALM = frozenset(
    {CANARY_STARTING, VERIFYING, GREEN_STARTING, SWITCHING, CONVERGING, GRACE, ROLLING_BACK, OPERATION_IN_PROGRESS}
)
# Before these steps have ended, a failure leads back.
_REVERSIBLE = frozenset(
    {"Keep", "Generate", "HandOver", "ApplyToDatabase", "VerifyNew", "ProposeToStore", "Canary", "Publish", "Converge"}
    | {"Distribute", "ConvergeVerifiers", "Switch", "PromoteInStore", "SetPassword", "StartGreen", "SwitchToGreen"}
)
_STRATEGIES = {one.strategy: one for one in (Alternating, InPlace, ThreePhase, BlueGreen, Generic, ReplaceOnly)}
_REFUSED = (
    "the data key is not replaced: rows that are encrypted with it would become unreadable. Re-encrypt them in the "
    "application first, with both keys, and change the Secret by hand then; nothing was changed"
)


def capability(kube: Kube, allow_local: bool) -> Capability[SecretRotationSpec]:
    """The kind SecretRotation; ``allow_local``: database hosts may be loopback addresses."""

    async def reconcile(visit: Visit[SecretRotationSpec]) -> float | None:
        if visit.spec.type == "DataEncryptionKey":
            raise Stalled("RequiresReencryption", _REFUSED)
        return await Operation(await observe(kube, allow_local, visit)).reconcile()

    async def finalize(visit: Visit[SecretRotationSpec]) -> float | None:
        try:
            work = await observe(kube, allow_local, visit)
        except Waiting as waiting:
            if waiting.reason != "AadaLmsNotFound":
                raise
            for revision in await revisions(kube, visit):  # with the LMS went whatever logs in
                await kube.delete(SECRETS, revision.body)
            return None
        return await Operation(work).finish()

    return Capability(SECRET_ROTATIONS, SecretRotationSpec, report.KNOWN, reconcile, gauges, finalize)


class Operation:
    """One visit to one SecretRotation."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._status = work.status
        self._strategy: Replacement = _STRATEGIES[work.strategy](work)
        self._step = ""

    async def reconcile(self) -> float:
        """Take one step; returns seconds until the next visit."""
        self._tell()
        if self._is_over():
            return await self._tidy()
        if self._work.fresh is None and not self._begins():
            return await self._rest()
        return await self._advance()

    async def finish(self) -> float | None:
        """The object is deleted: bring what is under way to an end, back if it can be; None when it may go."""
        fresh, kept = self._work.fresh, self._work.kept
        if fresh and kept and not (fresh.rolled_back or self._is_over()):
            if await self._strategy.is_reversible():
                return await self._turn_back(fresh, Stalled("Deleted", "the SecretRotation was deleted"))
            return await self._advance()
        if fresh and not self._is_over():
            return await self._advance()
        if fresh or kept:
            return await self._tidy()
        await self._strategy.release()
        return None

    def _tell(self) -> None:
        """What can be seen of the credential in use."""
        work, spec, status = self._work, self._visit.spec, self._status
        begins = self._work.timing.begins()
        status |= {
            "strategy": self._strategy.strategy,
            "revision": work.revision,
            "activeRole": work.data.get("username") if spec.type == "DatabasePassword" else None,
            "lastRotation": to_rfc3339(work.since) if work.revision else None,
            "nextRotation": to_rfc3339(begins) if begins and not spec.suspend else None,
        }

    def _begins(self) -> bool:
        """Whether a rotation is to be begun now."""
        timing, now = self._work.timing, self._visit.now
        if not self._may_begin():
            return False
        newest: dict[str, Any] = next(iter(self._status.get("history") or ()), {})
        again = decide.is_asked(timing.asked, newest.get("finishedAt"), now)
        return again or until(self._status.get("nextAttempt"), now) == 0

    def _may_begin(self) -> bool:
        """Whether one is to be begun as soon as it is long enough ago that one was rolled back."""
        return not self._visit.spec.suspend and self._work.timing.is_wanted() and self._work.timing.is_allowed()

    def _is_over(self) -> bool:
        """Whether the rotation that has Secrets is in the history already."""
        newest = next(iter(self._status.get("history") or ()), None)
        fresh = self._work.fresh
        return bool(fresh and newest and newest.get("startedAt") == to_rfc3339(fresh.made_at))

    async def _rest(self) -> float:
        if self._work.kept:
            return await self._tidy()
        await self._strategy.release()
        if is_held(self._visit.body):
            await self._work.kube.set_finalizer(SECRET_ROTATIONS, self._visit.body, FINALIZER, present=False)
        report.at_rest(self._visit, self._strategy.described(), retried=self._may_begin())
        await self._strategy.look_around()
        self._tell_window()
        moments = [self._status.get("nextAttempt"), self._status.get("nextRotation")]
        return min([RESYNC, *(left for moment in moments if (left := until(moment, self._visit.now)))])

    def _tell_window(self) -> None:
        """Say which window it waits for, if it does."""
        timing = self._work.timing
        if self._visit.spec.suspend:
            return
        timing.demand_window()
        if timing.is_wanted() and not timing.is_allowed() and (opens := timing.opens()):
            report.held_back(self._visit, opens)

    async def _tidy(self) -> float:
        """The Secrets of a rotation that is over go, the new credentials last: they tell that it is over."""
        for revision in filter(None, (self._work.kept, self._work.fresh)):
            await self._work.kube.delete(SECRETS, revision.body)
        return NOW

    async def _advance(self) -> float:
        fresh = self._work.fresh
        back = fresh is not None and fresh.rolled_back is not None
        try:
            over = await self._take(back=back)
        except OperatorError as error:
            if fresh and not back and self._leads_back(error):
                return await self._turn_back(fresh, error)
            if isinstance(error, Waiting) and error.reason in _CALM:
                report.under_way(self._visit, self._step, error.message, back=back)
                return error.retry_after
            raise
        if over and fresh:
            self._record_end(fresh)
        return NOW

    async def _take(self, *, back: bool) -> bool:
        work = self._work
        todo = self._strategy.way_back() if back else self._strategy.steps()

        def record(progress: steps.Progress) -> None:
            self._step = progress.current or ""
            self._status |= {"steps": progress.steps, "step": self._step}
            report.under_way(self._visit, self._step or "Record", "", back=back)

        begun = work.fresh is not None or work.kept is not None
        before = self._status.get("steps", []) if begun else []
        return await steps.advance("rotation", todo, before, self._visit.now, record)

    def _leads_back(self, error: OperatorError) -> bool:
        """Whether a failure ends the rotation: it will not go away, or it has not for long."""
        if self._step not in _REVERSIBLE:
            return False
        return isinstance(error, Stalled) or self._work.is_out_of_time

    async def _turn_back(self, fresh: Revision, error: OperatorError) -> float:
        """Write down why, on the Secret that will go at the end of the way back."""
        why = report.rolled_back(error.reason, error.message)
        patch = {"metadata": {"annotations": {manifests.ANNOTATION_ROLLED_BACK: why}}}
        await self._work.kube.patch(SECRETS, fresh.body, patch)
        logger.warning(
            "rotation is rolled back", extra=self._described() | {"step": self._step, "reason": error.reason}
        )
        return NOW

    def _record_end(self, fresh: Revision) -> None:
        revision = max(fresh.number, self._work.revision)
        entry = report.ended(self._visit, fresh, revision, emergency=self._strategy.emergency)
        history = self._status.get("history") or []
        self._status["history"] = decide.with_entry(history, entry, self._visit.spec.history_limit)
        failures = int(self._status["failures"])
        self._status["nextAttempt"] = decide.retry_at(failures, self._visit.now) if failures else None
        logger.info("rotation has ended", extra=self._described() | {"result": entry["result"]})

    def _described(self) -> dict[str, object]:
        fresh = self._work.fresh
        name = f"secretrotations/{self._visit.namespace}/{self._visit.name}"
        return {"object": name, "revision": fresh.number if fresh else 0}
