"""One pod of the application with the new credentials, before anybody depends on them."""

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import DEPLOYMENTS, PODS, Object
from aada_operator.core.trouble import of_pod
from aada_operator.rotations import manifests
from aada_operator.rotations.work import Work

CANARY_STARTING = "CanaryStarting"
POLL = 2.0


class Canary:
    """The pod that tries, and goes again."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._kube: Kube = work.kube

    async def is_ready(self) -> bool:
        """Whether the application works with the new credentials; without ``spec.canary`` nobody asks."""
        if not self._work.visit.spec.canary:
            return True
        pod = await self._pod()
        return pod is not None and self._is_ours(pod) and manifests.is_ready(pod)

    async def act(self) -> None:
        """Start it, or say why it is not ready.

        Raises:
            Waiting: CanaryStarting.
            Stalled: CanaryFailed.
        """
        pod = await self._pod()
        if pod is None:
            await self._start()
        elif not self._is_made_here(pod):
            name = pod["metadata"]["name"]
            raise Waiting("NameTaken", f"pod {name} exists and is not of this SecretRotation: delete it", 15.0)
        elif not self._is_ours(pod) or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            await self._kube.delete(PODS, pod)
        elif found := of_pod(pod):
            raise Stalled("CanaryFailed", f"a pod with the new login does not start: {found.message}")
        raise Waiting(CANARY_STARTING, "a pod with the new login starts, without users", POLL)

    async def remove(self) -> None:
        """Delete it; one that is gone is fine."""
        pod = await self._pod()
        if pod and self._is_made_here(pod) and not pod["metadata"].get("deletionTimestamp"):
            await self._kube.delete(PODS, pod)

    def _is_made_here(self, pod: Object) -> bool:
        owners = pod["metadata"].get("ownerReferences", ())
        return self._work.visit.uid in {owner["uid"] for owner in owners}

    def _is_ours(self, pod: Object) -> bool:
        fresh = self._work.fresh
        return fresh is not None and manifests.annotations(pod).get(self._work.mark) == fresh.name

    async def _pod(self) -> Object | None:
        visit = self._work.visit
        return await self._kube.get(PODS, visit.namespace, manifests.canary_name(visit.name))

    async def _start(self) -> None:
        work, fresh = self._work, self._work.fresh
        assert fresh, "it is started with what was made before"  # noqa: S101
        labels = {LABEL_LMS: work.lms_name, LABEL_COMPONENT: work.spec.api_component().name}
        found = await self._kube.list(DEPLOYMENTS, work.visit.namespace, labels)
        if not found:
            raise Waiting("LmsNotReady", f"the Deployment of {labels[LABEL_COMPONENT]} does not exist yet", 15.0)
        await self._kube.create(PODS, manifests.canary(work.visit.body, found[0], work.secret, fresh))
