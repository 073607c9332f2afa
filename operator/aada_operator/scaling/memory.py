"""What a policy must remember from one visit to the next, kept on its autoscaler: it outlives the operator; pure."""

from dataclasses import dataclass
from functools import cache

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from aada_operator.api.common import GROUP
from aada_operator.core.hysteresis import OFF, Held, Latch
from aada_operator.core.resources import Object

ANNOTATION_MEMORY = f"{GROUP}/scaling-memory"


@dataclass(frozen=True)
class Memory:
    """``asked`` is how many pods the operator itself asks for, None where nothing makes it ask.

    ``lost_since`` is when a metric was lost, None while all are seen; ``most`` is the upper bound that was found last,
    where it is not the autoscaler's; ``database`` is whether the database is the limit.
    """

    asked: Held | None = None
    lost_since: AwareDatetime | None = None
    most: int | None = None
    database: Latch = OFF

    @property
    def floor(self) -> int:
        """Pods that are asked for at least."""
        return self.asked.value if self.asked else 0


def recall(autoscaler: Object | None) -> Memory:
    """What was written last; nothing where somebody else wrote there."""
    text = ((autoscaler or {"metadata": {}})["metadata"].get("annotations") or {}).get(ANNOTATION_MEMORY, "{}")
    try:
        return _adapter().validate_json(text)
    except ValidationError:
        return Memory()


def written(memory: Memory) -> dict[str, str]:
    """The annotation; none for what is nothing, so that a policy that remembers nothing has none."""
    text = _adapter().dump_json(memory, exclude_defaults=True).decode()
    return {} if text == "{}" else {ANNOTATION_MEMORY: text}


@cache
def _adapter() -> TypeAdapter[Memory]:
    return TypeAdapter(Memory)
