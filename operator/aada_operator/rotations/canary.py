"""One pod of the application with the new credentials, before anybody depends on them."""

from aada_operator.core.errors import Waiting
from aada_operator.core.resources import PODS
from aada_operator.rotations import manifests
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.trial import TrialPod, demand_start

CANARY_STARTING = "CanaryStarting"
POLL = 2.0


class Canary(TrialPod):
    """The pod that serves nobody."""

    purpose = manifests.CANARY

    async def is_ready(self) -> bool:
        """Whether the application works with the new credentials; without ``spec.canary`` nobody asks."""
        if not self._work.visit.spec.canary:
            return True
        pod = await self.seen(self._fresh.name)
        return pod is not None and manifests.is_ready(pod)

    async def act(self) -> None:
        """Start it, or say why it is not ready.

        Raises:
            Waiting: CanaryStarting, NameTaken, LmsNotReady; CanaryFailed, for what may pass.
            Stalled: CanaryFailed.
        """
        pod = await self.cleared(self._fresh.name)
        if pod is None:
            await self._start()
        elif manifests.has_ended(pod):
            await self.remove()
        else:
            demand_start([pod], "CanaryFailed", "a pod with the new login")
        raise Waiting(CANARY_STARTING, "a pod with the new login starts, without users", POLL)

    async def _start(self) -> None:
        work = self._work
        deployment = await self.deployment(work.spec.api_component().name)
        await self._kube.create(PODS, manifests.canary(work.visit.body, deployment, work.secret, self._fresh))

    @property
    def _fresh(self) -> Revision:
        assert self._work.fresh, "it is started with what was made before"  # noqa: S101
        return self._work.fresh
