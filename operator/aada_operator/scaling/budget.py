"""How many pods of a component the database bears: pure arithmetic over what was declared and what the server says.

A pod counts with all that it may open, whether it does or not: the moment at which all do is the one that matters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.database import UNLIMITED, ConnectionLimits, RoleLimit

# A rollout starts one pod more before an old one leaves.
SURGE = 1
# A pod that leaves serves ten seconds longer and then finishes its requests; a new one needs about five until it is
# ready. So two of those that left still have connections when the next one leaves.
LEAVING = 2
# The operator reads the schema's revision as the application, and a migration runs as it: of the reserved connections,
# these are sessions of its role.
AS_APPLICATION = 3


@dataclass(frozen=True)
class Budget:
    """``application`` connections are for all api components together, ``available`` of them for this one: less than
    none when the others have taken more."""

    per_pod: int
    max_connections: int
    reserved: int
    application: int
    available: int
    max_pods: int
    term: str

    def needed(self, pods: int) -> int:
        """Connections for so many pods, in a rollout too."""
        return (pods + SURGE + LEAVING) * self.per_pod


@dataclass(frozen=True)
class Connections:
    """Either ``limits`` and what is ``solved`` with them, or why not; ``failed``: the server was asked in vain."""

    limits: ConnectionLimits | None = None
    solved: Budget | None = None
    reason: str = ""
    message: str = ""
    failed: bool = False


def undeclared(lms: AadaLmsSpec) -> list[str]:
    """The api components that do not say what a pod may open; a pool of none has no bound in most libraries."""
    return [component.name for component in lms.components if component.role == "api" and not _per_pod(component)]


def solve(
    lms: AadaLmsSpec, component: str, server: ConnectionLimits, reserved: int, limits: Mapping[str, int] | None = None
) -> Budget:
    """Pods of ``component`` at the most; all api components have declared their connections.

    ``limits`` are the largest sizes of components that other policies scale; the others have their ``replicas``.
    """
    target = next(one for one in lms.components if one.name == component)
    application, term = _for_application(server, reserved)
    neighbours = [one for one in lms.components if one.role == "api" and one.name != component]
    held = sum(_demand(one, (limits or {}).get(one.name, one.replicas)) for one in neighbours)
    per_pod = _per_pod(target)
    available = application - held
    pods = available // per_pod - SURGE - LEAVING
    return Budget(
        per_pod=per_pod,
        max_connections=server.max_connections,
        reserved=server.superusers + reserved,
        application=application,
        available=available,
        max_pods=max(0, min(pods, 100)),
        term="OtherComponents" if held * 2 > application else term,
    )


def _for_application(server: ConnectionLimits, reserved: int) -> tuple[int, str]:
    """Connections for the application, and what makes it so few."""
    terms = [(max(0, server.max_connections - server.superusers - reserved), "MaxConnections")]
    if server.database_limit != UNLIMITED:
        terms.append((max(0, server.database_limit - AS_APPLICATION), "DatabaseLimit"))
    given = [role.limit for role in server.roles if not role.ours and role.limit != UNLIMITED]
    terms += [(max(0, limit - AS_APPLICATION), "RoleLimit") for limit in given]
    return min(terms)


def _demand(component: Component, replicas: int) -> int:
    return (replicas + SURGE + LEAVING) * _per_pod(component)


def _per_pod(component: Component) -> int:
    return component.connections.per_pod() if component.connections else 0


def fence(budget: Budget, pods: int) -> int:
    """The CONNECTION LIMIT of the application's roles; -1, none, while more pods are there than the database bears."""
    return budget.application + AS_APPLICATION if 0 < pods <= budget.max_pods else UNLIMITED


def needed_connections(budget: Budget, pods: int) -> int:
    """The ``max_connections`` with which the server would bear so many pods."""
    return budget.max_connections + max(0, budget.needed(pods) - budget.available)


def to_be_limited(roles: Iterable[RoleLimit], wanted: int) -> list[str]:
    """Roles that the operator made and that have another limit."""
    return [role.name for role in roles if role.ours and role.limit != wanted]
