"""A read replica in RDS: asked for once it is noted, waited for, and deleted when nobody wants it any more.

It is noted on the EndpointSlice before RDS hears of it, so that a kill in between leaves nothing that nobody knows.
"""

from dataclasses import replace

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.rds import open_rds
from aada_operator.api.read_replica import RdsReplica
from aada_operator.core.controller import FINALIZER, is_held
from aada_operator.core.errors import Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.core.resources import AADA_LMS
from aada_operator.lms.read_place import Reads
from aada_operator.lms.world import LmsVisit

CREATING = "ReplicaCreating"
_GOING = "deleting"


class RdsSide:
    """What is asked of RDS in one visit."""

    def __init__(self, kube: Kube, visit: LmsVisit, allow_local: bool) -> None:
        self._kube = kube
        self._visit = visit
        self._allow_local = allow_local

    async def located(self, reads: Reads, declared: RdsReplica) -> Reads:
        """The same with the address of the replica, which is made when it is missing.

        Raises:
            Waiting: ReplicaCreating; SecretMissing, or as `Rds.create`.
        """
        note = reads.rds
        if note is None or not note.declared.is_same(declared):
            raise Waiting(CREATING, f"RDS is asked for {declared.identifier} in a moment")
        if note.host:
            return reads
        rds = await open_rds(self._kube, self._visit.namespace, declared, allow_local=self._allow_local)
        found = await rds.find()
        if found is None:
            await rds.create(self._visit.uid)
            failpoint("lms.rds.after-create")
            raise Waiting(CREATING, f"RDS makes {declared.identifier}; that takes some minutes")
        if not found.host or found.status == _GOING:
            raise Waiting(CREATING, f"RDS says that {declared.identifier} is {found.status}")
        return replace(reads, rds=note.model_copy(update={"host": found.host, "port": found.port}))

    async def discard(self, unwanted: RdsReplica) -> None:
        """Delete a replica that was made for this AadaLms, if it is to be; raises as `Rds.delete`."""
        if unwanted.deletion_policy == "Delete":
            rds = await open_rds(self._kube, self._visit.namespace, unwanted, allow_local=self._allow_local)
            await rds.delete(self._visit.uid)
            failpoint("lms.rds.after-delete")

    async def hold(self, reads: Reads) -> None:
        """The AadaLms does not go before a replica that has to go with it."""
        wanted = reads.rds is not None and reads.rds.declared.deletion_policy == "Delete"
        if wanted != is_held(self._visit.body):
            await self._kube.set_finalizer(AADA_LMS, self._visit.body, FINALIZER, present=wanted)
