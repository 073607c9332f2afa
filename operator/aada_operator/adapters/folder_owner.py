"""Whose the folder of an LMS in a bucket is."""

from aada_operator.adapters.kube import Kube
from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.ownership import (
    ANNOTATION_TAKE_OVER,
    OWNERS,
    Claim,
    FolderOwner,
    marker_key,
    marker_number,
    parse_marker,
)
from aada_operator.api.task import CORRUPT
from aada_operator.core.errors import Stalled
from aada_operator.core.resources import AADA_LMS, BACKUP_POLICIES


def read_owner(store: ObjectStore, folder: str) -> FolderOwner | None:
    """The newest marker in the folder of an LMS, None where there is none.

    Raises:
        Stalled: Corrupt, it cannot be read: then nobody knows whose the folder is.
    """
    keys = (found.key.removeprefix(f"{folder}/") for found in store.list(f"{folder}/{OWNERS}/"))
    number = max(map(marker_number, keys), default=0)
    data = store.get(marker_key(folder, number)) if number else None
    if data is None:
        return None
    try:
        return parse_marker(data, number)
    except ValueError:
        message = f"{marker_key(folder, number)} is no marker that can be read here: look at it"
        raise Stalled(CORRUPT, message) from None


async def claim_of(kube: Kube, namespace: str, lms: str, policy: str) -> Claim:
    """Who a policy acts for; without an AadaLms nobody, who owns nothing that is marked."""
    found = await kube.get(AADA_LMS, namespace, lms) or {"metadata": {}}
    said = await kube.get(BACKUP_POLICIES, namespace, policy) or {"metadata": {}}
    annotations = said["metadata"].get("annotations") or {}
    take_over = str(annotations.get(ANNOTATION_TAKE_OVER, ""))
    uid = str(found["metadata"].get("uid", ""))
    return Claim(namespace=namespace, lms=lms, uid=uid, take_over=take_over, policy=policy)
