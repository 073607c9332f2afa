"""One visit to an AadaLms: database, schema, components, then what all that means for the people who run it."""

from collections.abc import Awaitable, Callable

from aada_operator.adapters import interlock
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_logins import pooler_limits
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core import conditions
from aada_operator.core.controller import Capability
from aada_operator.core.database import PoolerLimits
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.metrics import Sample
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES, ApiResource, Object
from aada_operator.lms import capacity, decide, pod, rollout, sizes, summary
from aada_operator.lms.database import REACHABLE, DatabaseReconciler
from aada_operator.lms.replica import ReplicaReconciler
from aada_operator.lms.schema import CURRENT, SchemaReconciler
from aada_operator.lms.workloads import FRESH, WorkloadsReconciler
from aada_operator.lms.world import LmsVisit, Secrets, World

HEALTHY = "RolloutHealthy"
CAPACITY = "CapacitySafe"
BACKUPS = "BackupFresh"
KNOWN = (conditions.READY, conditions.RECONCILING, REACHABLE, CURRENT, HEALTHY, FRESH, CAPACITY, BACKUPS)
CLAIMS = ApiResource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")

# Secrets, the database and the age of backups are not watched: they are asked this often, in seconds.
RESYNC = 60.0
# While a Job or a rollout is on its way its pods are looked at this often.
WATCHING = 5.0


class LmsReconciler:
    """The ordered sub-reconcilers. One that fails leaves its reason; later ones still do what they can without it."""

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local
        self._steps: tuple[Callable[[LmsVisit, World], Awaitable[None]], ...] = (
            self._operation,
            ReplicaReconciler(kube, allow_local).reconcile,
            DatabaseReconciler(kube, allow_local).reconcile,
            SchemaReconciler(kube).reconcile,
            WorkloadsReconciler(kube).reconcile,
            self._rollout,
            self._capacity,
            self._backups,
        )

    async def reconcile(self, visit: LmsVisit) -> float | None:
        """Visit once.

        Raises:
            Waiting, Stalled: the first error of a sub-reconciler, after the others had their turn.
        """
        world = World(Secrets(self._kube, visit.namespace))
        first: OperatorError | None = None
        for step in self._steps:
            try:
                await step(visit, world)
            except OperatorError as error:
                # What needs a person counts more than what may heal.
                first = (
                    error if first is None or (isinstance(error, Stalled) and not isinstance(first, Stalled)) else first
                )
        summary.tell(visit, world, first)
        if first and not visit.spec.suspend:
            raise first
        return WATCHING if world.progress and not visit.spec.suspend else RESYNC

    async def _operation(self, visit: LmsVisit, world: World) -> None:
        world.claims = await interlock.tidied(self._kube, visit.namespace, visit.name)
        visit.status["operation"] = decide.operation(world.claims)

    async def _rollout(self, visit: LmsVisit, world: World) -> None:
        gate = "" if world.schema_current else visit.conditions.reason_of(CURRENT)
        verdict = rollout.healthy(world.rollouts, world.blocked, gate)
        visit.conditions.set(HEALTHY, verdict.status, verdict.reason, verdict.message)
        visit.status["components"] = [rollout.component_status(one) for one in world.rollouts]
        ready = sum(one.serving for one in world.rollouts)
        visit.status["ready"] = f"{ready}/{len(world.rollouts)}"
        if world.rollouts and all(one.done for one in world.rollouts):
            visit.status["version"] = pod.version_of(pod.image_of(visit.spec, visit.spec.api_component()))
        elif not world.progress and verdict.reason in ("Progressing", "DriftReverted"):
            world.progress = "RollingOut"

    async def _capacity(self, visit: LmsVisit, world: World) -> None:
        uploads = visit.spec.storage.uploads
        claim = await self._kube.get(CLAIMS, visit.namespace, uploads.claim_name) if uploads else None
        modes = claim["spec"].get("accessModes", []) if claim else None
        full = sizes.at_full_scale(visit.spec, world.scaled)
        verdict = capacity.capacity_safe(full, world.facts, modes, await self._pooler(visit))
        visit.conditions.set(CAPACITY, verdict.status, verdict.reason, verdict.message)

    async def _pooler(self, visit: LmsVisit) -> PoolerLimits | Waiting | None:
        try:
            return await pooler_limits(self._kube, visit.namespace, visit.spec.database, self._allow_local)
        except Waiting as waiting:
            return waiting

    async def _backups(self, visit: LmsVisit, world: World) -> None:  # noqa: ARG002 - one signature for all steps
        policies = await self._kube.list(BACKUP_POLICIES, visit.namespace)
        verdict, last = decide.backups(policies, visit.name, visit.now)
        visit.conditions.set(BACKUPS, verdict.status, verdict.reason, verdict.message)
        visit.status["lastBackup"] = last


def gauges(body: Object) -> list[Sample]:
    """What Prometheus is told of one AadaLms, from its status."""
    status = body.get("status") or {}
    ready = any(c["type"] == conditions.READY and c["status"] == "True" for c in status.get("conditions", []))
    database = status.get("database") or {}
    samples = [Sample("lms_ready", "1 when the AadaLms is Ready.", float(ready))]
    if database:
        samples += [
            Sample("lms_database_connections", "Sessions on the server, roughly.", database.get("connections", 0)),
            Sample("lms_database_max_connections", "Sessions that it allows.", database.get("maxConnections", 0)),
            Sample("lms_database_size_bytes", "Size of the database, roughly.", database.get("sizeBytes", 0)),
        ]
    reads = status.get("readReplica") or {}
    if reads.get("readsFrom"):
        told = "1 while the application reads from the replica, 0 from the primary."
        samples.append(Sample("lms_reads_from_replica", told, float(reads["readsFrom"] == "Replica")))
    if "lagSeconds" in reads:
        samples.append(Sample("lms_read_replica_lag_seconds", "How far it is behind.", float(reads["lagSeconds"])))
    for component in status.get("components") or []:
        labels = {"component": component["name"]}
        samples += [
            Sample("lms_component_ready_replicas", "Pods of the newest revision ready.", component["ready"], labels),
            Sample("lms_component_desired_replicas", "Pods that should be.", component["desired"], labels),
        ]
    return samples


def capability(kube: Kube, allow_local: bool = False) -> Capability[AadaLmsSpec]:
    """The kind AadaLms; ``allow_local`` follows database hosts to loopback and link-local addresses, for tests."""
    return Capability(
        resource=AADA_LMS,
        spec=AadaLmsSpec,
        known=KNOWN,
        reconcile=LmsReconciler(kube, allow_local).reconcile,
        gauges=gauges,
        finalize=ReplicaReconciler(kube, allow_local).finalize,
    )
