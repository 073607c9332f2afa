"""A command in a pod of its own that says whether a component is well with the value that everybody has by now."""

from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import PODS, Object
from aada_operator.rotations import manifests
from aada_operator.rotations.trial import TrialPod, demand_start

VERIFICATION_FAILED, VERIFYING = "VerificationFailed", "Verifying"
POLL = 2.0


class VerifyCommand(TrialPod):
    """The pod that runs it once; only its exit code is looked at, since its output may hold anything."""

    purpose = manifests.VERIFY

    async def demand(self, component: str, command: list[str]) -> None:
        """Run the command, and make sure that it succeeded.

        Raises:
            Waiting: Verifying, NameTaken, LmsNotReady; VerificationFailed, for what may pass.
            Stalled: VerificationFailed.
        """
        pod = await self.cleared(self._work.live_revision)
        code = manifests.exit_code(pod, component) if pod else None
        if code == 0:
            return
        if code is not None:
            raise Stalled(VERIFICATION_FAILED, f"the command in a pod of {component} ended with exit code {code}")
        demand_start([pod] if pod else [], VERIFICATION_FAILED, "the pod with the command")
        if self._work.is_out_of_time:
            message = f"the command in a pod of {component} had not ended when drainTimeout was over"
            raise Stalled(VERIFICATION_FAILED, message)
        await self._go_on(pod, component, command)
        raise Waiting(VERIFYING, f"the command runs in a pod like those of {component}", POLL)

    async def _go_on(self, pod: Object | None, component: str, command: list[str]) -> None:
        """Start it; one that a node lost is started anew."""
        work = self._work
        if pod is None:
            deployment = await self.deployment(component)
            made = manifests.verifying(work.visit.body, deployment, component, command, work.live_revision)
            await self._kube.create(PODS, made)
        elif manifests.has_ended(pod):
            await self.remove()
