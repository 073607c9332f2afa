"""What is news about an object: who is woken by a status that it writes itself is never done."""

from collections.abc import Mapping
from typing import Any

from aada_operator.core.resources import leaves
from aada_operator.core.workqueue import Key

Body = Mapping[str, Any]
GONE = "DELETED"


class News:
    """What each object said when it was last heard of."""

    def __init__(self) -> None:
        self._known: dict[Key, object] = {}

    def is_new(self, key: Key, kind: object, said: object) -> bool:
        """Whether an object says another thing than before; ``kind`` of the event: that it is gone is always news."""
        if kind == GONE:
            self._known.pop(key, None)
            return True
        before, self._known[key] = self._known.get(key), said
        return before != said


def asks(body: Body) -> object:
    """What people say with an object: its spec, its annotations, and that it is to go."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), dict(metadata.get("annotations") or {}), leaves(body)


def works(body: Body) -> object:
    """How far an object is with its work; what else its status tells bears on no other."""
    metadata, status = body["metadata"], body.get("status") or {}
    progress = map(status.get, ("operation", "phase", "step", "revision"))
    return metadata["uid"], metadata.get("generation"), *progress, leaves(body)
