"""One visit to one Restore: what its steps share, and what they find for those after them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import ANNOTATION_APPROVE, seconds
from aada_operator.api.restore import RestoreSpec
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.controller import Visit
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import JobRequest, WorkerImage
from aada_operator.restores import decide, manifests, planning, uploads
from aada_operator.restores.manifests import Load
from aada_operator.restores.world import Resolved, resolve

NOW = 0.0
# A Job begun in the last moment of the timeout still gets the time to say what is wrong.
LEAST_DEADLINE = 60


@dataclass
class Work:
    """``delay`` is until the next visit, in seconds; ``pinned`` the backup that must not change any more."""

    kube: Kube
    image: WorkerImage
    allow_local: bool
    visit: Visit[RestoreSpec]
    delay: float = NOW
    pinned: str | None = None
    resolved: Resolved | None = field(default=None)

    @property
    def status(self) -> dict[str, Any]:
        return self.visit.status

    @property
    def begun(self) -> bool:
        """Whether a Job was started."""
        return bool(self.status.get("attempt"))

    @property
    def approval(self) -> str | None:
        return self.visit.annotations.get(ANNOTATION_APPROVE)

    async def demand_resolved(self) -> Resolved:
        """The backup with all that it names; raises as `world.resolve`."""
        visit = self.visit
        self.resolved = await resolve(self.kube, visit, self.pinned, self.allow_local)
        return self.resolved

    def planned(self, resolved: Resolved) -> Object:
        """The plan for what was resolved."""
        live, uid, spec = resolved.server.name, self.visit.uid, self.visit.spec
        name = live if resolved.rebuild else decide.database_name(live, uid, spec.target.database)
        old = decide.old_name(live, uid) if spec.is_cutover else ""
        plan = planning.plan(resolved.backup, resolved.server, name, old, spec.tables, resolved.rebuild)
        return uploads.planned(plan, spec.uploads, resolved.backup.status.uploads) if spec.uploads else plan

    def load_of(self, resolved: Resolved) -> Load:
        """What its Job is made of."""
        return Load(
            restore=self.visit.body,
            backup=resolved.backup.name,
            location=resolved.location,
            manifest_sha256=resolved.backup.status.manifest_sha256,
            server=resolved.server,
            database=self.planned(resolved)["database"],
            identity=resolved.identity,
            job=resolved.job,
            allow_local=self.allow_local,
            lms=resolved.backup.status.lms,
            tables=tuple(self.visit.spec.tables),
            checks=tuple(self.visit.spec.checks),
            data_key=resolved.data_key,
        )

    def request(self, load: Load, attempt: int) -> JobRequest:
        """The Job of an attempt, which may take what is left of the timeout."""
        left = (self.deadline() - self.visit.now).total_seconds()
        return manifests.restore_job(load, attempt, max(LEAST_DEADLINE, int(left)))

    def deadline(self) -> datetime:
        """Until when the load may be tried; it begins with the first try, not with waiting for an approval."""
        start = from_rfc3339(self.status["startTime"]) if "startTime" in self.status else self.visit.now
        return start + timedelta(seconds=seconds(self.visit.spec.timeout))
