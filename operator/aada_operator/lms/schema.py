"""The schema of an AadaLms: one Job per wish brings it to its revision; the revision is read from the database."""

import logging

from aada_operator.adapters import interlock
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.worker_jobs import JOB_NAME_LABEL
from aada_operator.api.common import ANNOTATION_RESET_AT, LABEL_LMS, LABEL_OWNER
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.interlock import OPERATION_IN_PROGRESS, Claim, Operation
from aada_operator.core.resources import JOBS, PODS, Object
from aada_operator.lms import migration, pod
from aada_operator.lms.decide import Migrations, SchemaStep, Verdict, migration_failure, schema_step, superfluous
from aada_operator.lms.world import SECRET_MISSING, LmsVisit, World, described

logger = logging.getLogger(__name__)
CURRENT = "SchemaCurrent"
# What alembic says when the database is at a revision that the image does not have.
_UNKNOWN_REVISION = "Can't locate revision"
_FINISHED_PODS = ("Succeeded", "Failed")


class SchemaReconciler:
    """Sets SchemaCurrent and ``status.schema``, and opens the gate for rollouts."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def reconcile(self, visit: LmsVisit, world: World) -> None:
        """Take the next step for the schema.

        Raises:
            Stalled: the migration failed; the message has the way out.
        """
        reset_at = visit.annotations.get(ANNOTATION_RESET_AT, "")
        wanted = migration.job_name(visit.spec, visit.name, reset_at)
        recorded = visit.status.get("schema") or {}
        if not world.connected:
            # What was brought about stays true while the server is away: the components go on with it.
            world.schema_current = recorded.get("job") == wanted
            visit.conditions.set(CURRENT, "Unknown", "DatabaseUnreachable", "the revision cannot be read now")
            return
        if reset_at:
            visit.status["resetAt"] = reset_at[:64]
        jobs = await self._jobs(visit)
        seen = await self._observe(visit, world, wanted, jobs)
        await self._act(visit, world, seen, jobs)

    async def _jobs(self, visit: LmsVisit) -> dict[str, Object]:
        """The migration Jobs of this AadaLms by name."""
        found = await self._kube.list(JOBS, visit.namespace, {LABEL_OWNER: pod.OWNER, LABEL_LMS: visit.name})
        mine = (job for job in found if visit.uid in {r["uid"] for r in job["metadata"].get("ownerReferences", ())})
        return {job["metadata"]["name"]: job for job in mine}

    async def _observe(self, visit: LmsVisit, world: World, wanted: str, jobs: dict[str, Object]) -> Migrations:
        pods = await self._kube.list(PODS, visit.namespace, migration.selector(visit.name))
        recorded = visit.status.get("schema") or {}
        running = (p for p in pods if (p.get("status") or {}).get("phase") not in _FINISHED_PODS)
        return Migrations(
            wanted=wanted,
            target=visit.spec.schema_.revision,
            recorded_job=recorded.get("job", ""),
            recorded_revision=recorded.get("revision", ""),
            jobs=tuple(migration.state(job, [p for p in pods if _job_of(p) == name]) for name, job in jobs.items()),
            revision=world.revision,
            leftover=next((p["metadata"]["name"] for p in running if _job_of(p) not in jobs), ""),
        )

    async def _act(self, visit: LmsVisit, world: World, seen: Migrations, jobs: dict[str, Object]) -> None:
        step = schema_step(seen)
        if step.action == "Start":
            step = await self._unless_secrets_miss(visit, world, step)
        if step.action == "Start" and not visit.spec.suspend:
            step = await self._unless_others_work(visit, step)
        if step.action in ("NotNeeded", "Done", "Failed") and any(one.uid == visit.uid for one in world.claims):
            await interlock.release(self._kube, visit.namespace, visit.name, visit.uid)
        if step.action in ("NotNeeded", "Done"):
            await self._done(visit, world, seen, jobs)
        elif step.action == "Failed":
            await self._failed(visit, seen, step)
        elif visit.spec.suspend:
            visit.conditions.set(CURRENT, "Unknown", "Suspended", "no migration is started while spec.suspend is true")
        else:
            await self._go_on(visit, seen, step, jobs)
            world.progress = step.reason
            visit.conditions.set(CURRENT, "Unknown" if step.healthy else "False", step.reason, step.message)

    async def _unless_secrets_miss(self, visit: LmsVisit, world: World, step: SchemaStep) -> SchemaStep:
        """A pod without a Secret that it needs would only wait for it, and its deadline would run."""
        missing = await world.secrets.missing(pod.needs(visit.spec, visit.name, visit.spec.api_component()))
        return (
            SchemaStep("Wait", SECRET_MISSING, f"the migration needs {missing[0]}", healthy=False) if missing else step
        )

    async def _unless_others_work(self, visit: LmsVisit, step: SchemaStep) -> SchemaStep:
        """A migration changes what a backup reads, and a Cutover would take the database away from it."""
        try:
            wanted = Claim.of(visit.body, Operation.MIGRATION, visit.now)
            await interlock.claim(self._kube, visit.namespace, visit.name, wanted)
        except Waiting as waiting:
            if waiting.reason != OPERATION_IN_PROGRESS:
                raise
            return SchemaStep("Wait", waiting.reason, f"the migration {waiting.message}")
        return step

    async def _go_on(self, visit: LmsVisit, seen: Migrations, step: SchemaStep, jobs: dict[str, Object]) -> None:
        for name in step.jobs:
            logger.info(
                "removing a migration Job", extra={"object": described(visit), "job": name, "detail": step.message}
            )
            await self._kube.delete(JOBS, jobs[name])
        if step.action == "Start":
            await self._start(visit, seen)
            detail = {"object": described(visit), "job": seen.wanted, "from": seen.revision or "", "to": seen.target}
            logger.info("migration started", extra=detail)
        if step.action in ("Start", "Clear"):
            # Until the Job has ended, nothing is known to have brought the schema to what is wanted.
            visit.status["schema"] = (visit.status.get("schema") or {}) | {"job": ""}

    async def _start(self, visit: LmsVisit, seen: Migrations) -> None:
        try:
            await self._kube.create(JOBS, migration.manifest(visit.body, visit.spec, seen.wanted, seen.revision or ""))
        except OperatorError:
            # What cannot begin must not keep others from their work.
            await interlock.release(self._kube, visit.namespace, visit.name, visit.uid)
            raise

    async def _failed(self, visit: LmsVisit, seen: Migrations, step: SchemaStep) -> None:
        verdict = Verdict("False", step.reason, step.message)
        job = seen.current()
        if job and job.phase == "Failed":
            line = await self._kube.last_log_line(visit.namespace, job.pod) if job.pod else ""
            image = pod.image_of(visit.spec, visit.spec.api_component())
            unknown = _UNKNOWN_REVISION in line
            verdict = migration_failure(job, image, visit.spec.schema_.timeout, unknown_revision=unknown)
        visit.conditions.set(CURRENT, verdict.status, verdict.reason, verdict.message)
        if not visit.spec.suspend:
            raise Stalled(verdict.reason, verdict.message)

    async def _done(self, visit: LmsVisit, world: World, seen: Migrations, jobs: dict[str, Object]) -> None:
        revision, job = seen.revision or "", seen.current()
        before = str((visit.status.get("schema") or {}).get("previousRevision", ""))
        moved = job is not None and job.previous not in ("", revision)
        previous = job.previous if job and moved else before
        visit.status["schema"] = {"revision": revision, "previousRevision": previous, "job": seen.wanted}
        visit.conditions.set(CURRENT, True, "AtRevision", f"the schema is at {revision}")
        world.schema_current = True
        if not visit.spec.suspend:
            for name in superfluous(seen.jobs, seen.wanted):
                await self._kube.delete(JOBS, jobs[name])


def _job_of(one: Object) -> str:
    return str((one["metadata"].get("labels") or {}).get(JOB_NAME_LABEL, ""))
