"""How many connections the pods of an LMS may open, and whether the server has them; pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aada_operator.api.component import Component

# Connections beside the components': operator 3, backup 2, migration 2, exporter 2.
RESERVED_CONNECTIONS = 9
SURGE = 1


@dataclass(frozen=True)
class Budget:
    """``needed`` and ``available`` connections, and the sum in words; ``undeclared`` components make it unknown."""

    needed: int
    available: int
    counted: str
    undeclared: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the server has a connection for each one that the pods may open."""
        return self.needed <= self.available


def budget(components: Sequence[Component], max_connections: int, reserved: int, twice: Collection[str] = ()) -> Budget:
    """The connections of all api components; those named in ``twice`` run a second set of pods for a while."""
    own = [c for c in components if c.role == "api"]
    undeclared = tuple(c.name for c in own if c.connections is None)
    pods = {c.name: c.replicas * (2 if c.name in twice else 1) + SURGE for c in own}
    needed = sum(pods[c.name] * c.connections.per_pod() for c in own if c.connections) + RESERVED_CONNECTIONS
    available = max_connections - reserved
    terms = " + ".join([*(_term(c, c.name in twice) for c in own), f"{RESERVED_CONNECTIONS} reserved"])
    counted = f"{terms} = {needed} connections, {available} of {max_connections} available"
    return Budget(needed, available, counted, undeclared)


def _term(component: Component, twice: bool) -> str:
    held, pods = component.connections, f"{component.replicas}{'x2' if twice else ''}+{SURGE}"
    if held is None:
        return component.name
    return f"({pods}) x {held.workers} x ({held.pool_size}+{held.max_overflow}) {component.name}"
