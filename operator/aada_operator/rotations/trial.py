"""One pod beside those that serve: it tries what nobody depends on yet, and goes again."""

from collections.abc import Iterable

from aada_operator.adapters.kube import Kube
from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import DEPLOYMENTS, PODS, Object, leaves
from aada_operator.core.trouble import of_pod
from aada_operator.rotations import manifests
from aada_operator.rotations.work import Work


def demand_start(pods: Iterable[Object], reason: str, what: str) -> None:
    """Make sure that nothing keeps the pods from starting; ``what`` they are is told.

    Raises:
        Stalled: the reason; it will not go away.
        Waiting: the reason; it may go away: a node comes, or a registry or the API server was away for a moment.
    """
    for found in filter(None, map(of_pod, pods)):
        message = f"{what} does not start: {found.message}"
        raise Waiting(reason, message, 5.0) if found.passes else Stalled(reason, message)


class TrialPod:
    """The pod of one name; ``purpose`` is the end of that name."""

    purpose = ""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._kube: Kube = work.kube

    async def seen(self, revision: str) -> Object | None:
        """The pod that tries this revision, None when there is none."""
        pod = await self._pod()
        return pod if pod and self._is_made_here(pod) and self._tries(pod, revision) else None

    async def cleared(self, revision: str) -> Object | None:
        """The same, and a pod that this SecretRotation left of another revision goes.

        Raises:
            Waiting: NameTaken.
        """
        pod = await self._pod()
        if pod and not self._is_made_here(pod):
            name = pod["metadata"]["name"]
            raise Waiting("NameTaken", f"pod {name} exists and is not of this SecretRotation: delete it", 15.0)
        if pod and not self._tries(pod, revision):
            await self.remove()
            return None
        return pod

    async def deployment(self, component: str) -> Object:
        """The Deployment whose pods it is like.

        Raises:
            Waiting: LmsNotReady.
        """
        labels = {LABEL_LMS: self._work.lms_name, LABEL_COMPONENT: component}
        found = await self._kube.list(DEPLOYMENTS, self._work.visit.namespace, labels)
        if not found:
            raise Waiting("LmsNotReady", f"the Deployment of {component} does not exist yet", 15.0)
        return found[0]

    async def remove(self) -> None:
        """Delete it; one that is gone is fine."""
        pod = await self._pod()
        if pod and self._is_made_here(pod) and not leaves(pod):
            await self._kube.delete(PODS, pod)

    def _tries(self, pod: Object, revision: str) -> bool:
        return manifests.annotations(pod).get(self._work.mark) == revision

    def _is_made_here(self, pod: Object) -> bool:
        owners = pod["metadata"].get("ownerReferences", ())
        return self._work.visit.uid in {owner["uid"] for owner in owners}

    async def _pod(self) -> Object | None:
        visit = self._work.visit
        return await self._kube.get(PODS, visit.namespace, manifests.trial_name(visit.name, self.purpose))
