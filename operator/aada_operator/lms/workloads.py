"""The components of an AadaLms: their children brought about, drift reverted, what is no longer wanted removed."""

import logging
from collections.abc import Iterable

from aada_operator.adapters import children
from aada_operator.adapters.kube import Kube
from aada_operator.api.common import ANNOTATION_SERVES, LABEL_COMPONENT, LABEL_LMS, LABEL_OWNER, stand_in
from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.errors import OperatorError
from aada_operator.core.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    INGRESSES,
    PODS,
    SCALING_POLICIES,
    SERVICES,
    ApiResource,
    Object,
    leaves,
)
from aada_operator.lms import manifests, pod, rollout
from aada_operator.lms.rollout import Rollout
from aada_operator.lms.sizes import Size, scaled, size_of
from aada_operator.lms.world import SECRET_MISSING, LmsVisit, World, described

logger = logging.getLogger(__name__)
FRESH = "SecretsFresh"
CHILD_KINDS = (DEPLOYMENTS, SERVICES, INGRESSES, DISRUPTION_BUDGETS)


class WorkloadsReconciler:
    """Sets SecretsFresh; writes children once the schema is current for their image, and only looks before."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def reconcile(self, visit: LmsVisit, world: World) -> None:
        """Bring all components about; one in trouble does not stop the others.

        Raises:
            Waiting, Stalled: the first error of any component, after all had their turn.
        """
        world.scaled = scaled(await self._kube.list(SCALING_POLICIES, visit.namespace), visit.name)
        ready = await self._check_secrets(visit, world)
        there = await self._kube.list(DEPLOYMENTS, visit.namespace, {LABEL_LMS: visit.name})
        world.stood_in = stood_in(visit.spec, there)
        first: OperatorError | None = None
        drift: dict[str, tuple[str, ...]] = {}
        written = ready if world.schema_current else []
        if world.schema_current and not visit.spec.suspend:
            sizes = await self._sizes(visit, world)
            for component in written:
                try:
                    drift[component.name] = await self._ensure(visit, world, component, sizes[component.name])
                except OperatorError as error:
                    first = first or error
            await self._prune(visit, sizes)
        elif not visit.spec.suspend:
            await self._restamp(visit, world, ready)
        if not visit.spec.suspend:
            await self._direct_users(visit, world, [c for c in visit.spec.components if c not in written])
        await self._look(visit, world, drift)
        if first:
            raise first

    async def _check_secrets(self, visit: LmsVisit, world: World) -> list[Component]:
        """The components whose Secrets are all there; the others are left as they are."""
        lacking = {
            component.name: await world.secrets.missing(pod.needs(visit.spec, visit.name, component))
            for component in visit.spec.components
        }
        told = [f"{name} needs {', '.join(missing)}" for name, missing in lacking.items() if missing]
        ours = visit.spec.database.app_secret(visit.name)
        if not world.connected and await world.secrets.get(ours) is None:
            visit.conditions.set(FRESH, "Unknown", "WaitingForDatabase", f"Secret {ours} is made with the roles")
        elif told:
            visit.conditions.set(FRESH, False, SECRET_MISSING, f"{'; '.join(told)}: create it; running pods stay")
        else:
            visit.conditions.set(FRESH, True, "Present", "all Secrets that the components name are there")
        world.blocked = tuple(name for name, missing in lacking.items() if missing)
        return [component for component in visit.spec.components if not lacking[component.name]]

    async def _sizes(self, visit: LmsVisit, world: World) -> dict[str, Size]:
        """Whose number of pods it is, by component."""
        live = await self._deployments(visit)
        return {c.name: size_of(c, live.get(c.name), scaled=c.name in world.scaled) for c in visit.spec.components}

    async def _deployments(self, visit: LmsVisit) -> dict[str, Object]:
        return {c["metadata"]["labels"].get(LABEL_COMPONENT, ""): c for c in await self._own(visit, DEPLOYMENTS)}

    async def _ensure(self, visit: LmsVisit, world: World, component: Component, size: Size) -> tuple[str, ...]:
        """Bring a component's children about; returns the fields that somebody else had changed."""
        stamp = await self._stamp(visit, world, component)
        drift: list[str] = []
        there = component.name in world.stood_in
        for resource, desired in manifests.children(visit.body, visit.spec, component, stamp, size, stood_in=there):
            applied = await children.ensure(self._kube, resource, desired)
            drift += [f"{resource.kind} {desired['metadata']['name']} {field}" for field in applied.drift]
        if drift:
            logger.warning("drift reverted", extra={"object": described(visit), "fields": drift})
        return tuple(drift)

    async def _stamp(self, visit: LmsVisit, world: World, component: Component) -> dict[str, str]:
        """Annotations that change with the Secrets, so that pods are restarted with what is in them now."""
        needs = pod.needs(visit.spec, visit.name, component)
        version = await world.secrets.version(needs)
        return ({pod.ANNOTATION_SECRETS: version} if version else {}) | await world.secrets.revisions(needs)

    async def _restamp(self, visit: LmsVisit, world: World, ready: list[Component]) -> None:
        """Pods that wait for a migration to get another image go on with theirs, and with Secrets as they are now."""
        live = await self._deployments(visit)
        for component in (c for c in ready if c.name in live):
            stamp, deployment = await self._stamp(visit, world, component), live[component.name]
            present = deployment["spec"]["template"]["metadata"].get("annotations") or {}
            if not stamp.items() <= present.items():
                patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
                await self._kube.patch(DEPLOYMENTS, deployment, patch)

    async def _direct_users(self, visit: LmsVisit, world: World, left_alone: list[Component]) -> None:
        """Components that wait for a migration or a Secret: their users are sent to who stands in all the same.

        The migration may well wait for that.
        """
        for component in left_alone:
            wanted = pod.served_by(visit.name, component, stood_in=component.name in world.stood_in)
            live = await self._kube.get(SERVICES, visit.namespace, pod.child_name(visit.name, component))
            if live and visit.uid in _owners(live) and not wanted.items() <= live["spec"]["selector"].items():
                await self._kube.patch(SERVICES, live, {"spec": {"selector": wanted}})

    async def _prune(self, visit: LmsVisit, sizes: dict[str, Size]) -> None:
        """Delete our children that the spec no longer names: components, Ingresses and budgets."""
        wanted = {
            (resource.kind, desired["metadata"]["name"])
            for component in visit.spec.components
            for resource, desired in manifests.children(visit.body, visit.spec, component, {}, sizes[component.name])
        }
        for resource in CHILD_KINDS:
            for child in await self._own(visit, resource):
                if (resource.kind, child["metadata"]["name"]) not in wanted:
                    detail = {"object": described(visit), "kind": resource.kind, "child": child["metadata"]["name"]}
                    logger.info("removing what is no longer wanted", extra=detail)
                    await self._kube.delete(resource, child)

    async def _own(self, visit: LmsVisit, resource: ApiResource) -> list[Object]:
        found = await self._kube.list(resource, visit.namespace, {LABEL_OWNER: pod.OWNER, LABEL_LMS: visit.name})
        return [c for c in found if visit.uid in _owners(c)]

    async def _look(self, visit: LmsVisit, world: World, drift: dict[str, tuple[str, ...]]) -> None:
        """How far the rollouts are; pods are listed only while something is missing."""
        live = await self._deployments(visit)

        def views(pods: list[Object]) -> tuple[Rollout, ...]:
            return tuple(
                rollout.of_component(visit.spec, c, live.get(c.name), pods, visit.now, drift.get(c.name, ()))
                for c in visit.spec.components
            )

        world.rollouts = views([])
        if not all(one.complete for one in world.rollouts):
            world.rollouts = views(await self._kube.list(PODS, visit.namespace, {LABEL_LMS: visit.name}))


def stood_in(spec: AadaLmsSpec, deployments: Iterable[Object]) -> frozenset[str]:
    """The components whose users are sent to pods that stand in for the component's own."""
    serving = {
        one["metadata"]["labels"].get(LABEL_COMPONENT)
        for one in deployments
        if ANNOTATION_SERVES in (one["metadata"].get("annotations") or {}) and not leaves(one)
    }
    return frozenset(c.name for c in spec.components if stand_in(c.name) in serving)


def _owners(child: Object) -> set[str]:
    return {reference["uid"] for reference in child["metadata"].get("ownerReferences", ())}
