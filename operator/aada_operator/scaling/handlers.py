"""What wakes a ScalingPolicy: its own changes, which wake its AadaLms too, those of its Deployment, and operations."""

from collections import defaultdict
from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, LABEL_COMPONENT, LABEL_LMS, VERSION
from aada_operator.core.news import GONE, News, asks, works
from aada_operator.core.resources import (
    AADA_LMS,
    DEPLOYMENTS,
    RESTORES,
    SCALING_POLICIES,
    SECRET_ROTATIONS,
    ApiResource,
    key_of,
    leaves,
)
from aada_operator.core.workqueue import Key

# Namespace, AadaLms and component.
Target = tuple[str, str, str]


def _tell(registry: kopf.OperatorRegistry, resource: ApiResource, changed: Callable[[str], None]) -> None:
    """Have it told in which namespace one of a kind works, or works no more."""
    worked = News()

    @kopf.on.event(GROUP, VERSION, resource.plural, registry=registry)
    async def one_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        key = key_of(dict(body))
        if key and worked.is_new(key, event["type"], works(body)):
            changed(key.namespace)


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""
    policies: defaultdict[Target, set[Key]] = defaultdict(set)
    asked, taken = News(), News()

    @kopf.on.event(GROUP, VERSION, SCALING_POLICIES.plural, registry=registry)
    async def policy_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        target = (body.get("spec") or {}).get("target") or {}
        lms, namespace = str((target.get("lmsRef") or {}).get("name", "")), str(body["metadata"]["namespace"])
        key = key_of(dict(body))
        if key is None:
            return
        kind = event["type"]
        known = policies[namespace, lms, str(target.get("component", ""))]
        (known.discard if kind == GONE else known.add)(key)
        if asked.is_new(key, kind, asks(body)):
            enqueue(key)
        if lms and taken.is_new(key, kind, _takes(body)):
            enqueue(Key(AADA_LMS.plural, namespace, lms))

    def operation_changed(namespace: str) -> None:
        for key in {key for keys in policies.values() for key in keys if key.namespace == namespace}:
            enqueue(key)

    # Their claims hold the size: a Lease is not watched.
    for resource in (AADA_LMS, RESTORES, SECRET_ROTATIONS):
        _tell(registry, resource, operation_changed)

    group, _, version = DEPLOYMENTS.api_version.partition("/")

    # At once, so that a size that somebody sets is seen before the autoscaler has changed it in its turn.
    @kopf.on.event(group, version, DEPLOYMENTS.plural, registry=registry)
    async def deployment_changed(body: kopf.Body, **_: object) -> None:
        metadata = body["metadata"]
        labels = metadata.get("labels") or {}
        target = (str(metadata["namespace"]), str(labels.get(LABEL_LMS, "")), str(labels.get(LABEL_COMPONENT, "")))
        for key in policies.get(target, ()):
            enqueue(key)


def _takes(body: kopf.Body) -> object:
    """What an AadaLms looks at: whether a component is scaled, and how far."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), (body.get("status") or {}).get("max"), leaves(body)
