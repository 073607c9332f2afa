"""The read replica of an AadaLms: looked at often, its Service led to it or to the primary, the URL in the Secret."""

import base64
import logging
from dataclasses import replace

from aada_operator.adapters import children, postgres, postgres_replica
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres import Endpoint
from aada_operator.adapters.postgres_errors import TLS_FAILED
from aada_operator.adapters.postgres_logins import endpoint_of, login_of
from aada_operator.adapters.service_targets import targets
from aada_operator.api.common import seconds
from aada_operator.api.lms import Database
from aada_operator.api.read_replica import READ_URL, ReadReplica, service_name
from aada_operator.core.controller import is_held
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.core.replication import Position, Replayed
from aada_operator.core.resources import ENDPOINT_SLICES, SECRET_ROTATIONS, SECRETS, SERVICES
from aada_operator.lms import app_secret, read_place, read_service
from aada_operator.lms.read_place import PRIMARY, REPLICA, Reads, Seen, Verdict
from aada_operator.lms.world import LmsVisit, World, described

logger = logging.getLogger(__name__)
READS = "ReadReplicaReady"
# How often the replica is looked at, in seconds.
LOOK = 10.0
_FIELD = "database.readReplica"


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
        before = read_place.reads_of(await self._kube.get(ENDPOINT_SLICES, visit.namespace, service_name(visit.name)))
        if declared is None and before is None:
            visit.conditions.drop(READS)
            visit.status.pop("readReplica", None)
            return
        visit.again_within = LOOK
        if visit.spec.suspend:
            visit.conditions.set(READS, "Unknown", "Suspended", "spec.suspend is true: reads stay where they are")
            return
        seen = await self._look(visit, world, before or Reads())
        limit = seconds(declared.publish_when_lag_below) if declared else 0.0
        verdict = read_place.judge(before, seen, limit, visit.now)
        try:
            await self._lead(visit, before, verdict.reads)
            await self._ensure_url(visit, world)
        except OperatorError as error:
            visit.conditions.set(READS, False, error.reason, error.message)
        else:
            self._tell(visit, seen, verdict)

    def _tell(self, visit: LmsVisit, seen: Seen, verdict: Verdict) -> None:
        lag = None if seen.lag is None else round(seen.lag)
        visit.status["readReplica"] = {"readsFrom": verdict.reads.place, "lagSeconds": lag}
        visit.conditions.set(READS, verdict.status, verdict.reason, verdict.message)

    # --- the look -----------------------------------------------------------------------------------------------------

    async def _look(self, visit: LmsVisit, world: World, before: Reads) -> Seen:
        """How far the replica is behind, seen as the application will see it: with its login, by the Service's name."""
        database, replica = visit.spec.database, visit.spec.database.read_replica
        if replica is None:
            return _meant("NoReplica", f"{_FIELD} is not declared: {READ_URL} leads to the primary")
        if read_place.is_cut_over(world.claims):
            return _meant("CutoverInProgress", "a Cutover is at work: reads go to the primary until it ends")
        if await world.secrets.get(database.app_secret(visit.name)) is None:
            return _meant("WaitingForDatabase", "the application's Secret is made with its roles")
        try:
            position = await self._position(visit)
        except OperatorError as error:
            return Seen(reason="PrimaryUnreachable", message=_told(error, visit.name), unclear=True)
        try:
            found = await self._replayed(visit, replica, position, everywhere=before.place == PRIMARY)
        except OperatorError as error:
            return Seen(reason="ReplicaUnreachable", message=_told(error, visit.name))
        return judged(found, position)

    async def _position(self, visit: LmsVisit) -> Position:
        database = visit.spec.database
        endpoint = await self._seen_through_service(visit, None)
        login = await login_of(self._kube, visit.namespace, database.app_secret(visit.name))
        async with postgres.session(endpoint, login, database.name) as session:
            return await postgres_replica.position(session)

    async def _replayed(self, visit: LmsVisit, replica: ReadReplica, after: Position, *, everywhere: bool) -> Replayed:
        """Ask the replica, and end sessions there whose reads belong elsewhere.

        The Service leads new sessions only: pools would keep theirs, on a replica that fell behind or in a database
        that was replaced.
        """
        database = visit.spec.database
        endpoint = await self._seen_through_service(visit, replica)
        login = await login_of(self._kube, visit.namespace, database.app_secret(visit.name))
        async with postgres.session(endpoint, login, database.name) as session:
            found = await postgres_replica.replayed(session, after)
            if found.standby and found.system == after.system:
                await postgres_replica.end_idle_sessions(session, everywhere=everywhere)
            return found

    async def _seen_through_service(self, visit: LmsVisit, replica: ReadReplica | None) -> Endpoint:
        """The replica, or the primary, under the name that the application verifies."""
        database = visit.spec.database
        server = await self._server(visit, database, replica)
        declared = database.read_replica
        ssl_mode = (declared.ssl_mode if declared else None) or database.ssl_mode
        return replace(server, ssl_mode=ssl_mode, known_as=service_name(visit.name))

    async def _server(self, visit: LmsVisit, database: Database, replica: ReadReplica | None) -> Endpoint:
        server = await endpoint_of(self._kube, visit.namespace, database, self._allow_local)
        if replica is None:
            return server
        return replace(server, host=replica.host, port=replica.port or database.port, field=_FIELD)

    # --- the Service and the URL --------------------------------------------------------------------------------------

    async def _lead(self, visit: LmsVisit, before: Reads | None, reads: Reads) -> None:
        """Make the Service lead there.

        Raises:
            Waiting: HostUnknown, AddressRefused, SecretMissing; or the API server does not answer.
            Stalled: NameTaken, Refused.
        """
        database = visit.spec.database
        replica = database.read_replica if reads.place == REPLICA else None
        target = await targets(self._kube, await self._server(visit, database, replica))
        await children.ensure(self._kube, SERVICES, read_service.service(visit.body, database.port))
        failpoint("lms.replica.after-service")
        wanted = read_service.endpoint_slice(visit.body, reads, target.family, target.addresses, target.port)
        await children.ensure(self._kube, ENDPOINT_SLICES, wanted)
        failpoint("lms.replica.after-endpoints")
        if before is None or before.place != reads.place:
            logger.info("reads are led elsewhere", extra={"object": described(visit), "place": reads.place})

    async def _ensure_url(self, visit: LmsVisit, world: World) -> None:
        """Give the Secret that was made here the URL to read with; what is in it stays, and a given one is left alone.

        A rotation under way has copies of the Secret, and would bring the key back with a retired login.
        """
        database = visit.spec.database
        name = database.app_secret(visit.name)
        secret = await world.secrets.get(name)
        if secret is None or READ_URL in secret["data"] or not app_secret.made_for(secret, visit.uid):
            return
        if any(is_held(rotation) for rotation in await self._kube.list(SECRET_ROTATIONS, visit.namespace)):
            return
        login = await login_of(self._kube, visit.namespace, name)
        url = app_secret.read_url(visit.name, database, login.username, login.password)
        await self._kube.patch(SECRETS, secret, {"data": {READ_URL: base64.b64encode(url.encode()).decode()}})
        world.secrets.forget(name)


def _meant(reason: str, message: str) -> Seen:
    return Seen(reason=reason, message=message, status="Unknown")


def judged(found: Replayed, position: Position) -> Seen:
    """How far a replica of the primary at this position is behind, or that it is none."""
    if not found.standby or found.system != position.system:
        why = "replays another server's log" if found.standby else "is no standby"
        return Seen(reason="NotAReplica", message=f"{_FIELD}.host {why}: name a streaming replica of database.host")
    if found.lag is None:
        message = "it is behind, and has replayed no commit since it was started: nobody knows by how much"
        return Seen(reason="ReplicaLagging", message=message)
    return Seen(lag=found.lag)


def _told(error: OperatorError, lms: str) -> str:
    if isinstance(error, Waiting) and error.reason == TLS_FAILED:
        name = service_name(lms)
        message = f"{error.message}. The application verifies it as {name}: the certificate must have that name, or set"
        return f"{message} {_FIELD}.sslMode to verify-ca"
    return error.message
