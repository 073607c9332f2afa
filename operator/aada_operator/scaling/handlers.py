"""What wakes a ScalingPolicy: its own changes, which wake its AadaLms too, those of its Deployment, and operations."""

from collections import defaultdict
from collections.abc import Callable

import kopf

from aada_operator.api.common import GROUP, LABEL_COMPONENT, LABEL_LMS, VERSION
from aada_operator.core.resources import (
    AADA_LMS,
    DEPLOYMENTS,
    RESTORES,
    SCALING_POLICIES,
    SECRET_ROTATIONS,
    ApiResource,
    key_of,
)
from aada_operator.core.workqueue import Key

# Namespace, AadaLms and component.
Target = tuple[str, str, str]


def _tell(registry: kopf.OperatorRegistry, resource: ApiResource, changed: Callable[[str], None]) -> None:
    """Have it told in which namespace one of a kind works, or works no more."""
    known: dict[Key, object] = {}

    @kopf.on.event(GROUP, VERSION, resource.plural, registry=registry)
    async def one_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        key = key_of(dict(body))
        if key and _is_news(known, key, None if event["type"] == "DELETED" else _works(body)):
            changed(str(body["metadata"]["namespace"]))


def register(registry: kopf.OperatorRegistry, enqueue: Callable[[Key], None]) -> None:
    """Register the watches."""
    policies: defaultdict[Target, set[Key]] = defaultdict(set)
    asked: dict[Key, object] = {}
    taken: dict[Key, object] = {}

    @kopf.on.event(GROUP, VERSION, SCALING_POLICIES.plural, registry=registry)
    async def policy_changed(body: kopf.Body, event: kopf.RawEvent, **_: object) -> None:
        target = (body.get("spec") or {}).get("target") or {}
        lms, namespace = str((target.get("lmsRef") or {}).get("name", "")), str(body["metadata"]["namespace"])
        key = key_of(dict(body))
        if key is None:
            return
        gone = event["type"] == "DELETED"
        known = policies[namespace, lms, str(target.get("component", ""))]
        (known.discard if gone else known.add)(key)
        if _is_news(asked, key, None if gone else _asks(body)):
            enqueue(key)
        if lms and _is_news(taken, key, None if gone else _takes(body)):
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


def _asks(body: kopf.Body) -> object:
    """What people say with a policy. Its own status is nothing new to it: what it tells of wakes it by itself."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), dict(metadata.get("annotations") or {}), _leaves(body)


def _works(body: kopf.Body) -> object:
    """How far an object is with its work; all else in its status bears on no size."""
    metadata, status = body["metadata"], body.get("status") or {}
    return metadata["uid"], metadata.get("generation"), *map(status.get, ("operation", "phase", "step")), _leaves(body)


def _takes(body: kopf.Body) -> object:
    """What an AadaLms looks at: whether a component is scaled, and how far."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), (body.get("status") or {}).get("max"), _leaves(body)


def _leaves(body: kopf.Body) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))


def _is_news(known: dict[Key, object], key: Key, said: object) -> bool:
    """Whether an object says another thing than before; None: it is gone, which is always news."""
    if said is None:
        known.pop(key, None)
        return True
    before, known[key] = known.get(key), said
    return before != said
