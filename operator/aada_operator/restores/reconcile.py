"""A Restore, visited: resolve the source, plan, prove, wait for approval, load in a Job, cut over, record.

Each step asks the world whether it is done. What is being loaded stands on the Jobs, and on the database that they
make as a comment with the Restore's uid: so neither a killed operator nor a lost status loads twice or mistakes one
backup for another.
"""

from datetime import timedelta

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import ANNOTATION_APPROVE
from aada_operator.api.restore import RestoreSpec
from aada_operator.core import steps
from aada_operator.core.clock import from_rfc3339, human, to_rfc3339
from aada_operator.core.controller import RESYNC, Capability, Visit
from aada_operator.core.database import replaced_mark
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import RESTORES
from aada_operator.core.steps import Step
from aada_operator.core.worker_jobs import WorkerImage
from aada_operator.restores import abandoned, decide, preflight, report, retired, uploads
from aada_operator.restores.cutover import Cutover
from aada_operator.restores.files import Files
from aada_operator.restores.gauges import gauges
from aada_operator.restores.loading import Loading
from aada_operator.restores.new_server import NewServer
from aada_operator.restores.work import Work
from aada_operator.restores.world import newest_job

NOW = 0.0
_PHASES = {"Resolve": "Pending", "Plan": "Pending", "Preflight": "Planned", "Approve": "Planned"}
_PHASES |= dict.fromkeys(("Claim", "SafetyBackup", "Properties", "Smoke", "Swap"), "Running")
_PHASES |= dict.fromkeys(("Roles", "Secrets", "Login", "Objects", "Serving"), "Running")


def capability(kube: Kube, image: WorkerImage, allow_local: bool) -> Capability[RestoreSpec]:
    """The kind Restore; ``image`` runs its Jobs, ``allow_local``: addresses may be loopback ones."""

    async def reconcile(visit: Visit[RestoreSpec]) -> float | None:
        return await Operation(Work(kube, image, allow_local, visit)).reconcile()

    async def finalize(visit: Visit[RestoreSpec]) -> float | None:
        return await abandoned.finish(Work(kube, image, allow_local, visit))

    return Capability(RESTORES, RestoreSpec, report.KNOWN, reconcile, gauges, finalize)


class Operation:
    """One visit to one Restore."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._status = work.status
        self._loading = Loading(work)
        self._cutover = Cutover(work)
        self._new_server = NewServer(work)

    async def reconcile(self) -> float | None:
        """Take one step; returns seconds until the next visit; a final phase is never left."""
        if self._status.get("phase") in ("Completed", "Failed"):
            await abandoned.hold(self._work, loads=False)
            return await retired.retire(self._work)
        self._status["mode"] = self._visit.spec.target.mode
        await self._observe()
        try:
            await steps.advance("restore", self._steps(), self._status.get("steps", []), self._visit.now, self._record)
        except Stalled as refused:
            report.failed(self._visit, refused.reason, refused.message)
            retired.leave(self._work)
            self._work.delay = NOW
        if self._visit.spec.is_cutover and self._status.get("phase") in ("Completed", "Failed"):
            await self._cutover.release()
        return self._work.delay

    def _steps(self) -> list[Step]:
        resolve = steps.demand("Resolve", self._resolve)
        record = Step("Record", self._is_recorded, self._complete)
        until_loaded = [
            Step("Plan", self._is_planned, self._plan),
            steps.demand("Preflight", self._preflight),
            Step("Approve", self._is_approved, self._ask_for_approval),
            Step("Load", self._loading.done, self._loading.act),
        ]
        if self._visit.spec.is_new_server:
            return [resolve, *until_loaded, *self._new_server.steps(self._files()), record]
        until_loaded += self._files()
        if self._visit.spec.is_cutover:
            plan, *others = until_loaded
            open_ = [self._cutover.or_swapped(step, lambda: not self._loading.running) for step in others]
            until_loaded = [plan, *open_, *self._cutover.steps()]
        return [resolve, *until_loaded, record]

    def _files(self) -> list[Step]:
        """The step of users' files, if they are asked for."""
        if (wanted := self._visit.spec.uploads) is None:
            return []
        files = Files(self._work, wanted)
        return [Step("Uploads", files.done, files.act)]

    def _record(self, progress: steps.Progress) -> None:
        self._status |= {"steps": progress.steps, "step": progress.current or ""}
        if progress.current in _PHASES:
            report.under_way(self._visit, _PHASES[progress.current], progress.current, "")

    async def _observe(self) -> None:
        """Find Jobs that a lost status does not tell of; hold on to the backup that is approved or being loaded."""
        work, planned = self._work, self._status.get("plan")
        lost = planned is None or not work.begun
        if lost and (job := await newest_job(work.kube, self._visit.body)):
            self._status["attempt"] = job.attempt
            work.pinned = job.backup
        stored = self._visit.spec.source.storage is not None
        if planned and (work.begun or stored or work.approval == planned["hash"]):
            work.pinned = planned["backup"]

    async def _resolve(self) -> None:
        if not (self._work.begun and "plan" in self._status):
            await self._work.demand_resolved()

    async def _is_planned(self) -> bool:
        resolved = self._work.resolved
        return resolved is None or self._status.get("plan") == self._work.planned(resolved)

    async def _plan(self) -> None:
        assert self._work.resolved, "only what was resolved is planned"  # noqa: S101
        self._status["plan"] = self._work.planned(self._work.resolved)

    async def _preflight(self) -> None:
        work = self._work
        if work.resolved is None:
            return  # it has begun: from now on its worker proves what it needs
        if self._visit.spec.uploads:
            uploads.demand_checkpoint(work.resolved.backup.name, work.resolved.backup.status.uploads)
        load = work.load_of(work.resolved)
        await preflight.demand(work.kube, load, work.resolved, work.request(load, attempt=1))
        if self._visit.spec.is_cutover:
            await self._cutover.preflight()
        if self._visit.spec.is_new_server:
            await self._new_server.preflight()

    async def _is_approved(self) -> bool:
        mode, planned = self._visit.spec.asks, self._status["plan"]
        return self._work.begun or mode == "Auto" or (mode == "Approve" and self._work.approval == planned["hash"])

    async def _ask_for_approval(self) -> None:
        planned = self._status["plan"]
        self._work.delay = RESYNC
        if self._visit.spec.asks == "Observe":
            report.observing(self._visit, f"the plan is written, nothing is done in mode Observe: {planned['summary']}")
            return
        self._status["phase"] = "AwaitingApproval"
        command = (
            f"kubectl --namespace {self._visit.namespace} annotate lmsr {self._visit.name} --overwrite "
            f"{ANNOTATION_APPROVE}={planned['hash']}"
        )
        raise Waiting("AwaitingApproval", f"approve with: {command}; the plan: {planned['summary']}", RESYNC)

    async def _is_recorded(self) -> bool:
        """Never here: what is recorded has its final phase, and is not visited any more."""
        return False

    async def _complete(self) -> None:
        status, moment = self._status, to_rfc3339(self._visit.now)
        took = self._visit.now - from_rfc3339(status.setdefault("startTime", moment))
        database = status["plan"].get("replaces") or status["plan"]["database"]
        content = f"{status.get('tables', 0)} tables, {status.get('rows', 0)} rows, equal to the manifest"
        kept = await self._keep_old() if self._visit.spec.is_cutover else ""
        kept += f"; left out: {status['leftOut']}" if "leftOut" in status else ""
        status |= {
            "database": database,
            "completionTime": moment,
            "duration": human(took),
            "progressText": "100%",
            "step": "",
            "steps": decide.finished(status["steps"], moment),
        }
        status.pop("progress", None)
        report.completed(self._visit, f"database {database} holds {content}{kept}{self._made()}")

    def _made(self) -> str:
        """What was made besides, in words."""
        made = self._status["plan"].get("makes") or []
        return f"; made: {', '.join(made)}" if made else ""

    async def _keep_old(self) -> str:
        """Note what was replaced, where it is safe, and until when it is kept."""
        name, server = self._cutover.names.old, await self._cutover.server()
        await self._cutover.note_safety_backup()
        if server.comments.get(name) != replaced_mark(self._visit.uid):
            return ""
        end = to_rfc3339(self._visit.now + timedelta(seconds=self._visit.spec.keeps_old_for))
        self._status["oldDatabase"] = {"name": name, "dropAfter": end}
        return f"; the one before is {name} until {end}"
