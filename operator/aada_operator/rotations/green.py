"""The pods that stand in for those of the LMS while these get another key, and to which of them users are sent.

Which it is stands on the Deployment of the stand-ins: the AadaLms, which owns the Services, reads it there. If that
Deployment is deleted, users are sent to the components' own pods.
"""

from dataclasses import dataclass

from aada_operator.adapters.children import stamped
from aada_operator.adapters.kube import Kube
from aada_operator.api.common import (
    ANNOTATION_APPLIED,
    ANNOTATION_SERVES,
    LABEL_COMPONENT,
    LABEL_LMS,
    LABEL_OWNER,
    stand_in,
)
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import AADA_LMS, DEPLOYMENTS, PODS, SERVICES, Object, leaves
from aada_operator.rotations import decide, manifests
from aada_operator.rotations.trial import demand_start
from aada_operator.rotations.work import Work

GREEN_STARTING = "GreenStarting"
POLL = 2.0


@dataclass(frozen=True)
class Pair:
    """A component's own Deployment, and the one that stands in for it; None when there is none."""

    component: str
    blue: Object
    green: Object | None


class Green:
    """A second set of pods for every component that uses the Secret."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._kube: Kube = work.kube

    async def sizes(self) -> dict[str, int]:
        """The components that there are twice for a while, with the pods of each set."""
        return {pair.component: int(pair.blue["spec"].get("replicas", 1)) for pair in await self._pairs()}

    async def is_ready(self) -> bool:
        """Whether all are there as wanted, with all their pods ready."""
        return all(
            pair.green is not None and self._is_current(pair, pair.green) and decide.is_rolled_out(pair.green)
            for pair in await self._pairs()
        )

    async def start(self) -> None:
        """Start what is missing, anew what the AadaLms has changed since, or say why it is not ready.

        Raises:
            Waiting: GreenStarting, NameTaken; GreenFailed, for what may pass.
            Stalled: GreenFailed.
        """
        for pair in await self._pairs():
            if pair.green is None:
                await self._create(pair)
            elif not self._is_current(pair, pair.green):
                await self._kube.delete(DEPLOYMENTS, pair.green)
            else:
                await self._demand_no_trouble(pair)
        raise Waiting(GREEN_STARTING, "pods with the new key start, without users", POLL)

    async def is_declared(self) -> bool:
        """Whether users are to be sent there."""
        return all(self._is_declared(pair) for pair in await self._pairs())

    async def has_users(self) -> bool:
        """Whether they are sent there, and nowhere else."""
        pairs = await self._pairs()
        return all([self._is_declared(pair) and await self._selects(pair, stand_in(pair.component)) for pair in pairs])

    async def has_no_users(self) -> bool:
        """Whether all are sent to the components' own pods."""
        pairs = await self._pairs()
        return all([not _gets_users(pair.green) and await self._selects(pair, pair.component) for pair in pairs])

    async def declare(self) -> None:
        """Have users sent there."""
        await self._mark("true")

    async def withdraw(self) -> None:
        """Have users sent to the components' own pods."""
        await self._mark(None)

    async def unready_blue(self) -> tuple[str, ...]:
        """The components' own Deployments that are not rolled out completely, in words."""
        pairs = await self._pairs()
        return tuple(f"Deployment {p.blue['metadata']['name']}" for p in pairs if not decide.is_rolled_out(p.blue))

    async def is_gone(self) -> bool:
        """Whether nothing is left of it."""
        return not [one for one in await self._deployments() if self._is_ours(one)]

    async def stop(self) -> None:
        """Remove all; their pods finish their requests."""
        for one in await self._deployments():
            if self._is_ours(one):
                await self._kube.delete(DEPLOYMENTS, one)

    async def _deployments(self) -> list[Object]:
        found = await self._kube.list(DEPLOYMENTS, self._work.visit.namespace, {LABEL_LMS: self._work.lms_name})
        return [one for one in found if not leaves(one)]

    async def _pairs(self) -> list[Pair]:
        found = await self._deployments()
        greens = {self._component_of(one): one for one in found if self._is_ours(one)}
        blues = [one for one in found if one["metadata"]["labels"].get(LABEL_OWNER) == AADA_LMS.kind.lower()]
        using = [one for one in blues if decide.uses(one["spec"]["template"]["spec"], self._work.secret)]
        named = [(self._component_of(blue), blue) for blue in using]
        return [Pair(component, blue, greens.get(stand_in(component))) for component, blue in named]

    def _is_declared(self, pair: Pair) -> bool:
        """One of a rotation that lost its Secrets has another key, and does not count."""
        fresh, green = self._work.fresh, pair.green
        known = green and fresh and manifests.annotations(green).get(self._work.mark) == fresh.name
        return bool(known and _gets_users(green))

    def _component_of(self, deployment: Object) -> str:
        return str(deployment["metadata"]["labels"].get(LABEL_COMPONENT, ""))

    def _is_ours(self, deployment: Object) -> bool:
        return manifests.annotations(deployment).get(manifests.ANNOTATION_OF) == self._work.visit.uid

    def _wanted(self, pair: Pair) -> Object:
        work = self._work
        assert work.fresh, "it is started with what was made before"  # noqa: S101
        return stamped(manifests.green(work.visit.body, work.lms, pair.blue, work.secret, work.fresh))

    def _is_current(self, pair: Pair, green: Object) -> bool:
        wanted = manifests.annotations(self._wanted(pair))[ANNOTATION_APPLIED]
        return manifests.annotations(green).get(ANNOTATION_APPLIED) == wanted

    async def _create(self, pair: Pair) -> None:
        wanted = self._wanted(pair)
        if await self._kube.create(DEPLOYMENTS, wanted) is None:
            message = f"Deployment {wanted['metadata']['name']} exists and is not of this SecretRotation: delete it"
            raise Waiting("NameTaken", message, 15.0)

    async def _demand_no_trouble(self, pair: Pair) -> None:
        labels = {LABEL_LMS: self._work.lms_name, LABEL_COMPONENT: stand_in(pair.component)}
        pods = await self._kube.list(PODS, self._work.visit.namespace, labels)
        demand_start(pods, "GreenFailed", "a pod with the new key")

    async def _selects(self, pair: Pair, component: str) -> bool:
        """Whether the component's Service, which is called as its Deployment, sends users to those pods."""
        service = await self._kube.get(SERVICES, self._work.visit.namespace, pair.blue["metadata"]["name"])
        return service is not None and service["spec"]["selector"].get(LABEL_COMPONENT) == component

    async def _mark(self, value: str | None) -> None:
        for one in await self._deployments():
            if self._is_ours(one) and manifests.annotations(one).get(ANNOTATION_SERVES) != value:
                await self._kube.patch(DEPLOYMENTS, one, {"metadata": {"annotations": {ANNOTATION_SERVES: value}}})


def _gets_users(green: Object | None) -> bool:
    return green is not None and ANNOTATION_SERVES in manifests.annotations(green)
