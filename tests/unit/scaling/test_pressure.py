"""Whether the database is the limit: what is one, that it lasts before it counts, and that no pods are added then."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.database import Activity
from aada_operator.core.errors import Waiting
from aada_operator.core.hysteresis import OFF, Latch, turned
from aada_operator.scaling import activity
from aada_operator.scaling.pressure import Pressure, judge
from tests.unit.scaling.prometheus import PROMETHEUS, Prometheus
from tests.unit.scaling.samples import at, spec
from tests.unit.scaling.world import CONTROLLER, Make, World, scaling

NOW = at("2026-03-01T04:00Z")
BUSY = Activity(sessions=40, active=10, locked=7, reading=1, computing=2, slots=97)
CALM = Activity(sessions=40, active=10, locked=1, reading=1, computing=2, slots=97)


def found(seen: Activity, cpu: float | None = None, **bound: Any) -> Pressure:
    return judge(spec(databaseBound=bound, prometheus=PROMETHEUS), seen, cpu)


@pytest.mark.parametrize(
    ("seen", "cpu", "reason", "says"),
    [
        (BUSY, None, "SessionsWait", "8 of 10 sessions at work wait, 7 for locks and 1 for the disk"),
        (Activity(sessions=88, slots=97), None, "ConnectionsInUse", "88 of 97 connections"),
        (
            Activity(sessions=20, active=9, computing=5, slots=97),
            None,
            "DatabaseCpuBusy",
            "5 sessions compute on 4 cores",
        ),
        (CALM, 0.93, "DatabaseCpuBusy", "93% of the database's CPU"),
    ],
)
def test_what_is_the_limit_is_told_with_its_figures(seen: Activity, cpu: float | None, reason: str, says: str) -> None:
    pressure = found(seen, cpu, cores=4)
    assert (pressure.bound, pressure.reason, says in pressure.message) == (True, reason, True), pressure.message


@pytest.mark.parametrize(
    "seen",
    [
        CALM,
        Activity(sessions=20, active=4, locked=4, slots=97),
        Activity(sessions=80, active=4, computing=4, slots=97),
        Activity(),
    ],
    ids=["most compute", "a few that wait", "as many as cores", "nobody"],
)
def test_a_database_with_room_is_none(seen: Activity) -> None:
    assert found(seen, 0.89, cores=4) == Pressure(False, "HasRoom")


def test_without_its_cores_nobody_judges_the_cpu_by_its_sessions() -> None:
    assert found(Activity(sessions=60, active=60, computing=60, slots=97)).bound is False


def test_sessions_that_nobody_may_see_prove_nothing() -> None:
    pressure = found(Activity(sessions=95, hidden=90, slots=97))
    assert (pressure.bound, pressure.reason) == (None, "SessionsNotVisible")
    assert "GRANT pg_read_all_stats" in pressure.message


def looks(*seen: bool | None, start: Latch = OFF) -> list[bool]:
    """Whether it counts, at looks half a minute apart: on after one minute, off after five."""
    latch, said = start, []
    for number, one in enumerate(seen):
        now = NOW + number * timedelta(seconds=30)
        latch = turned(latch, one, now, timedelta(minutes=1), timedelta(minutes=5))
        said.append(latch.on)
    return said


def test_it_counts_once_it_lasted_a_minute() -> None:
    assert looks(True, True, True) == [False, False, True]
    assert looks(True, False, True, True, True) == [False, False, False, False, True]


def test_it_is_over_once_it_was_none_for_five_minutes() -> None:
    assert looks(*[False] * 11, start=Latch(True)) == [*[True] * 10, False]
    assert looks(*[False] * 9, True, *[False] * 9, start=Latch(True)) == [True] * 19


def test_nobody_who_can_look_changes_nothing() -> None:
    assert looks(*[None] * 20) == [False] * 20
    assert looks(*[None] * 20, start=Latch(True)) == [True] * 20


@given(st.lists(st.booleans(), max_size=20))
def test_it_turns_once_in_five_minutes_at_the_most(seen: list[bool]) -> None:
    said = [False, *looks(*seen[:10])]
    assert sum(before != after for before, after in itertools.pairwise(said)) <= 1


async def test_no_pods_are_added_while_the_database_is_the_limit(make: Make) -> None:
    world = await scaling(make)
    world.load, world.activity = 3, BUSY
    await world.turns(3)
    assert (world.pods, world.said("DatabaseBound")) == (3, "False HasRoom"), "a moment proves nothing"
    await world.turns(4)
    world.load = 5
    await world.turns(4)
    assert (world.pods, world.bounds, world.status["limitedBy"]) == (3, (2, 3), "DatabaseBound")
    assert world.said("DatabaseBound") == "True SessionsWait"
    assert "8 of 10 sessions at work wait" in world.told("DatabaseBound")
    assert "no pods are added" in world.told("DatabaseBound")
    assert world.said("ScalingLimited") == "True AtMaximum"


async def almost(make: Make) -> World:
    """Its database has been the limit for a minute, as the next visit will find."""
    world = await scaling(make)
    world.activity = BUSY
    await world.visit()
    world.clock.advance(seconds=61)
    return world


async def test_the_visit_that_finds_it_sets_the_bound(make: Make) -> None:
    """Whoever is killed right after it has let no pod come."""
    world = await almost(make)
    assert world.bounds == (2, 5)
    await world.visit()
    assert (world.bounds, world.status["limitedBy"]) == ((2, 2), "DatabaseBound")


async def test_a_pod_that_came_while_it_was_looked_at_stays(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await almost(make)

    async def looked(*_: object) -> Activity:
        world.server.set_size(3, CONTROLLER)
        return BUSY

    monkeypatch.setattr(activity, "activity_of", looked)
    await world.visit()
    assert (world.pods, world.bounds) == (3, (2, 3))


async def test_it_goes_on_by_itself_five_minutes_after(make: Make) -> None:
    world = await scaling(make)
    world.load, world.activity = 2, BUSY
    await world.turns(8)
    world.load, world.activity = 5, CALM
    await world.turns(17)
    assert (world.pods, world.said("DatabaseBound")) == (2, "True Recovering")
    world.restart()
    await world.until(lambda: world.pods == 5, count=8)
    assert world.said("DatabaseBound") == "False HasRoom"


async def test_a_restart_and_a_lost_status_do_not_let_it_add_pods(make: Make) -> None:
    world = await scaling(make)
    world.activity = BUSY
    await world.turns(8)
    world.restart()
    del world.policy["status"]
    world.load, world.activity = 5, CALM
    await world.turns(3)
    assert (world.pods, world.said("DatabaseBound")) == (2, "True Recovering")


async def test_nobody_leaves_because_of_it_and_pods_that_are_idle_do(make: Make) -> None:
    world = await scaling(make)
    world.load = 5
    await world.turns(4)
    world.activity = BUSY
    world.sizes.clear()
    await world.turns(12)
    assert set(world.sizes) == {5}
    world.load = 3
    await world.turns(2)
    assert world.pods == 3


async def test_a_class_that_begins_adds_none_either(make: Make) -> None:
    """The database comes before the calendar; minReplicas are there whatever comes. The clock stands at 01:30."""
    hours = {"days": ["SUN"], "from": "01:40", "to": "03:00", "minReplicas": 4}
    calendar = {"timeZone": "Etc/UTC", "classHours": [hours], "prewarm": "0s"}
    world = await scaling(make, calendar=calendar)
    world.activity = BUSY
    await world.turns(8)
    world.clock.advance(minutes=10)
    await world.turns(3)
    assert world.pods == 2
    world.edit(minReplicas=3)
    await world.turns(2)
    assert world.pods == 3
    world.activity = CALM
    await world.until(lambda: world.pods == 4)


async def test_a_warning_holds_nothing(make: Make) -> None:
    world = await scaling(make, databaseBound={"action": "Warn"})
    world.load, world.activity = 2, BUSY
    await world.turns(8)
    world.load = 5
    await world.turns(2)
    assert (world.pods, world.said("DatabaseBound")) == (5, "True SessionsWait")
    assert "more pods would make it worse" in world.told("DatabaseBound")
    world.edit(databaseBound={"action": "Off"})
    await world.turns(2)
    assert world.said("DatabaseBound") == "Unknown Off"


async def test_a_database_that_is_away_is_told_and_changes_nothing(make: Make) -> None:
    world = await scaling(make)
    world.activity = BUSY
    await world.turns(8)
    world.away, world.load = Waiting("ConnectionRefused", "nothing listens at db:5432"), 5
    await world.turns(3)
    assert (world.pods, world.said("DatabaseBound")) == (2, "True Recovering")
    assert "nothing listens" in world.told("DatabaseBound")


async def test_a_server_without_a_connection_for_its_admin_is_the_limit(make: Make) -> None:
    world = await scaling(make)
    world.away = Waiting("TooManyConnections", "db:5432 has no connection left")
    await world.turns(8)
    assert world.said("DatabaseBound") == "True TooManyConnections"
    world.away, world.load = None, 5
    await world.turns(2)
    assert world.pods == 2


async def test_the_cpu_is_asked_of_prometheus(make: Make, server: Prometheus) -> None:
    wanted = {"prometheus": PROMETHEUS, "databaseBound": {"cpuQuery": "avg(rds_cpuutilization_average) / 100"}}
    world = await scaling(make, **wanted)
    server.value = 0.95
    await world.turns(8)
    assert world.said("DatabaseBound") == "True DatabaseCpuBusy"
    assert server.asked[-1][1] == "avg(rds_cpuutilization_average) / 100"
    server.fails = Waiting("QueryEmpty", "the query gives nothing")
    await world.turns(2)
    assert "databaseBound.cpuQuery: the query gives nothing" in world.told("DatabaseBound")


async def test_a_database_with_room_costs_no_write(make: Make) -> None:
    world = await scaling(make)
    await world.turns(2)
    for active in (1, 9, 3):
        world.activity = Activity(sessions=40, active=active, computing=active, slots=97)
        assert await world.visit() == []
