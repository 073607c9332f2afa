"""Child objects by server-side apply: written only when they differ, drift named."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from aada_operator.adapters.kube import Kube, same_quantity
from aada_operator.api.common import ANNOTATION_APPLIED
from aada_operator.core.errors import Stalled
from aada_operator.core.resources import ApiResource, Object


@dataclass(frozen=True)
class Applied:
    """What became of a child: the live object, and the paths of fields that somebody else had changed."""

    live: Object
    drift: tuple[str, ...] = ()


async def ensure(kube: Kube, resource: ApiResource, desired: Object, known: Object | None = None) -> Applied:
    """Make a child be as desired; an identical one costs one read and no write, and no read where it is ``known``.

    Raises:
        Stalled: an object of that name exists and belongs to somebody else.
    """
    metadata = desired["metadata"]
    live = known or await kube.get(resource, metadata["namespace"], metadata["name"])
    if live is None:
        return Applied(await kube.apply(resource, stamped(desired)))
    refuse_foreign(resource, desired, live)
    changed_by_us = (live["metadata"].get("annotations") or {}).get(ANNOTATION_APPLIED) != fingerprint(desired)
    drifted = differences(desired, live)
    if not changed_by_us and not drifted:
        return Applied(live)
    return Applied(await kube.apply(resource, stamped(desired)), () if changed_by_us else tuple(drifted))


def refuse_foreign(resource: ApiResource, desired: Object, live: Object) -> None:
    """Never take over what another controller, or nobody that we know of, has made."""
    ours = {reference["uid"] for reference in desired["metadata"].get("ownerReferences", ())}
    theirs = {reference["uid"] for reference in live["metadata"].get("ownerReferences", ())}
    if ours - theirs:
        name = desired["metadata"]["name"]
        raise Stalled(
            "NameTaken",
            f"{resource.kind} {name} exists and is not ours: delete or rename it, or choose another name here",
        )


def fingerprint(desired: Object) -> str:
    """A short hash of what we want, kept on the child."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stamped(desired: Object) -> Object:
    """The desired object with its fingerprint as annotation."""
    metadata = desired["metadata"]
    annotations = (metadata.get("annotations") or {}) | {ANNOTATION_APPLIED: fingerprint(desired)}
    return desired | {"metadata": metadata | {"annotations": annotations}}


def differences(desired: Any, live: Any, path: str = "") -> list[str]:
    """Paths of desired leaves that the live object does not have; what we did not ask for is not looked at."""
    if isinstance(desired, dict) and isinstance(live, dict):
        found = (differences(value, live.get(name), f"{path}.{name}") for name, value in desired.items())
        return [problem for problems in found for problem in problems]
    if isinstance(desired, list) and isinstance(live, list):
        return _list_differences(desired, live, path)
    if desired in (None, {}, [], "") and live in (None, {}, [], ""):
        return []
    return [] if desired == live or same_quantity(desired, live) else [path.lstrip(".")]


def _list_differences(desired: list[Any], live: list[Any], path: str) -> list[str]:
    if all(isinstance(item, dict) and "name" in item for item in desired):
        named = {item.get("name"): item for item in live if isinstance(item, dict)}
        found = (differences(item, named.get(item["name"]), f"{path}[{item['name']}]") for item in desired)
    elif len(desired) == len(live):
        found = (differences(*pair, f"{path}[{n}]") for n, pair in enumerate(zip(desired, live, strict=True)))
    else:
        return [path.lstrip(".")]
    return [problem for problems in found for problem in problems]
