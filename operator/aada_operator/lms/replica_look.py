"""A look at the read replica, as the application sees it: with its login, by the name of the Service."""

from dataclasses import replace

from aada_operator.adapters import postgres, postgres_replica
from aada_operator.adapters.kube import Kube
from aada_operator.adapters.postgres import Endpoint
from aada_operator.adapters.postgres_errors import TLS_FAILED
from aada_operator.adapters.postgres_logins import endpoint_of, login_of
from aada_operator.api.lms import Database
from aada_operator.api.read_replica import READ_URL, ReadReplica, service_name
from aada_operator.core.errors import OperatorError
from aada_operator.core.replication import Position, Replayed
from aada_operator.lms import read_place
from aada_operator.lms.rds_replica import CREATING, RdsSide
from aada_operator.lms.read_place import PRIMARY, REPLICA, Reads, Seen
from aada_operator.lms.world import LmsVisit, World

_FIELD = "database.readReplica"


class ReplicaLook:
    """The questions of one visit."""

    def __init__(self, kube: Kube, visit: LmsVisit, allow_local: bool) -> None:
        self._kube = kube
        self._visit = visit
        self._allow_local = allow_local
        self._rds = RdsSide(kube, visit, allow_local)

    @property
    def _database(self) -> Database:
        return self._visit.spec.database

    async def look(self, world: World, reads: Reads) -> tuple[Reads, Seen]:
        """How far the replica is behind, or why nobody knows; and its address, where that was found out."""
        replica = self._database.read_replica
        if replica is None:
            return reads, _meant("NoReplica", f"{_FIELD} is not declared: {READ_URL} leads to the primary")
        if read_place.is_cut_over(world.claims):
            return reads, _meant("CutoverInProgress", "a Cutover is at work: reads go to the primary until it ends")
        if await world.secrets.get(self._database.app_secret(self._visit.name)) is None:
            return reads, _meant("WaitingForDatabase", "the application's Secret is made with its roles")
        try:
            reads = await self._rds.located(reads, replica.rds) if replica.rds else reads
        except OperatorError as error:
            making = error.reason == CREATING
            return reads, Seen(reason=error.reason, message=error.message, status="Unknown" if making else "False")
        return await self._compare(replica, reads)

    async def _compare(self, replica: ReadReplica, reads: Reads) -> tuple[Reads, Seen]:
        try:
            position = await self._position()
        except OperatorError as error:
            return reads, Seen(reason="PrimaryUnreachable", message=self._told(error), unclear=True)
        try:
            found = await self._replayed(reads, position)
        except OperatorError as error:
            # RDS is asked for it again at the next look: it may be gone.
            forgotten = replace(reads, rds=reads.rds and reads.rds.model_copy(update={"host": ""}))
            seen = Seen(reason="ReplicaUnreachable", message=self._told(error))
            return (forgotten if replica.rds else reads), seen
        return reads, judged(found, position)

    async def server(self, reads: Reads) -> Endpoint:
        """The server that reads go to; raises Waiting, SecretMissing."""
        server = await endpoint_of(self._kube, self._visit.namespace, self._database, self._allow_local)
        replica = self._database.read_replica
        if reads.place == PRIMARY or replica is None:
            return server
        host, port = (reads.rds.host, reads.rds.port) if replica.rds and reads.rds else (replica.host, replica.port)
        return replace(server, host=host or "", port=port or server.port, field=_FIELD)

    async def _position(self) -> Position:
        endpoint, login = await self._as_application(Reads(PRIMARY))
        async with postgres.session(endpoint, login, self._database.name) as session:
            return await postgres_replica.position(session)

    async def _replayed(self, reads: Reads, after: Position) -> Replayed:
        """Ask the replica, and end sessions there whose reads belong elsewhere.

        The Service leads new sessions only: pools would keep theirs, on a replica that fell behind or in a database
        that was replaced.
        """
        endpoint, login = await self._as_application(replace(reads, place=REPLICA))
        async with postgres.session(endpoint, login, self._database.name) as session:
            found = await postgres_replica.replayed(session, after)
            if found.standby and found.system == after.system:
                await postgres_replica.end_idle_sessions(session, everywhere=reads.place == PRIMARY)
            return found

    async def _as_application(self, reads: Reads) -> tuple[Endpoint, postgres.Login]:
        """A server under the name that the application verifies, and its login."""
        replica, lms = self._database.read_replica, self._visit.name
        ssl_mode = (replica.ssl_mode if replica else None) or self._database.ssl_mode
        login = await login_of(self._kube, self._visit.namespace, self._database.app_secret(lms))
        return replace(await self.server(reads), ssl_mode=ssl_mode, known_as=service_name(lms)), login

    def _told(self, error: OperatorError) -> str:
        if error.reason != TLS_FAILED:
            return error.message
        fix = f"the certificate must have the name {service_name(self._visit.name)}, or {_FIELD}.sslMode be verify-ca"
        return f"{error.message}. The application verifies it by the name in its URL: {fix}"


def judged(found: Replayed, position: Position) -> Seen:
    """How far a replica of the primary at this position is behind, or that it is none."""
    if not found.standby or found.system != position.system:
        why = "replays another server's log" if found.standby else "is no standby"
        return Seen(reason="NotAReplica", message=f"{_FIELD} {why}: name a streaming replica of database.host")
    if found.lag is None:
        message = "it is behind, and has replayed no commit since it was started: nobody knows by how much"
        return Seen(reason="ReplicaLagging", message=message)
    return Seen(lag=found.lag)


def _meant(reason: str, message: str) -> Seen:
    return Seen(reason=reason, message=message, status="Unknown")
