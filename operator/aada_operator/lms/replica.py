"""The read replica of an AadaLms: looked at often, its Service led to it or to the primary, the URL in the Secret."""

import base64
import logging
from dataclasses import replace

from aada_operator.adapters import children
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres_logins import login_of
from aada_operator.adapters.service_targets import targets
from aada_operator.api.common import seconds
from aada_operator.api.read_replica import READ_URL, service_name
from aada_operator.core.controller import is_held
from aada_operator.core.errors import OperatorError
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import ENDPOINT_SLICES, SECRET_ROTATIONS, SECRETS, SERVICES
from aada_operator.lms import app_secret, read_place, read_service
from aada_operator.lms.rds_replica import RdsSide
from aada_operator.lms.read_place import Reads, Seen, Verdict
from aada_operator.lms.replica_look import ReplicaLook
from aada_operator.lms.world import LmsVisit, World, described

logger = logging.getLogger(__name__)
READS = "ReadReplicaReady"
# How often the replica is looked at, in seconds.
LOOK = 10.0


class ReplicaReconciler:
    """Sets ReadReplicaReady and ``status.readReplica``; whatever is wrong with the replica stops nothing else.

    It comes before the database: components may name the URL, and would wait for it as for a missing key.
    """

    def __init__(self, kube: Kube, allow_local: bool) -> None:
        self._kube = kube
        self._allow_local = allow_local

    async def reconcile(self, visit: LmsVisit, world: World) -> None:
        """Lead reads where they belong, if there is or was a replica."""
        declared = visit.spec.database.read_replica
        before = await self._before(visit)
        if declared is None and before is None:
            visit.conditions.drop(READS)
            visit.status.pop("readReplica", None)
            return
        visit.again_within = LOOK
        if visit.spec.suspend:
            visit.conditions.set(READS, "Unknown", "Suspended", "spec.suspend is true: reads stay where they are")
            return
        look = ReplicaLook(self._kube, visit, self._allow_local)
        known, seen = await look.look(world, before or Reads())
        limit = seconds(declared.publish_when_lag_below) if declared else 0.0
        verdict = read_place.judge(known, seen, limit, visit.now)
        try:
            await self._keep(visit, look, before, verdict.reads)
            await self._ensure_url(visit, world)
        except OperatorError as error:
            visit.conditions.set(READS, False, error.reason, error.message)
        else:
            self._tell(visit, seen, verdict)

    async def finalize(self, visit: LmsVisit) -> float | None:
        """The AadaLms is deleted, and a replica in RDS that was made for it is to go as well.

        Raises:
            Waiting: RDS cannot be asked.
        """
        before, replica = await self._before(visit), visit.spec.database.read_replica
        declared, noted = replica.rds if replica else None, before.rds.declared if before and before.rds else None
        for one in (declared, noted if noted and not noted.is_same(declared) else None):
            if one:
                await RdsSide(self._kube, visit, self._allow_local).discard(one)
        return None

    async def _before(self, visit: LmsVisit) -> Reads | None:
        return read_place.reads_of(await self._kube.get(ENDPOINT_SLICES, visit.namespace, service_name(visit.name)))

    def _tell(self, visit: LmsVisit, seen: Seen, verdict: Verdict) -> None:
        lag = None if seen.lag is None else round(seen.lag)
        visit.status["readReplica"] = {"readsFrom": verdict.reads.place, "lagSeconds": lag}
        visit.conditions.set(READS, verdict.status, verdict.reason, verdict.message)

    async def _keep(self, visit: LmsVisit, look: ReplicaLook, before: Reads | None, reads: Reads) -> None:
        """Lead reads there, and part with a replica in RDS that nobody declares any more, once nobody reads from it."""
        replica = visit.spec.database.read_replica
        declared, rds = replica.rds if replica else None, RdsSide(self._kube, visit, self._allow_local)
        reads = replace(reads, rds=read_place.recorded(reads.rds, declared))
        await rds.hold(reads)
        await self._lead(visit, look, before, reads)
        if reads.rds and not reads.rds.declared.is_same(declared):
            await rds.discard(reads.rds.declared)
            reads = replace(reads, rds=read_place.recorded(None, declared))
            await self._lead(visit, look, reads, reads)
            await rds.hold(reads)

    async def _lead(self, visit: LmsVisit, look: ReplicaLook, before: Reads | None, reads: Reads) -> None:
        """Make the Service lead there.

        Raises:
            Waiting: HostUnknown, AddressRefused, SecretMissing; or the API server does not answer.
            Stalled: NameTaken, Refused.
        """
        target = await targets(self._kube, await look.server(reads))
        await children.ensure(self._kube, SERVICES, read_service.service(visit.body, visit.spec.database.port))
        failpoint("lms.replica.after-service")
        wanted = read_service.endpoint_slice(visit.body, reads, target.family, target.addresses, target.port)
        await children.ensure(self._kube, ENDPOINT_SLICES, wanted)
        failpoint("lms.replica.after-endpoints")
        if before is None or before.place != reads.place:
            logger.info("reads are led elsewhere", extra={"object": described(visit), "place": reads.place})

    async def _ensure_url(self, visit: LmsVisit, world: World) -> None:
        """Keep the URL to read with in the Secret that was made here; a given one is left alone.

        A rotation under way has copies of the Secret, and would bring the key back with a retired login.
        """
        database = visit.spec.database
        name = database.app_secret(visit.name)
        secret = await world.secrets.get(name)
        if secret is None or not app_secret.made_for(secret, visit.uid):
            return
        login = await login_of(self._kube, visit.namespace, name)
        url = app_secret.read_url(visit.name, database, login.username, login.password)
        wanted = {READ_URL: base64.b64encode(url.encode()).decode()}
        if not database.read_replica or wanted.items() <= secret["data"].items():
            return
        if not any(is_held(rotation) for rotation in await self._kube.list(SECRET_ROTATIONS, visit.namespace)):
            await self._kube.patch(SECRETS, secret, {"data": wanted})
            world.secrets.forget(name)
