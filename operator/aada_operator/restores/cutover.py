"""The steps of a Cutover after the load: safety backup, properties, smoke test, and the names swapped.

Until the swap the live database is not touched. The swap is one transaction, so there is no half of it, and nothing to
undo after a kill. That it happened stands in the comment of the live database: from then on all earlier steps are done.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aada_operator.adapters import interlock, postgres
from aada_operator.adapters.postgres import Session
from aada_operator.adapters.postgres_cutover import Swap, give_properties, look, properties
from aada_operator.adapters.postgres_locks import alone
from aada_operator.adapters.postgres_logins import admin_session, application_session
from aada_operator.adapters.referenced import lms_of, policy_of
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.database import CutoverNames, CutoverServer, DatabaseProperties
from aada_operator.core.errors import Stalled
from aada_operator.core.failpoints import failpoint
from aada_operator.core.interlock import Claim, Operation
from aada_operator.core.resources import BACKUPS, Object
from aada_operator.core.steps import Step, demand, unless
from aada_operator.restores import decide, manifests, report
from aada_operator.restores.work import Work

logger = logging.getLogger(__name__)
POLL = 3.0


class Cutover:
    """One visit's look at the server, and the steps that follow from it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._visit = work.visit
        self._server: CutoverServer | None = None
        self._wanted: DatabaseProperties | None = None

    def steps(self) -> list[Step]:
        """What follows the load; after the swap only one of the two databases has the name that its steps know."""
        return [
            unless(self.swapped, demand("Claim", self._claim)),
            unless(self.swapped, Step("SafetyBackup", self._is_safe, self._take_safety_backup)),
            unless(self.swapped, Step("Properties", self._has_properties, self._give_properties)),
            unless(self.swapped, demand("Smoke", self._smoke)),
            Step("Swap", self.swapped, self._swap),
        ]

    def or_swapped(self, step: Step, still_open: Callable[[], bool]) -> Step:
        """A step before the swap, done as well once that is seen: looked for only while ``still_open`` says so."""

        async def done() -> bool:
            return await step.done() or (still_open() and await self.swapped())

        return Step(step.name, done, step.act)

    async def swapped(self) -> bool:
        """Whether the live database is the restored one."""
        return (await self.server()).is_swapped(self.names, self._visit.uid)

    async def preflight(self) -> None:
        """Prove what the swap will need, before anything is loaded.

        Raises:
            Waiting, Stalled: as `decide.demand_cutover`; BackupPolicyNotFound.
        """
        server = await self.server()
        decide.demand_cutover(server, self.names)
        if self._visit.spec.takes_safety_backup and server.has_live(self.names):
            if not self._plan["policy"]:
                message = (
                    "an imported backup has no policy to take the safety backup: make one, set safetyBackup: false"
                )
                raise Stalled("BackupPolicyNotFound", message)
            await policy_of(self._work.kube, self._visit.namespace, self._plan["policy"])

    async def server(self) -> CutoverServer:
        """The server as it was at the first look of this visit."""
        if self._server is None:
            async with self._admin() as session:
                self._server = await look(session, self.names)
        return self._server

    @property
    def names(self) -> CutoverNames:
        """The three databases of the plan."""
        return CutoverNames(self._plan["replaces"], self._plan["database"], self._plan["oldDatabase"])

    @property
    def _plan(self) -> Object:
        return dict(self._work.status["plan"])

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[Session]:
        lms = await self._lms()
        async with admin_session(
            self._work.kube, self._visit.namespace, lms.database, self._work.allow_local
        ) as opened:
            yield opened

    async def _lms(self) -> AadaLmsSpec:
        """The AadaLms as it is now, if its database is still that of the plan."""
        spec = await lms_of(self._work.kube, self._visit.namespace, self._plan["lms"])
        if decide.address(spec.database) != self._plan["address"]:
            raise Stalled("PlanChanged", "the AadaLms names another database than the plan does: create a Restore")
        return spec

    async def _claim(self) -> None:
        """From now on no backup, no migration and no other Cutover works with the live database."""
        wanted = Claim.of(self._visit.body, Operation.CUTOVER, self._visit.now)
        await interlock.claim(self._work.kube, self._visit.namespace, self._plan["lms"], wanted)

    async def release(self) -> None:
        """Whoever waits may go on."""
        if lms := (self._work.status.get("plan") or {}).get("lms"):
            await interlock.release(self._work.kube, self._visit.namespace, lms, self._visit.uid)

    async def _is_safe(self) -> bool:
        if not (self._visit.spec.takes_safety_backup and (await self.server()).has_live(self.names)):
            return True
        return decide.is_safe(await self.note_safety_backup(), self._visit.uid)

    async def note_safety_backup(self) -> Object | None:
        """The Backup of before; the status names it also where whoever made it was killed before it said so."""
        found = await self._work.kube.get(BACKUPS, self._visit.namespace, decide.safety_backup_name(self._visit.name))
        if found and decide.is_safety_backup(found, self._visit.uid):
            self._work.status["safetyBackup"] = found["metadata"]["name"]
        return found

    async def _take_safety_backup(self) -> None:
        work, plan = self._work, self._plan
        wanted = manifests.safety_backup(self._visit.body, plan["lms"], plan["policy"])
        name = wanted["metadata"]["name"]
        await work.kube.create(BACKUPS, wanted)
        work.status["safetyBackup"] = name
        report.under_way(self._visit, "Running", "SafetyBackup", f"Backup {name} of the live database is taken first")
        work.delay = POLL

    async def _has_properties(self) -> bool:
        server = await self.server()
        decide.demand_restored(server, self.names, self._visit.uid)
        if not server.has_live(self.names):
            return True
        async with self._admin() as session:
            self._wanted = await properties(session, self.names.live)
            return await properties(session, self.names.restored) == self._wanted

    async def _give_properties(self) -> None:
        assert self._wanted, "they were looked at"  # noqa: S101
        async with self._admin() as session:
            await give_properties(session, self.names.restored, self._wanted)

    async def _smoke(self) -> None:
        """The application logs in to the restored database and finds the schema of the backup, before any user does."""
        work, lms = self._work, await self._lms()
        async with application_session(
            work.kube, self._visit.namespace, self._plan["lms"], lms.database, work.allow_local, self.names.restored
        ) as session:
            found = await postgres.revision(session, lms.schema_.revision_table)
        decide.demand_revision(found, self._plan["schemaRevision"])

    async def _swap(self) -> None:
        live = self.names.live
        async with self._admin() as renaming, self._admin() as ending, alone(renaming, live):
            # Read again: what held when the plan was approved may hold no longer.
            server = await look(renaming, self.names)
            if server.is_swapped(self.names, self._visit.uid):
                return
            decide.demand_cutover(server, self.names)
            decide.demand_restored(server, self.names, self._visit.uid)
            failpoint("restore.cutover.before-swap")
            await Swap(renaming, ending, self.names, self._visit.uid).run(has_live=server.has_live(self.names))
            failpoint("restore.cutover.after-swap")
        logger.info(
            "a restored database took the place of the live one",
            extra={"object": f"restores/{self._visit.namespace}/{self._visit.name}", "names": vars(self.names)},
        )
