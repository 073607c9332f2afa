"""CapacitySafe: whether server and pooler have room for all pods, and whether these can share their uploads; pure."""

from collections.abc import Sequence

from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core import capacity
from aada_operator.core.database import ConnectionLimits, PoolerLimits, ServerFacts
from aada_operator.core.errors import Waiting
from aada_operator.lms.decide import Verdict


def capacity_safe(
    spec: AadaLmsSpec,
    facts: ServerFacts | None,
    claim_modes: Sequence[str] | None,
    pooler: PoolerLimits | Waiting | None = None,
) -> Verdict:
    """Whether there is a connection for each one that the pods may open, and the uploads fit the replicas.

    ``pooler`` is what it says of itself, or why it does not; None without one.
    """
    budget = _connection_budget(spec.components, facts, pooler)
    uploads = _uploads(spec, claim_modes)
    if uploads is None:
        return budget
    if budget.status == "False":
        return Verdict("False", budget.reason, f"{budget.message}; {uploads}")
    return Verdict("False", "UploadsNotShared", uploads)


def _connection_budget(
    components: Sequence[Component], facts: ServerFacts | None, pooler: PoolerLimits | Waiting | None
) -> Verdict:
    if facts is None:
        return Verdict("Unknown", "DatabaseUnreachable", "the server could not be asked for max_connections")
    if missing := capacity.undeclared(components):
        message = f"say what a pod of {', '.join(missing)} may open in components[].connections"
        return Verdict("Unknown", "NotDeclared", message)
    if isinstance(pooler, Waiting):
        message = f"the pooler's pools are what counts, and it does not tell them: {pooler.message}"
        return Verdict("Unknown", "BehindPooler", message)
    found = capacity.demand(components, ConnectionLimits(facts.max_connections, facts.reserved), pooler)
    if found.fits:
        return Verdict("True", "WithinBudget", found.counted)
    return Verdict("False", "ConnectionBudgetExceeded", f"{found.counted}: {_more_room(found, facts.reserved)}")


def _more_room(found: capacity.Demand, superusers: int) -> str:
    """What to change, so that all fit."""
    wanted = f"max_connections {found.needed + superusers} (needs a restart)"
    if found.pooler is None:
        return f"fewer workers or smaller pools, a pooler, or {wanted}"
    if found.clients_fit:
        return f"a smaller default_pool_size of the pooler, or {wanted}"
    clients = found.clients + capacity.RESERVED_CONNECTIONS
    return f"fewer workers or smaller pools, or max_client_conn {clients} of the pooler"


def _uploads(spec: AadaLmsSpec, claim_modes: Sequence[str] | None) -> str | None:
    """What is wrong with the claim for uploads, None when nothing is."""
    uploads = spec.storage.uploads
    if uploads is None:
        return None
    if claim_modes is None:
        return f"claim {uploads.claim_name} (storage.uploads) does not exist: create it"
    many = [c.name for c in spec.components if c.role == "api" and c.replicas > 1]
    if many and "ReadWriteMany" not in claim_modes:
        return f"claim {uploads.claim_name} is not ReadWriteMany: pods of {many[0]} on different nodes cannot share it"
    return None
