"""Whose the folder of an LMS in a bucket is."""

from aada_operator.adapters.object_store import ObjectStore
from aada_operator.api.ownership import (
    OWNERS,
    FolderOwner,
    marker_key,
    marker_number,
    parse_marker,
)
from aada_operator.api.task import CORRUPT
from aada_operator.core.errors import Stalled


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
