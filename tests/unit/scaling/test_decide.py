"""Bounds: what the calendar and the database say of them, and how pods that are too many leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.capacity import solve
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import Object
from aada_operator.scaling import decide
from aada_operator.scaling.calendar import Says
from aada_operator.scaling.decide import Bounds, Size
from tests.unit.scaling.samples import SERVER, TARGET, lms, spec

NOW = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
CALM = Size(2, settled=True)
NOTHING = Says()
BUDGET = solve(lms().components, "backend", SERVER, 9)  # five pods


def bounds(says: Says = NOTHING, size: Size = CALM, last: int | None = None, **patch: Any) -> Bounds:
    wanted = spec(**patch)
    return decide.bounds(wanted, says, decide.upper(wanted, BUDGET), size, last=last)


def test_without_a_reason_they_are_those_of_the_spec() -> None:
    assert bounds() == Bounds(2, 5, "MaxReplicas")


def test_the_calendar_raises_the_floor() -> None:
    assert bounds(Says(4, "class hours")) == Bounds(4, 5, "MaxReplicas")
    assert bounds(Says(1, "class hours")) == Bounds(2, 5, "MaxReplicas")


def test_the_database_comes_before_the_calendar() -> None:
    assert bounds(Says(9, "exam finals"), maxReplicas=9) == Bounds(5, 5, "ConnectionBudget")


def test_a_warning_leaves_the_bounds_alone() -> None:
    assert bounds(maxReplicas=9, connectionBudget="Warn") == Bounds(2, 9, "MaxReplicas")


def test_pods_that_are_too_many_leave_one_at_a_time() -> None:
    """An autoscaler whose bound falls from 9 to 5 would remove four at once."""
    assert bounds(size=Size(9, settled=True), maxReplicas=9).max == 8
    assert bounds(size=Size(8, settled=False), maxReplicas=9).max == 8, "the one before has not left yet"
    assert bounds(size=Size(6, settled=True), maxReplicas=9).max == 5


def test_a_pod_that_left_does_not_come_back_with_what_an_autoscaler_read_before() -> None:
    """It began to look before the bound was 8, and sets 9 after the size was."""
    assert bounds(size=Size(9, settled=False), last=8, maxReplicas=9).max == 8
    assert bounds(size=Size(9, settled=False), last=None, maxReplicas=9).max == 9, "there is no autoscaler yet"


@pytest.mark.parametrize(
    ("there", "leaving", "most"),
    [(5, 0, 5), (5, 3, 5), (3, 1, 4), (3, 2, 3), (3, 4, 3), (2, 2, 3), (0, 5, 1), (0, 9, 1)],
)
def test_nobody_is_added_for_whom_pods_that_leave_have_the_connections(there: int, leaving: int, most: int) -> None:
    """The server bears five pods; who is there stays, and somebody always serves."""
    found = decide.beside(bounds(), spec(), BUDGET, there, leaving)
    assert found == Bounds(min(2, most), most, "ConnectionBudget" if most < 5 else "MaxReplicas")


def test_pods_that_leave_bar_nobody_where_connections_do_not_count() -> None:
    assert decide.beside(Bounds(2, 5, "MaxReplicas"), spec(connectionBudget="Warn"), BUDGET, 1, 9).max == 5
    assert decide.beside(Bounds(2, 5, "MaxReplicas"), spec(), None, 1, 9).max == 5


@pytest.mark.parametrize(("ago", "settled"), [(0, False), (22, False), (23, True), (3600, True)])
def test_the_next_one_leaves_when_the_one_before_has_had_time_to_end(ago: int, settled: bool) -> None:
    live = deployment(9, "aada-operator-scaling", written=NOW - timedelta(seconds=ago))
    assert decide.size_of(live, autoscaler(9), NOW) == Size(9, settled)


@pytest.mark.parametrize(("ago", "settled"), [(0, False), (22, False), (23, True), (3600, True)])
def test_what_an_autoscaler_wrote_has_the_time_that_it_says(ago: int, settled: bool) -> None:
    """The API server notes none of it."""
    live = deployment(9, "kube-controller-manager", written=None)
    said = autoscaler(9, scaled=NOW - timedelta(seconds=ago))
    assert decide.size_of(live, said, NOW) == Size(9, settled)
    before = autoscaler(10, scaled=NOW - timedelta(hours=1))
    assert not decide.size_of(live, before, NOW).settled, "it has written the size, and says so in a moment"


def test_a_size_of_which_nobody_tells_a_time_is_an_old_one() -> None:
    assert decide.size_of(deployment(9, written=None), None, NOW) == Size(9, settled=True)
    assert decide.size_of(deployment(9, written=None), autoscaler(9), NOW) == Size(9, settled=True)


def test_more_than_the_database_bears_is_on_its_way_until_all_have_left() -> None:
    many = spec(maxReplicas=9)
    assert decide.is_stepping_down(many, Bounds(2, 8, "ConnectionBudget"), BUDGET)
    assert not decide.is_stepping_down(many, Bounds(2, 5, "ConnectionBudget"), BUDGET)
    assert not decide.is_stepping_down(spec(), Bounds(2, 5, "MaxReplicas"), BUDGET)
    assert not decide.is_stepping_down(many, Bounds(2, 8, "DatabaseUnreachable"), None)


def test_a_lower_wish_is_followed_at_once() -> None:
    assert bounds(size=Size(9, settled=True), maxReplicas=3) == Bounds(2, 3, "MaxReplicas")


def test_a_database_that_bears_no_pod_is_no_reason_for_an_outage() -> None:
    wanted = spec()
    nothing = solve(lms().components, "backend", SERVER, 97)
    assert nothing.max_pods == 0
    assert decide.bounds(wanted, Says(), decide.upper(wanted, nothing), CALM) == Bounds(2, 2, "ConnectionBudget")


def test_a_freeze_leaves_the_size_as_it_is() -> None:
    assert bounds(Says(3, "class hours", freeze="visit"), Size(4, settled=True)) == Bounds(4, 4, "Freeze")


def test_a_database_that_cannot_be_asked_leaves_the_upper_bound_as_it_was() -> None:
    assert decide.without_answer(spec(), 4, CALM) == (4, "DatabaseUnreachable")
    assert decide.without_answer(spec(maxReplicas=3), 4, CALM) == (3, "DatabaseUnreachable")
    assert decide.without_answer(spec(), None, Size(3, settled=True)) == (3, "DatabaseUnreachable")


@given(
    st.integers(1, 100), st.integers(0, 99), st.integers(0, 120), st.integers(0, 3000), st.integers(1, 100),
    st.booleans(),
)  # fmt: skip
def test_bounds_are_in_order_and_never_invite_more_than_the_database_bears(
    least: int, more: int, floor: int, connections: int, pods: int, settled: bool
) -> None:
    most = min(100, least + more)
    wanted = spec(minReplicas=least, maxReplicas=most)
    budget = solve(lms().components, "backend", type(SERVER)(connections, 3), 9)
    found = decide.bounds(wanted, Says(floor), decide.upper(wanted, budget), Size(pods, settled))
    assert 1 <= found.min <= found.max
    if budget.max_pods:
        assert found.max <= max(min(most, budget.max_pods), pods), "nobody is added beyond it"
    else:
        assert found.max <= max(least, pods)
    assert found.max >= min(most, pods) - 1, "and no more than one leaves at a time"


# --- whose number it is ---------------------------------------------------------------------------------------------

FIELD: Object = {"f:spec": {"f:replicas": {}}}


def deployment(replicas: int, *managers: str, written: datetime | None = NOW) -> Object:
    time = {"time": to_rfc3339(written)} if written else {}
    fields = [{"manager": one, "fieldsV1": FIELD} | time for one in managers]
    others = {"manager": "kubectl", "fieldsV1": {"f:metadata": {}}}
    template = {"spec": {"terminationGracePeriodSeconds": 45}}
    metadata = {"name": "aada-backend", "managedFields": [*fields, others]}
    return {"metadata": metadata, "spec": {"replicas": replicas, "template": template}}


def autoscaler(desired: int, controller: str = "kube-controller-manager", scaled: datetime | None = None) -> Object:
    note = {"manager": controller, "subresource": "status", "fieldsV1": {"f:status": {}}}
    status = {"desiredReplicas": desired} | ({"lastScaleTime": to_rfc3339(scaled)} if scaled else {})
    return {"metadata": {"managedFields": [note]}, "status": status}


@pytest.mark.parametrize("who", ["kubectl", "argocd-controller"])
def test_a_size_set_beside_the_autoscaler_is_noticed(who: str) -> None:
    assert decide.set_by_hand(deployment(4, who), autoscaler(2)) == who
    assert decide.meant(deployment(4, who), autoscaler(2), spec(), NOW).wanted == 2


@pytest.mark.parametrize("who", ["kube-controller-manager", "aada-operator-scaling", "aada-operator"])
def test_our_own_changes_and_the_autoscalers_are_not(who: str) -> None:
    assert decide.set_by_hand(deployment(4, who), autoscaler(2)) == ""
    assert decide.meant(deployment(4, who), autoscaler(2), spec(), NOW).wanted == 4


def test_the_controller_of_autoscalers_is_known_by_what_it_writes() -> None:
    """In other distributions it is called otherwise."""
    assert decide.set_by_hand(deployment(4, "k3s"), autoscaler(4, "k3s")) == ""


def test_before_the_autoscaler_has_looked_nobody_is_accused() -> None:
    assert decide.set_by_hand(deployment(4, "kubectl"), None) == ""
    assert decide.set_by_hand(deployment(4, "kubectl"), {"metadata": {}}) == ""


def test_no_pods_set_by_hand_are_not_what_is_meant() -> None:
    """An autoscaler switches itself off at no pods, and says that it wants none."""
    assert decide.meant(deployment(0, "kubectl"), autoscaler(0), spec(minReplicas=3), NOW).wanted == 3


def policy(name: str, made: str, **patch: Any) -> Object:
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": made}
    return {"metadata": metadata | patch.pop("metadata", {}), "spec": {"target": TARGET, "maxReplicas": 7} | patch}


def test_of_two_policies_for_one_component_the_elder_scales() -> None:
    first, second = policy("b", "2026-01-01T00:00:00Z"), policy("a", "2026-01-02T00:00:00Z")
    assert decide.elder([first, second], spec(), second) == "b"
    assert decide.elder([first, second], spec(), first) == ""
    leaving = policy("b", "2026-01-01T00:00:00Z", metadata={"deletionTimestamp": "2026-01-03T00:00:00Z"})
    assert decide.elder([leaving, second], spec(), second) == ""


def test_one_policy_of_an_aadalms_limits_its_roles() -> None:
    other = policy("z", "2026-01-01T00:00:00Z", target=TARGET | {"component": "tasks"})
    mine = policy("a", "2026-01-02T00:00:00Z")
    assert decide.leader([mine, other], spec()) == "z"
    assert decide.leader([mine, policy("z", "2026-01-01T00:00:00Z", connectionBudget="Warn")], spec()) == "a"
    assert decide.neighbours([mine, other], spec()) == {"tasks": 7}


def test_autoscalers_of_others_for_the_same_deployment_are_rivals() -> None:
    def one(name: str, kind: str, target: str, owner: str = "") -> Object:
        owners = [{"uid": owner}] if owner else []
        reference = {"kind": kind, "name": target}
        return {"metadata": {"name": name, "ownerReferences": owners}, "spec": {"scaleTargetRef": reference}}

    found = [
        one("theirs", "Deployment", "aada-backend"),
        one("ours", "Deployment", "aada-backend", "uid-1"),
        one("elsewhere", "Deployment", "other-backend"),
        one("another-kind", "StatefulSet", "aada-backend"),
    ]
    assert [rival["metadata"]["name"] for rival in decide.rivals(found, "aada-backend", "uid-1")] == ["theirs"]


def test_a_container_without_a_request_is_noticed() -> None:
    def pods(*containers: Object) -> Object:
        return {"spec": {"template": {"spec": {"containers": list(containers)}}}}

    wanted = spec(metrics=[{"cpu": "70%"}, {"memory": "80%"}])
    cpu: Object = {"resources": {"requests": {"cpu": "1"}}}
    assert decide.unrequested(wanted, pods(cpu)) == ["memory"]
    assert decide.unrequested(wanted, pods({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})) == []
    assert decide.unrequested(wanted, pods(cpu, {})) == ["cpu", "memory"]
