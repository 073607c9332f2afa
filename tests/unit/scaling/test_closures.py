"""A policy with a calendar file: it closes the school, it can be replaced, and a broken one stops nothing else.

The clock of these tests stands at 01:30 on Sunday, 1 March 2026, in the time zone of the school.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from aada_operator.api.calendar import Calendar
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import CONFIG_MAPS, ApiResource, Object
from aada_operator.scaling import closures
from aada_operator.scaling.closures import expand
from aada_operator.scaling.ical import BadCalendar
from aada_operator.scaling.wall import Interval
from tests.unit.backups.api_server import NAMESPACE
from tests.unit.scaling.calendars import event, ics
from tests.unit.scaling.world import World

Make = Callable[..., World]
SUNDAYS = {"days": ["SUN"], "from": "00:00", "to": "12:00", "minReplicas": 4}
FILE = {"name": "holidays", "key": "school.ics"}
CALENDAR = {"classHours": [SUNDAYS], "holidays": {"configMapRef": FILE}}
TODAY = event("DTSTART;VALUE=DATE:20260301")
TOMORROW = event("DTSTART;VALUE=DATE:20260302")


def write(world: World, text: str | None, key: str = FILE["key"]) -> None:
    """The ConfigMap, made or replaced; without a text it is gone."""
    if FILE["name"] in world.server.names(CONFIG_MAPS):
        world.server.remove(CONFIG_MAPS, FILE["name"])
    if text is not None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": FILE["name"], "namespace": NAMESPACE}}
        world.server.add(CONFIG_MAPS, body | {"data": {key: text}})


async def school(make: Make, text: str | None, **calendar: Any) -> World:
    world = make(calendar=CALENDAR | calendar)
    write(world, text)
    world.create()
    await world.until(lambda: bool(world.bounds))
    await world.turns(2)
    return world


async def test_a_day_of_the_file_is_one_without_class_hours(make: Make) -> None:
    world = await school(make, ics(TODAY))
    assert (world.bounds, world.said("CalendarAvailable")) == ((2, 5), "True Complete")


async def test_other_days_have_them(make: Make) -> None:
    world = await school(make, ics(TOMORROW))
    assert (world.bounds, world.said("CalendarAvailable")) == ((4, 5), "True Complete")


async def test_the_pods_are_there_before_the_part_of_a_day_that_is_left(make: Make) -> None:
    world = await school(make, ics(event("DTSTART:20260301T000000Z", "DTEND:20260301T020000Z")))
    assert world.bounds == (2, 5)
    assert world.status["nextTransition"]["time"] == "2026-03-01T01:45:00Z"
    world.clock.advance(minutes=15)
    await world.turns(2)
    assert world.bounds == (4, 5)


async def test_a_file_that_is_replaced_counts_from_the_next_look(make: Make) -> None:
    world = await school(make, ics(TOMORROW))
    write(world, ics(TODAY))
    await world.turns(1)
    assert world.bounds == (2, 5)
    write(world, ics(TOMORROW))
    await world.turns(1)
    assert world.bounds == (4, 5)


@pytest.mark.parametrize(
    ("text", "key", "reason", "said"),
    [
        (None, "", "ConfigMapMissing", "ConfigMap holidays does not exist: create it"),
        (ics(), "other.ics", "KeyMissing", "ConfigMap holidays has no text under school.ics: add it"),
        ("no calendar", FILE["key"], "CalendarInvalid", "school.ics of ConfigMap holidays: the file is no iCalendar"),
        ("x" * 300_000, FILE["key"], "CalendarTooLarge", "larger than 256 KiB"),
    ],
)
async def test_without_a_good_file_load_and_the_rest_of_the_calendar_count_and_it_is_told(
    make: Make, text: str | None, key: str, reason: str, said: str
) -> None:
    world = await school(make, ics(TODAY))
    write(world, text, key)
    await world.turns(2)
    assert (world.bounds, world.said(), world.said("CalendarAvailable")) == (
        (4, 5), "True Scaling", f"False {reason}",
    )  # fmt: skip
    assert said in world.told("CalendarAvailable")
    assert "until then load and the rest of the calendar count" in world.told("CalendarAvailable")
    world.load = 5
    await world.turns(2)
    assert world.pods == 5
    write(world, ics(TODAY))
    await world.turns(1)
    assert (world.bounds, world.said("CalendarAvailable")) == ((2, 5), "True Complete")


async def test_an_operator_that_may_not_read_the_file_goes_on_and_says_so(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await school(make, ics(TODAY))
    read = world.server.get

    async def refused(resource: ApiResource, namespace: str, name: str) -> Object | None:
        if resource == CONFIG_MAPS:
            raise Waiting("Forbidden", "not allowed to GET it: check RBAC", 30.0)
        return await read(resource, namespace, name)

    monkeypatch.setattr(world.server, "get", refused)
    await world.turns(1)
    assert (world.bounds, world.said(), world.said("CalendarAvailable")) == ((4, 5), "True Scaling", "False Forbidden")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """How often files were read."""
    found: list[bytes] = []

    async def counted(request: bytes) -> tuple[Interval, ...]:
        found.append(request)
        return await expand(request)

    monkeypatch.setattr(closures, "expand", counted)
    return found


async def test_a_file_is_read_once_a_day_and_costs_no_write(make: Make, reads: list[bytes]) -> None:
    world = await school(make, ics(TOMORROW))
    await world.turns(3)
    assert (len(reads), await world.visit()) == (1, [])
    world.clock.advance(hours=23)
    await world.turns(3)
    assert len(reads) == 2


async def test_schools_in_two_time_zones_can_have_one_file(make: Make, reads: list[bytes]) -> None:
    world = await school(make, ics(TODAY))
    reader = closures.ClosureReader(world.server)  # type: ignore[arg-type]
    calendars = [Calendar.model_validate(CALENDAR | {"timeZone": zone}) for zone in ("Etc/UTC", "Asia/Tokyo")]
    for _ in range(2):
        found = [await reader.look(NAMESPACE, calendar, world.clock.now()) for calendar in calendars]
    assert [str(one.times[0][0]) for one in found] == ["2026-03-01 00:00:00+00:00", "2026-02-28 15:00:00+00:00"]
    assert len(reads) == 1 + 2, "each once"


async def test_a_pause_has_nothing_to_say_of_the_file(make: Make) -> None:
    world = await school(make, None)
    world.edit(suspend=True)
    await world.turns(1)
    assert world.said("CalendarAvailable") == "Unknown Suspended"


HOSTILE = {
    "by the second": ["DTSTART:20260301T000000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY"],
    "by the second since long ago": ["DTSTART:19000301T000000Z", "RRULE:FREQ=SECONDLY"],
    "on a day that never comes": ["DTSTART;VALUE=DATE:20260301", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"],
    "again and again at once": ["DTSTART:20260301T000000Z", "RRULE:FREQ=DAILY;INTERVAL=0"],
}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_file_gets_bounded_time_once_and_is_told(
    make: Make, lines: list[str], reads: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closures, "CPU_SECONDS", 2)
    world = await school(make, ics(event(*lines)))
    assert (world.bounds, world.said("CalendarAvailable")) == ((4, 5), "False CalendarTooCostly")
    assert "repeat them by day" in world.told("CalendarAvailable")
    assert len(reads) == 1


async def test_a_hostile_file_gets_bounded_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closures, "MEMORY", 48 * 2**20)
    lines = "DTSTART:20260301T000000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY"
    world = await school(make, ics(event(*lines)))
    assert (world.bounds, world.said("CalendarAvailable")) == ((4, 5), "False CalendarTooCostly")


async def test_one_who_reads_has_no_secret_of_the_operator_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("AADA_TOKEN", "secret")
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nenv > " + str(tmp_path / "seen") + "\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(BadCalendar):
        await expand(b"{}")
    assert "secret" not in (tmp_path / "seen").read_text()


async def test_a_machine_that_is_too_busy_says_so_and_the_file_is_read_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closures, "PATIENCE", 0.0)
    world = await school(make, ics(TODAY))
    assert world.said("CalendarAvailable") == "False CalendarTooCostly"
    assert "short of CPU" in world.told("CalendarAvailable")
    monkeypatch.undo()
    world = await school(make, ics(TODAY))
    assert world.said("CalendarAvailable") == "True Complete"
