"""The steps back, from anywhere before the old login is retired to where the rotation began."""

import secrets

from aada_operator.adapters import postgres_rotation
from aada_operator.core.errors import Waiting
from aada_operator.core.steps import Step, demand
from aada_operator.rotations import manifests
from aada_operator.rotations.alternating import PASSWORD_BYTES, POLL, claim, publish
from aada_operator.rotations.canary import Canary
from aada_operator.rotations.consumers import Consumers
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.work import Work

ROLLING_BACK = "RollingBack"


class WayBack:
    """One visit's steps back."""

    def __init__(self, work: Work, fresh: Revision) -> None:
        self._work = work
        self._new = fresh
        self._canary = Canary(work)
        self._consumers = Consumers(work)

    def steps(self) -> list[Step]:
        """All of them, in order."""
        return [
            demand("ClaimAgain", self._claim),
            Step("Return", self._is_returned, self._return),
            Step("Reconverge", self._has_reconverged, self._reconverge),
            Step("RetireNew", self._is_withdrawn, self._withdraw),
        ]

    async def _claim(self) -> None:
        await claim(self._work)

    async def _is_returned(self) -> bool:
        return not self._work.published

    async def _return(self) -> None:
        """The old credentials under a new revision: a pod that got the others in between must not pass for one of
        these."""
        work = self._work
        assert work.kept, "nothing is published without it"  # noqa: S101
        name = manifests.revision_id(work.visit.name, self._new.number + 1)
        await publish(work, work.kept, name, work.kept.made_at)

    @property
    def _was_published(self) -> bool:
        return self._work.revision > self._new.number

    async def _has_reconverged(self) -> bool:
        await self._canary.remove()
        if not self._was_published:
            return True
        return (await self._consumers.look(self._work.live_revision, self._new.username)).reached

    async def _reconverge(self) -> None:
        await self._consumers.restart(self._work.live_revision)
        convergence = await self._consumers.look(self._work.live_revision, self._new.username)
        raise Waiting(ROLLING_BACK, f"not back yet: {convergence}", POLL)

    async def _is_withdrawn(self) -> bool:
        """Whether the new login is closed, or somebody else gave it to the application: then it is not ours."""
        given = self._work.login == self._new.username
        return given or not (await self._work.server()).may_log_in(self._new.username)

    async def _withdraw(self) -> None:
        async with self._work.changing() as session:
            await postgres_rotation.close_login(session, self._new.username, secrets.token_urlsafe(PASSWORD_BYTES))
