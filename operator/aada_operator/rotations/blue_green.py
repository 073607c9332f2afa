"""BlueGreen: the key that signs tokens, for an application that knows one key only.

Pods with the new key are started beside those with the old one, and the Service sends all users from these to those at
once. So no user meets pods of both keys, and everybody logs in again once. The component's own pods get the new key
while the others serve, and then the users back.
"""

from dataclasses import replace

from aada_operator.adapters.postgres_logins import pooler_limits
from aada_operator.core.errors import Waiting
from aada_operator.core.steps import Step, demand, unless
from aada_operator.rotations import decide
from aada_operator.rotations.decide import Convergence
from aada_operator.rotations.green import Green
from aada_operator.rotations.replacement import CONVERGING, ROLLING_BACK
from aada_operator.rotations.signing_key import SigningKey
from aada_operator.rotations.work import Work

SWITCHING = "Switching"


class BlueGreen(SigningKey):
    """Blue are the components' own pods, green those that stand in for them."""

    strategy = "BlueGreen"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._green = Green(work)

    def steps(self) -> list[Step]:
        return [
            demand("Preflight", self._preflight),
            self.claim_step(),
            self.keep_step(),
            Step("Generate", self.is_generated, self._generate),
            unless(self._is_decided, Step("StartGreen", self._green.is_ready, self._start_green)),
            unless(self.is_published, Step("SwitchToGreen", self._green.has_users, self._switch_to_green)),
            # Nobody is at the blue pods now, so they may change over one by one.
            Step("Publish", self.is_published, self.publish_new),
            Step("Converge", self.has_converged, self.note_converged),
            Step("SwitchToBlue", self._green.has_no_users, self._switch_to_blue),
            Step("StopGreen", self._green.is_gone, self._green.stop),
            *self.last_steps(),
        ]

    def way_back(self) -> list[Step]:
        return [
            self.claim_step("ClaimAgain"),
            Step("Return", self.is_returned, self.return_old),
            Step("Reconverge", self._has_reconverged, self.reconverge),
            Step("SwitchToBlue", self._green.has_no_users, self._switch_back),
            Step("StopGreen", self._green.is_gone, self._green.stop),
        ]

    async def is_reversible(self) -> bool:
        return not await self.has_converged()

    def described(self) -> str:
        return f"{super().described()}; all users log in again when it is replaced"

    async def look_around(self) -> None:
        """Somebody took the Secrets of a rotation away: its green pods would serve for ever."""
        if await self._green.is_gone() or not (await self.convergence()).reached:
            return
        await (self._green.stop() if await self._green.has_no_users() else self._green.withdraw())

    async def convergence(self) -> Convergence:
        """Blue pods must be ready, too, before users are sent to them."""
        found = await super().convergence()
        return replace(found, workloads=(*found.workloads, *await self._green.unready_blue()))

    # --- forth -------------------------------------------------------------------------------------------------------

    async def _preflight(self) -> None:
        if not self._work.fresh:
            await self.preflight()
            work = self._work
            pooler = await pooler_limits(work.kube, self._visit.namespace, work.spec.database, work.allow_local)
            decide.demand_connections(work.lms, work.spec, await self._green.sizes(), pooler)

    async def _generate(self) -> None:
        await self.generate_key(**dict.fromkeys(self._accepted, ""))

    async def _is_decided(self) -> bool:
        """Whether green was once ready: it is not asked for again, the users are on their way."""
        return await self.is_published() or await self._green.is_declared()

    async def _start_green(self) -> None:
        self.demand_undisturbed()
        await self._green.start()

    async def _switch_to_green(self) -> None:
        self.demand_undisturbed()
        await self._green.declare()
        raise Waiting(SWITCHING, "all users are sent to pods with the new key, and log in again once", 1.0)

    async def _switch_to_blue(self) -> None:
        await self.demand_converged(CONVERGING, "not changed over yet")
        await self._withdraw("users are sent to the component's own pods, which have the new key")

    async def _withdraw(self, words: str) -> None:
        await self._green.withdraw()
        raise Waiting(SWITCHING, words, 1.0)

    # --- back --------------------------------------------------------------------------------------------------------

    async def _has_reconverged(self) -> bool:
        """Before the switch blue was not touched, and is not waited for."""
        untouched = self._work.revision < self.new.number and not await self._green.is_declared()
        return untouched or (await self.convergence()).reached

    async def _switch_back(self) -> None:
        await self.demand_converged(ROLLING_BACK, "not back yet")
        await self._withdraw("all users are sent back to pods with the old key, and log in again once more")
