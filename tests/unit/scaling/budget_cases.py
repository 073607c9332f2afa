"""Budgets tried at random: AadaLms, servers and policies, each with rollouts and changes of size, counted apart.

The model knows nothing of the formula: it starts and ends pods one by one, as Kubernetes does by their manifests, and
adds up the sessions that they and everybody else may have at that moment. `run` is for tests and demonstrations.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aada_operator.core.capacity import AS_APPLICATION, Budget, solve
from aada_operator.core.database import UNLIMITED, ConnectionLimits, PoolerLimits, RoleLimit
from aada_operator.lms import manifests as lms_manifests
from aada_operator.lms import sizes
from aada_operator.scaling import decide
from aada_operator.scaling import manifests as scaling_manifests
from aada_operator.scaling.budget import fence
from aada_operator.scaling.calendar import Says
from aada_operator.scaling.decide import Bounds, Size
from aada_operator.scaling.memory import Memory
from tests.unit.scaling.lives import Life, Rules
from tests.unit.scaling.samples import component, lms, spec

NAMES = ("backend", "tasks", "reports")
# What else there is on the server when it is at its busiest: the default of reservedConnections.
OTHERS = {"operator": 3, "backup": 2, "migration": 2, "exporter": 2}
OWNER = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "aada", "namespace": "n", "uid": "u"}}
# How long each component is looked at.
SECONDS = 180


@dataclass(frozen=True)
class Case:
    """What somebody declared: components, and the most pods of those that policies scale."""

    components: tuple[dict[str, Any], ...]
    policies: Mapping[str, int]
    server: ConnectionLimits
    reserved: int
    pooler: PoolerLimits | None = None
    grace: int = 45

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
            violations += [f"case {number} of seed {seed}: {words}" for words in broken(case, solved, dice)]
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
    reserved, grace = dice.choice((9, dice.randint(3, 200))), dice.choice((45, dice.randint(0, 120)))
    return Case((*apis, web), policies, server, reserved, _pooler(dice), grace)


def _pooler(dice: random.Random) -> PoolerLimits | None:
    """None in two of three cases; small and large pools, with and without the bounds that need not be there."""
    if dice.random() < 0.67:
        return None
    pool, clients = dice.choice((20, dice.randint(0, 60))), dice.choice((100, dice.randint(0, 5000)))
    reserve, most, per_login = (dice.choice((0, dice.randint(1, 100))) for _ in range(3))
    return PoolerLimits(pool, clients, reserve, most, per_login, dice.random() < 0.2)


def _limit(dice: random.Random) -> int:
    return UNLIMITED if dice.random() < 0.7 else dice.randint(0, 4000)


def broken(case: Case, solved: Mapping[str, Budget], dice: random.Random) -> Iterator[str]:
    """What does not hold in some minutes that begin when every policy has scaled out as far as it may."""
    server, at_once = case.server, _at_once(case, solved, dice)
    others = [name for name, sessions in OTHERS.items() for _ in range(sessions)][: case.reserved]
    others += ["somebody"] * (case.reserved - len(others))
    sessions = at_once
    if case.pooler:
        if at_once + len(others) > case.pooler.clients:
            yield f"{at_once} + {len(others)} clients, {case.pooler.clients} let in by the pooler"
        sessions = _through(case.pooler, at_once)
    if sessions + len(others) > server.max_connections - server.superusers:
        yield f"{sessions} + {len(others)} sessions, {server.max_connections} - {server.superusers} on the server"
    as_application = sessions + min(AS_APPLICATION, len(others))
    for limit in (server.database_limit, *(role.limit for role in server.roles if not role.ours)):
        if limit != UNLIMITED and as_application > limit:
            yield f"{as_application} sessions of the application, {limit} allowed"
    for name, found in solved.items():
        limit = fence(found, min(case.policies[name], found.max_pods))
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


def _at_once(case: Case, solved: Mapping[str, Budget], dice: random.Random) -> int:
    """The most sessions ever: each component as if the others were at their worst moment just then."""
    apis = [one for one in case.components if one["role"] == "api"]
    return sum(_life(case, one, solved.get(one["name"]), dice) * _of_one(one["connections"]) for one in apis)


def _life(case: Case, one: dict[str, Any], budget: Budget | None, dice: random.Random) -> int:
    """The most pods of a component that had sessions at one moment; ``budget`` where a policy scales it."""
    rules = rules_of(one["replicas"], case.grace, scaled=budget is not None)
    if budget is None:
        return Life(dice, rules, one["replicas"], lambda there, _: there).run(SECONDS)
    declared = spec(maxReplicas=case.policies[one["name"]], minReplicas=1)
    top = decide.bounds(declared, Says(), decide.upper(declared, budget), Size(0, settled=True))

    def most(there: int, leaving: int) -> int:
        return decide.beside(top, declared, budget, there, leaving).max

    return Life(dice, rules, top.max, most).run(SECONDS)


def rules_of(replicas: int, grace: int, *, scaled: bool) -> Rules:
    """What the manifests of a component, and of the autoscaler where it has one, let Kubernetes do."""
    pods = {"spec": {"terminationGracePeriodSeconds": grace}}
    school = lms(component(replicas=replicas, podTemplate=pods))
    size = sizes.Size(None, "2") if scaled else None
    deployment = lms_manifests.deployment(OWNER, school, school.components[0], {}, size)
    ready = deployment["spec"].get("minReadySeconds", 0)
    if not scaled:
        return Rules(grace, ready)
    bounds = Bounds(1, 2, "MaxReplicas")
    autoscaler = scaling_manifests.autoscaler(OWNER, spec(), bounds, Memory(), decide.pace(deployment))
    (policy,) = autoscaler["spec"]["behavior"]["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    return Rules(grace, ready, policy["periodSeconds"])


def _of_one(pool: Mapping[str, int]) -> int:
    """The sessions of one pod, worker by worker."""
    return sum(pool["poolSize"] + pool["maxOverflow"] for _ in range(pool["workers"]))
