"""How many pods the database bears: whatever is declared, all that pods may open fits what the server has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.capacity import AS_APPLICATION, LEAVING, SURGE, demand, solve, undeclared
from aada_operator.core.database import UNLIMITED, ConnectionLimits, PoolerLimits, RoleLimit
from aada_operator.scaling.budget import fence, to_be_limited
from tests.unit.scaling.samples import SERVER, component, lms

POOLS = st.fixed_dictionaries({
    "workers": st.integers(1, 16), "poolSize": st.integers(1, 40), "maxOverflow": st.integers(0, 40),
})  # fmt: skip
NAMES = ("backend", "tasks", "reports")
LIMIT = st.integers(-1, 3000)


@st.composite
def declared(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three api components, and a web one that has no database."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    found = [component(name, replicas=draw(st.integers(0, 20)), connections=draw(POOLS)) for name in names]
    return [*found, {"name": "learn", "role": "web", "image": "i", "replicas": draw(st.integers(0, 20))}]


@st.composite
def servers(draw: st.DrawFn) -> ConnectionLimits:
    roles = tuple(RoleLimit(name, draw(LIMIT), draw(st.booleans())) for name in ("db_a", "db_b"))
    return ConnectionLimits(draw(st.integers(1, 3000)), draw(st.integers(0, 20)), draw(LIMIT), roles)


def held(components: list[dict[str, Any]], sizes: dict[str, int]) -> int:
    """All that pods of every component may have open in the worst moment of a rollout, counted by hand."""
    total = 0
    for one in components:
        if one["role"] == "api":
            pool = one["connections"]
            pods = (sizes[one["name"]] if one["name"] in sizes else one["replicas"]) + SURGE + LEAVING
            total += pods * pool["workers"] * (pool["poolSize"] + pool["maxOverflow"])
    return total


@given(declared(), servers(), st.integers(3, 200))
def test_never_more_connections_than_the_server_has(
    components: list[dict[str, Any]], server: ConnectionLimits, reserved: int
) -> None:
    found = solve(lms(*components).components, "backend", server, reserved)
    if found.max_pods:
        used = held(components, {"backend": found.max_pods})
        assert used + reserved + server.superusers <= server.max_connections
        given_roles = [role.limit for role in server.roles if not role.ours]
        for limit in (server.database_limit, *given_roles):
            assert limit == UNLIMITED or used + AS_APPLICATION <= limit


@given(declared(), servers(), st.integers(3, 200))
def test_one_pod_more_would_not_fit(components: list[dict[str, Any]], server: ConnectionLimits, reserved: int) -> None:
    """The budget is used up: the solution is the largest one."""
    found = solve(lms(*components).components, "backend", server, reserved)
    if found.max_pods < 100:
        assert held(components, {"backend": found.max_pods + 1}) > found.application


@given(declared(), servers(), st.integers(3, 200))
def test_the_limit_of_the_roles_lets_all_pods_in_and_nobody_else_out(
    components: list[dict[str, Any]], server: ConnectionLimits, reserved: int
) -> None:
    found = solve(lms(*components).components, "backend", server, reserved)
    limit = fence(found, found.max_pods)
    if limit != UNLIMITED:
        assert held(components, {"backend": found.max_pods}) + AS_APPLICATION <= limit
        assert limit - AS_APPLICATION + reserved + server.superusers <= server.max_connections


@given(st.integers(1, 40), st.integers(1, 40), servers())
def test_two_policies_that_do_not_know_each_others_choice_fit_together(
    backend: int, tasks: int, server: ConnectionLimits
) -> None:
    """Each counts the other with all that it may ever have."""
    components = [component("backend"), component("tasks")]
    limits = {"backend": backend, "tasks": tasks}
    solved = {name: solve(lms(*components).components, name, server, 9, limits) for name in limits}
    sizes = {name: min(limits[name], one.max_pods) for name, one in solved.items()}
    if all(one.max_pods for one in solved.values()):
        assert held(components, sizes) <= solved["backend"].application


def test_the_runbooks_pool_does_not_even_bear_one_pod() -> None:
    school = lms(component(connections={"workers": 4, "poolSize": 20, "maxOverflow": 40})).components
    found = solve(school, "backend", SERVER, 9)
    assert (found.per_pod, found.available, found.max_pods) == (240, 88, 0)
    assert found.term == "MaxConnections"
    assert fence(found, 2) == UNLIMITED, "a limit would hit the users"
    assert solve(school, "backend", ConnectionLimits(found.needed_setting(5), 3), 9).max_pods == 5


def test_small_pools_bear_five_pods_in_a_rollout() -> None:
    found = solve(lms().components, "backend", SERVER, 9)
    assert (found.per_pod, found.available, found.max_pods, found.term) == (10, 88, 5, "MaxConnections")
    assert (fence(found, 5), fence(found, 6), fence(found, 0)) == (91, UNLIMITED, UNLIMITED)


@pytest.mark.parametrize(
    ("server", "pods", "term"),
    [
        (ConnectionLimits(100, 3, database_limit=63), 3, "DatabaseLimit"),
        (ConnectionLimits(100, 3, roles=(RoleLimit("aada_app", 53, ours=False),)), 2, "RoleLimit"),
        (ConnectionLimits(100, 3, roles=(RoleLimit("aada_lms_a", 50, ours=True),)), 5, "MaxConnections"),
        (ConnectionLimits(5, 3), 0, "MaxConnections"),
    ],
)
def test_the_term_that_limits_is_named(server: ConnectionLimits, pods: int, term: str) -> None:
    """The limit of a role that the operator made is its own doing, and no reason for fewer pods."""
    found = solve(lms().components, "backend", server, 9)
    assert (found.max_pods, found.term) == (pods, term)


def test_a_neighbour_that_takes_most_of_it_is_named() -> None:
    found = solve(lms(component(), component("tasks", replicas=3)).components, "backend", SERVER, 9)
    assert (found.available, found.max_pods, found.term) == (28, 0, "OtherComponents")


def test_who_does_not_say_what_a_pod_opens_is_named() -> None:
    assert undeclared(lms(component(connections=None), component("tasks")).components) == ("backend",)
    nothing = {"workers": 4, "poolSize": 0, "maxOverflow": 0}
    assert undeclared(lms(component(connections=nothing)).components) == ("backend",)
    assert undeclared(lms().components) == ()


def test_only_roles_that_the_operator_made_are_limited() -> None:
    roles = (RoleLimit("aada_lms_a", 88, True), RoleLimit("aada_lms_b", -1, True), RoleLimit("aada_app", -1, False))
    assert to_be_limited(roles, 88) == ["aada_lms_b"]
    assert to_be_limited(roles, UNLIMITED) == ["aada_lms_a"]


@given(declared(), servers(), st.integers(1, 40))
def test_what_the_operator_allows_is_safe_in_the_eyes_of_the_aadalms(
    components: list[dict[str, Any]], server: ConnectionLimits, replicas: int
) -> None:
    """CapacitySafe and the policy's MAX are one sum: so many pods fit, one more does not."""
    server = ConnectionLimits(server.max_connections, server.superusers)
    found = solve(lms(*components).components, "backend", server, 9)

    def fits(pods: int) -> bool:
        sized = [one | ({"replicas": pods} if one["name"] == "backend" else {}) for one in components]
        return demand(lms(*sized).components, server, None).fits

    assert fits(replicas) == (replicas <= found.available // found.per_pod - SURGE - LEAVING)


# --- a pooler in between --------------------------------------------------------------------------------------------

POOLER = PoolerLimits(pool_size=20, clients=1000)


def test_behind_a_pooler_its_clients_bound_the_pods_and_not_the_server() -> None:
    """Three pools of 20 fit into 88: the pods may be as many as the pooler lets in."""
    found = solve(lms().components, "backend", SERVER, 9, pooler=POOLER)
    assert (found.available, found.max_pods, found.term) == (991, 96, "PoolerClients")
    assert (found.of, found.needed_setting(100)) == (1000, 9 + 1030)
    few = solve(lms().components, "backend", SERVER, 9, pooler=PoolerLimits(20, clients=100))
    assert (few.available, few.max_pods, few.term) == (91, 6, "PoolerClients")


def test_pools_that_are_larger_than_the_server_protect_nothing() -> None:
    """In time each of its three pools may have a session for every client."""
    few = lms(component(connections={"workers": 1, "poolSize": 4, "maxOverflow": 0})).components
    found = solve(few, "backend", SERVER, 9, pooler=PoolerLimits(40, clients=1000))
    assert (found.available, found.max_pods, found.term) == (29, 4, "PoolerPools")
    assert fence(found, 4) == 91


@pytest.mark.parametrize(
    ("pooler", "sessions"),
    [
        (PoolerLimits(20, 100), 60),
        (PoolerLimits(20, 100, reserve=5), 75),
        (PoolerLimits(20, 100, most=50), 50),
        (PoolerLimits(20, 100, per_login=10), 30),
        (PoolerLimits(20, 100, forced=True), 40),
        (PoolerLimits(0, 100), 3),
    ],
)
def test_both_logins_and_the_one_that_looks_up_passwords_have_a_pool(pooler: PoolerLimits, sessions: int) -> None:
    assert pooler.sessions == sessions


@st.composite
def poolers(draw: st.DrawFn) -> PoolerLimits:
    pool, reserve, most, per_login = (draw(st.integers(0, 60)) for _ in range(4))
    return PoolerLimits(pool, draw(st.integers(0, 2000)), reserve, most, per_login, draw(st.booleans()))


@given(declared(), servers(), st.integers(3, 200), poolers())
def test_neither_the_server_nor_the_pooler_is_ever_asked_for_more_than_it_has(
    components: list[dict[str, Any]], server: ConnectionLimits, reserved: int, pooler: PoolerLimits
) -> None:
    found = solve(lms(*components).components, "backend", server, reserved, pooler=pooler)
    if found.max_pods:
        clients = held(components, {"backend": found.max_pods})
        assert clients + reserved <= pooler.clients
        assert min(pooler.pools * clients, pooler.sessions) + reserved + server.superusers <= server.max_connections
        if found.max_pods < 100:
            more = held(components, {"backend": found.max_pods + 1})
            assert more + reserved > pooler.clients or min(pooler.pools * more, pooler.sessions) > found.application
