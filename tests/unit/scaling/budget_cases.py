"""Budgets tried at random: AadaLms, servers and policies, each with a rollout of all pods at full scale, counted apart.

The model knows nothing of the formula: it starts and ends pods one by one, as a rolling update does, and adds up the
sessions that they and everybody else may have at that moment. `run` is for tests and demonstrations.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aada_operator.core.capacity import AS_APPLICATION, Budget, solve
from aada_operator.core.database import UNLIMITED, ConnectionLimits, PoolerLimits, RoleLimit
from aada_operator.scaling.budget import fence
from tests.unit.scaling.samples import component, lms

NAMES = ("backend", "tasks", "reports")
# What else there is on the server when it is at its busiest: the default of reservedConnections.
OTHERS = {"operator": 3, "backup": 2, "migration": 2, "exporter": 2}
# Pods that leave have their sessions no longer than two new ones need until they are ready.
SECONDS_TO_READY, SECONDS_TO_LEAVE = 5.0, 10.0


@dataclass(frozen=True)
class Case:
    """What somebody declared: components, and the most pods of those that policies scale."""

    components: tuple[dict[str, Any], ...]
    policies: Mapping[str, int]
    server: ConnectionLimits
    reserved: int
    pooler: PoolerLimits | None = None

    def solved(self) -> dict[str, Budget]:
        """What the operator finds for each policy; each knows of the others only how many pods they may have."""
        spec, found = lms(*self.components).components, dict[str, Budget]()
        for name in self.policies:
            others = {other: most for other, most in self.policies.items() if other != name}
            found[name] = solve(spec, name, self.server, self.reserved, others, self.pooler)
        return found


@dataclass(frozen=True)
class Outcome:
    """How many cases were tried, in how many the server bears pods at all, and what went wrong in which."""

    cases: int
    borne: int
    violations: tuple[str, ...]


def run(cases: int, seed: int = 1) -> Outcome:
    """Try so many cases; the same seed makes the same ones."""
    dice = random.Random(seed)
    borne, violations = 0, list[str]()
    for number in range(cases):
        case = drawn(dice)
        solved = case.solved()
        if all(one.max_pods for one in solved.values()):
            borne += 1
            violations += [f"case {number} of seed {seed}: {words}" for words in broken(case, solved)]
    return Outcome(cases, borne, tuple(violations))


def drawn(dice: random.Random) -> Case:
    """A case that the API accepts: one to three api components, a web one, any server, one or more policies."""
    names = NAMES[: dice.randint(1, len(NAMES))]
    largest = dice.choice((2, 8, 40))
    apis = [
        component(
            name,
            replicas=dice.randint(0, dice.choice((2, 20))),
            connections={
                "workers": dice.randint(1, dice.choice((2, 16))),
                "poolSize": dice.randint(1, largest),
                "maxOverflow": dice.randint(0, largest),
            },
        )
        for name in names
    ]
    web = {"name": "learn", "role": "web", "image": "i", "replicas": dice.randint(0, 20)}
    scaled = dice.sample(names, dice.randint(1, len(names)))
    roles = tuple(RoleLimit(name, _limit(dice), dice.random() < 0.7) for name in ("aada_lms_a", "aada_lms_b"))
    server = ConnectionLimits(dice.choice((100, 200, dice.randint(1, 5000))), dice.randint(0, 20), _limit(dice), roles)
    policies = {name: dice.randint(1, 100) for name in scaled}
    return Case((*apis, web), policies, server, dice.choice((9, dice.randint(3, 200))), _pooler(dice))


def _pooler(dice: random.Random) -> PoolerLimits | None:
    """None in two of three cases; small and large pools, with and without the bounds that need not be there."""
    if dice.random() < 0.67:
        return None
    pool, clients = dice.choice((20, dice.randint(0, 60))), dice.choice((100, dice.randint(0, 5000)))
    reserve, most, per_login = (dice.choice((0, dice.randint(1, 100))) for _ in range(3))
    return PoolerLimits(pool, clients, reserve, most, per_login, dice.random() < 0.2)


def _limit(dice: random.Random) -> int:
    return UNLIMITED if dice.random() < 0.7 else dice.randint(0, 4000)


def broken(case: Case, solved: Mapping[str, Budget]) -> Iterator[str]:
    """What does not hold when every policy has scaled out as far as it may, and all pods are replaced at once."""
    sizes = {one["name"]: one["replicas"] for one in case.components}
    sizes |= {name: min(most, solved[name].max_pods) for name, most in case.policies.items()}
    pods = _Pods()
    for one in case.components:
        if one["role"] == "api":
            pods.roll_out(one["connections"], sizes[one["name"]])
    server = case.server
    others = [name for name, sessions in OTHERS.items() for _ in range(sessions)][: case.reserved]
    others += ["somebody"] * (case.reserved - len(others))
    sessions = pods.most
    if case.pooler:
        if pods.most + len(others) > case.pooler.clients:
            yield f"{pods.most} + {len(others)} clients, {case.pooler.clients} let in by the pooler"
        sessions = _through(case.pooler, pods.most)
    if sessions + len(others) > server.max_connections - server.superusers:
        yield f"{sessions} + {len(others)} sessions, {server.max_connections} - {server.superusers} on the server"
    as_application = sessions + min(AS_APPLICATION, len(others))
    for limit in (server.database_limit, *(role.limit for role in server.roles if not role.ours)):
        if limit != UNLIMITED and as_application > limit:
            yield f"{as_application} sessions of the application, {limit} allowed"
    for name, found in solved.items():
        limit = fence(found, sizes[name])
        if limit != UNLIMITED and as_application > limit:
            yield f"{as_application} sessions of the application, its roles were given {limit}"


def _through(pooler: PoolerLimits, clients: int) -> int:
    """Sessions that a pooler has at the server after all clients have come, with one login and then with the other.

    Each is opened for a client as long as its pool and all together allow, and none is ever closed.
    """
    opened = Counter[str]()
    for login in ("lookups", "a", "lookups", "b"):
        user = "forced" if pooler.forced and login != "lookups" else login
        while opened[user] < clients:
            full = opened[user] >= max(1, pooler.pool_size) + pooler.reserve
            limited = pooler.per_login and opened[user] >= pooler.per_login
            if full or limited or (pooler.most and opened.total() >= pooler.most):
                break
            opened[user] += 1
    return opened.total()


@dataclass
class _Pods:
    """Pods that come and go, and the sessions that they may have; ``most`` is the most ever.

    Each component is replaced as if the others were at their worst moment just then.
    """

    most: int = 0
    _sessions: int = 0
    _leaving: list[tuple[float, int]] = field(default_factory=list)

    def roll_out(self, pool: Mapping[str, int], replicas: int) -> None:
        """Replace all pods of a component: a new one is there before an old one leaves."""
        self._sessions, self._leaving, highest, now = 0, [], 0, 0.0
        for _ in range(replicas):
            self._start(pool)
        # Of none there is a first one soon, and another rollout may follow at once.
        for _ in range(2 * max(1, replicas)):
            self._start(pool)
            highest = max(highest, self._sessions)
            now += SECONDS_TO_READY
            self._end(now)
            heapq.heappush(self._leaving, (now + SECONDS_TO_LEAVE, _of_one(pool)))
            highest = max(highest, self._sessions)
        self.most += highest

    def _start(self, pool: Mapping[str, int]) -> None:
        self._sessions += _of_one(pool)

    def _end(self, now: float) -> None:
        while self._leaving and self._leaving[0][0] <= now:
            self._sessions -= heapq.heappop(self._leaving)[1]


def _of_one(pool: Mapping[str, int]) -> int:
    """The sessions of one pod, worker by worker."""
    return sum(pool["poolSize"] + pool["maxOverflow"] for _ in range(pool["workers"]))
