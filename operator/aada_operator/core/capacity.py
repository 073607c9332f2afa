"""How many connections the pods of an LMS may open, and how many pods its server bears: the one sum for all; pure.

A pod counts with all that it may open, whether it does or not: the moment at which all do is the one that matters.
Behind a pooler its pools are what the server sees, and pods are what the pooler sees.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aada_operator.api.component import Component
from aada_operator.core.database import UNLIMITED, ConnectionLimits, PoolerLimits

# Connections beside the components', unless a ScalingPolicy says others: operator 3, backup 2, migration 2, exporter 2.
RESERVED_CONNECTIONS = 9
# A rollout starts one pod more before an old one leaves.
SURGE = 1
# A pod that leaves serves ten seconds longer and then finishes its requests, with its connections: so many at one
# moment, since the next one leaves `pace` seconds later.
LEAVING = 2
# What Kubernetes gives a pod to end that does not say it.
_GRACE_SECONDS = 30
# The operator reads the schema's revision as the application, and a migration runs as it: of the reserved connections,
# these are sessions of its role.
AS_APPLICATION = 3
MAX_CONNECTIONS, OTHER_COMPONENTS = "MaxConnections", "OtherComponents"
DATABASE_LIMIT, ROLE_LIMIT = "DatabaseLimit", "RoleLimit"
POOLER_POOLS, POOLER_CLIENTS = "PoolerPools", "PoolerClients"
# What the API allows.
_MOST_PODS = 100


def connections(component: Component, pods: int, *, sets: int = 1) -> int:
    """All that so many pods of a component may open in the worst moment of a rollout; ``sets``: so many times each."""
    return (sets * pods + SURGE + LEAVING) * _per_pod(component)


def pace(pod_spec: Mapping[str, Any]) -> int:
    """Seconds from one pod that leaves to the next, so that never more than `LEAVING` have connections still.

    Whatever a request does, a pod has ended when its grace period has.
    """
    grace = pod_spec.get("terminationGracePeriodSeconds")
    return (grace if isinstance(grace, int) else _GRACE_SECONDS) // LEAVING + 1


def undeclared(components: Sequence[Component]) -> tuple[str, ...]:
    """The api components that do not say what a pod may open; a pool of none has no bound in most libraries."""
    return tuple(one.name for one in _with_database(components) if not _per_pod(one))


def _with_database(components: Sequence[Component]) -> list[Component]:
    return [one for one in components if one.role == "api"]


def _per_pod(component: Component) -> int:
    return component.connections.per_pod() if component.connections else 0


# --- whether all fit ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Demand:
    """What may be open at the most: ``clients`` of the pods, ``needed`` connections of the server with all others."""

    clients: int
    needed: int
    available: int
    max_connections: int
    pods: str
    pooler: PoolerLimits | None = None

    @property
    def clients_fit(self) -> bool:
        """Whether the pooler lets them in, where there is one."""
        return self.pooler is None or self.clients + RESERVED_CONNECTIONS <= self.pooler.clients

    @property
    def fits(self) -> bool:
        """Whether there is a connection for each one that may be open."""
        return self.needed <= self.available and self.clients_fit

    @property
    def counted(self) -> str:
        """The sum in words."""
        at_server = f"{self.available} of {self.max_connections} available"
        if self.pooler is None:
            return f"{self.pods} + {RESERVED_CONNECTIONS} reserved = {self.needed} connections, {at_server}"
        clients = f"{self.pods} = {self.clients} clients of the pooler, max_client_conn {self.pooler.clients}"
        pools = f"its pools at the most {self.pooler.sessions} + {RESERVED_CONNECTIONS} reserved"
        return f"{clients}; {pools}, {at_server}"


def demand(
    components: Sequence[Component], server: ConnectionLimits, pooler: PoolerLimits | None, twice: Collection[str] = ()
) -> Demand:
    """The connections of all api components; those named in ``twice`` run a second set of pods for a while."""
    own = _with_database(components)
    clients = sum(connections(one, one.replicas, sets=2 if one.name in twice else 1) for one in own)
    return Demand(
        clients=clients,
        needed=_at_server(clients, pooler) + RESERVED_CONNECTIONS,
        available=server.max_connections - server.superusers,
        max_connections=server.max_connections,
        pods=" + ".join(_term(one, twice) for one in own),
        pooler=pooler,
    )


def _at_server(clients: int, pooler: PoolerLimits | None) -> int:
    """A pooler opens a session for a client only, and keeps it: in time each of its pools may have one for all."""
    return min(pooler.pools * clients, pooler.sessions) if pooler else clients


def _term(component: Component, twice: Collection[str]) -> str:
    held, doubled = component.connections, "x2" if component.name in twice else ""
    if held is None:
        return component.name
    pods = f"{component.replicas}{doubled}+{SURGE}+{LEAVING}"
    return f"({pods}) x {held.workers} x ({held.pool_size}+{held.max_overflow}) {component.name}"


# --- how many fit ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """``application`` connections are for all api components together, ``available`` of them for one: less than none
    when the others have taken more. Where a pooler's clients are what limits, ``available`` are clients of it.
    """

    per_pod: int
    max_connections: int
    reserved: int
    application: int
    available: int
    max_pods: int
    term: str
    pooler: PoolerLimits | None = None

    def needed(self, pods: int) -> int:
        """Connections for so many pods, in a rollout too."""
        return (pods + SURGE + LEAVING) * self.per_pod

    @property
    def of(self) -> int:
        """The setting that is shared out: max_connections, or max_client_conn of the pooler."""
        return self.pooler.clients if self.pooler and self.term == POOLER_CLIENTS else self.max_connections

    def needed_setting(self, pods: int) -> int:
        """What that setting must be for so many pods."""
        return self.of + max(0, self.needed(pods) - self.available)


def solve(
    components: Sequence[Component],
    name: str,
    server: ConnectionLimits,
    reserved: int,
    limits: Mapping[str, int] | None = None,
    pooler: PoolerLimits | None = None,
) -> Budget:
    """Pods of a component at the most; all api components have declared their connections.

    ``limits`` are the largest sizes of components that other policies scale; the others have their ``replicas``.
    """
    target = next(one for one in components if one.name == name)
    application, term = _for_application(server, reserved)
    neighbours = [one for one in _with_database(components) if one.name != name]
    held = sum(connections(one, (limits or {}).get(one.name, one.replicas)) for one in neighbours)
    available, term = application - held, OTHER_COMPONENTS if held * 2 > application else term
    if pooler:
        clients = (pooler.clients - reserved - held, POOLER_CLIENTS)
        pools = (application // pooler.pools - held, POOLER_POOLS)
        available, term = clients if pooler.sessions <= application else min(pools, clients)
    per_pod = _per_pod(target)
    return Budget(
        per_pod=per_pod,
        max_connections=server.max_connections,
        reserved=server.superusers + reserved,
        application=application,
        available=available,
        max_pods=max(0, min(available // per_pod - SURGE - LEAVING, _MOST_PODS)),
        term=term,
        pooler=pooler,
    )


def _for_application(server: ConnectionLimits, reserved: int) -> tuple[int, str]:
    """Connections of the server for the application, and what makes it so few."""
    terms = [(max(0, server.max_connections - server.superusers - reserved), MAX_CONNECTIONS)]
    if server.database_limit != UNLIMITED:
        terms.append((max(0, server.database_limit - AS_APPLICATION), DATABASE_LIMIT))
    given = [role.limit for role in server.roles if not role.ours and role.limit != UNLIMITED]
    terms += [(max(0, limit - AS_APPLICATION), ROLE_LIMIT) for limit in given]
    return min(terms)
