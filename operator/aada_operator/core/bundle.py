"""What belongs into the bundle of a backup, and how its Secrets get into the Job: pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aada_operator.api.bundle import BundleOrder, SecretOrder
from aada_operator.api.common import GROUP
from aada_operator.core.resources import Object
from aada_operator.core.worker_jobs import SecretMount

# The key to everything: here it would be locked up in its own safe, and who stole an old key could open new backups.
_NEVER = "verificationIdentitySecretRef"
# `secretRef`, `secretKeyRef`, `adminSecretRef`; `secret` in a projected volume; `imagePullSecrets`.
_REFERENCE = re.compile(r"(.*S|s)ecret(Key)?Ref|secret|imagePullSecrets")
_NAME = re.compile(r"(.*S|s)ecretName")
# Of whoever applied an object, or of one moment of the operator; the last one may quote the content of a Secret.
_PASSING = re.compile(rf"{re.escape(GROUP)}/.*|kubectl\.kubernetes\.io/last-applied-configuration")
# All tasks are environment variables, of which Linux takes 128 KiB.
MOST_BYTES = 64 * 2**10


def stripped(body: Object) -> Object:
    """An object as it can be applied again, without what the server or a moment gave it."""
    metadata = body["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if not _PASSING.fullmatch(k)}
    kept = {"name": metadata["name"], "labels": metadata.get("labels"), "annotations": annotations}
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {field: value for field, value in kept.items() if value},
        "spec": body.get("spec") or {},
    }


def secrets_named(value: Any) -> dict[str, bool]:
    """The Secrets that a spec names anywhere, free-form pod templates included; True: it cannot do without."""
    found: dict[str, bool] = {}
    for name, required in _named(value):
        found[name] = found.get(name, False) or required
    return found


def _named(value: Any) -> Iterator[tuple[str, bool]]:
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    if not isinstance(value, Mapping):
        return
    for field, child in value.items():
        if field == _NEVER:
            continue
        if _NAME.fullmatch(field) and isinstance(child, str):
            yield child, not value.get("optional")
        elif _REFERENCE.fullmatch(field):
            references = child if isinstance(child, list) else [child]
            named = [one for one in references if isinstance(one, Mapping) and one.get("name")]
            yield from ((str(one["name"]), not one.get("optional")) for one in named)
        yield from _named(child)


def order(objects: Iterable[Object], secrets: Mapping[str, Object | None], *, encrypted: bool) -> BundleOrder:
    """What the worker packs: as many of the objects as fit into a task, and the Secrets that are there.

    ``secrets`` has None for one that is missed. Without encryption no Secret is packed.
    """
    fitting, left_out = _fitting([stripped(body) for body in objects])
    missing = [f"Secret/{name}" for name, body in sorted(secrets.items()) if body is None]
    there = [(name, body) for name, body in sorted(secrets.items()) if body is not None] if encrypted else []
    orders = [
        SecretOrder(
            folder=f"bundle-{number}",
            name=name,
            type=body.get("type") or "Opaque",
            labels=body["metadata"].get("labels") or {},
        )
        for number, (name, body) in enumerate(there)
    ]
    return BundleOrder(objects=fitting, secrets=orders, missing=left_out + (missing if encrypted else []))


def _fitting(objects: list[Object]) -> tuple[list[Object], list[str]]:
    room, taken, left_out = MOST_BYTES, [], []
    for body in objects:
        size = len(json.dumps(body))
        if size > room:
            left_out.append(f"{body['kind']}/{body['metadata']['name']}")
            continue
        room -= size
        taken.append(body)
    return taken, left_out


def bundle_mounts(order: BundleOrder) -> tuple[SecretMount, ...]:
    """All keys of each Secret; one that goes before the pod is there must not keep the backup from being taken."""
    return tuple(SecretMount(secret.folder, secret.name, optional=True) for secret in order.secrets)


def chunk_key_name(lms: str) -> str:
    """Name of the Secret with the key that chunks of an LMS are named with."""
    return f"{lms}-chunk-key"
