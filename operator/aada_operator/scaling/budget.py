"""What one visit knows of connections, and the limit of the application's roles that follows; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from aada_operator.core.capacity import AS_APPLICATION, Budget
from aada_operator.core.database import UNLIMITED, ConnectionLimits, PoolerLimits, RoleLimit


@dataclass(frozen=True)
class Connections:
    """Either ``limits``, those of a pooler, and what is ``solved`` with them, or why not.

    ``failed``: the server was asked in vain.
    """

    limits: ConnectionLimits | None = None
    pooler: PoolerLimits | None = None
    solved: Budget | None = None
    reason: str = ""
    message: str = ""
    failed: bool = False


def fence(budget: Budget, pods: int) -> int:
    """The CONNECTION LIMIT of the application's roles; -1, none, while more pods are there than the database bears."""
    return budget.application + AS_APPLICATION if 0 < pods <= budget.max_pods else UNLIMITED


def to_be_limited(roles: Iterable[RoleLimit], wanted: int) -> list[str]:
    """Roles that the operator made and that have another limit."""
    return [role.name for role in roles if role.ours and role.limit != wanted]
