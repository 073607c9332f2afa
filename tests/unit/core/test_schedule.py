"""Schedules: each slot once, in the school's time zone, over both changes of the clocks, missed ones caught up once."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aada_operator.core.schedule import MOST_MISSED, Due, due, next_slot

BERLIN = "Europe/Berlin"
# In Berlin 2026: 02:00 becomes 03:00 on 29 March, 03:00 becomes 02:00 on 25 October.
SPRING = datetime(2026, 3, 29, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def slots(expression: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """All slots in ``(after, until]``, one after the other."""
    found = []
    slot = next_slot([expression], zone, after)
    while slot <= until:
        found.append(slot)
        slot = next_slot([expression], zone, slot)
    return found


class TestNextSlot:
    def test_is_read_in_the_time_zone_and_given_in_utc(self) -> None:
        slot = next_slot(["0 2 * * *"], "America/Chicago", at("2026-01-10T00:00:00Z"))
        assert slot == at("2026-01-10T08:00:00Z")
        assert slot.tzinfo is UTC

    def test_is_later_than_the_moment_itself(self) -> None:
        assert next_slot(["0 2 * * *"], "Etc/UTC", at("2026-01-10T02:00:00Z")) == at("2026-01-11T02:00:00Z")

    def test_inside_the_skipped_hour_runs_right_after_it(self) -> None:
        found = slots("30 2 * * *", BERLIN, SPRING - timedelta(days=1), SPRING + timedelta(days=2))
        assert found == [at("2026-03-28T01:30:00Z"), at("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z")]

    def test_inside_the_repeated_hour_runs_once(self) -> None:
        found = slots("30 2 * * *", BERLIN, AUTUMN - timedelta(hours=12), AUTUMN + timedelta(days=2))
        assert found == [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]

    def test_of_the_first_pass_does_not_come_again_in_the_second_pass(self) -> None:
        assert next_slot(["45 2 * * *"], BERLIN, at("2026-10-25T01:10:00Z")) == at("2026-10-26T01:45:00Z")

    def test_of_every_quarter_of_an_hour_goes_on_through_the_repeated_hour(self) -> None:
        found = slots("*/15 * * * *", BERLIN, at("2026-10-25T00:00:00Z"), at("2026-10-25T02:00:00Z"))
        assert found == [at("2026-10-25T00:00:00Z") + timedelta(minutes=15 * n) for n in range(1, 9)]


class TestDue:
    def test_is_nothing_before_the_slot(self) -> None:
        assert due(["0 2 * * *"], "Etc/UTC", at("2026-01-10T02:00:00Z"), at("2026-01-11T01:59:59Z")) is None

    def test_is_nothing_in_the_last_half_second_before_the_slot(self) -> None:
        assert due(["0 2 * * *"], "Etc/UTC", at("2026-01-10T02:00:00Z"), at("2026-01-11T01:59:59.500Z")) is None

    def test_is_the_slot_from_its_first_moment_on(self) -> None:
        slot = at("2026-01-11T02:00:00Z")
        assert due(["0 2 * * *"], "Etc/UTC", at("2026-01-10T02:00:00Z"), slot) == Due(slot, missed=0)

    def test_is_one_run_after_a_long_sleep_and_the_rest_is_counted(self) -> None:
        found = due(["0 2 * * *"], "Etc/UTC", at("2026-01-01T02:00:00Z"), at("2026-01-11T12:00:00Z"))
        assert found == Due(at("2026-01-11T02:00:00Z"), missed=9)

    def test_counts_in_bounded_time_however_long_the_sleep(self) -> None:
        found = due(["* * * * *"], "Etc/UTC", at("2016-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"))
        assert found == Due(at("2026-01-01T00:00:00Z"), missed=MOST_MISSED)

    def test_sees_a_slot_of_the_first_pass_during_the_second_pass_of_the_repeated_hour(self) -> None:
        """02:45 passed at 00:45 UTC; at 01:10 UTC the wall clock shows 02:10 again."""
        found = due(["45 2 * * *"], BERLIN, at("2026-10-24T12:00:00Z"), at("2026-10-25T01:10:00Z"))
        assert found == Due(at("2026-10-25T00:45:00Z"), missed=0)

    @pytest.mark.parametrize("moment", ["2026-10-25T01:45:00Z", "2026-10-25T12:00:00Z"])
    def test_does_not_come_twice_in_the_repeated_hour(self, moment: str) -> None:
        assert due(["45 2 * * *"], BERLIN, at("2026-10-25T00:45:00Z"), at(moment)) is None


def walked(expression: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """The slots in ``(after, until]`` by walking over minutes: slow, and easy to believe.

    As Debian's cron: with a wildcard in minute or hour, each real minute whose wall clock matches; otherwise each
    matching wall clock minute once, at its first passing, and a skipped one at the end of the gap.
    """
    minute_field, hour_field, *_ = expression.split()
    start = after.replace(second=0, microsecond=0) - timedelta(days=1)
    steps = [start + timedelta(minutes=n) for n in range(int((until - start) / timedelta(minutes=1)) + 1)]
    local = ZoneInfo(zone)
    if minute_field.startswith("*") or hour_field.startswith("*"):
        found = {step for step in steps if matches(expression, step.astimezone(local))}
    else:
        walls = (step.replace(tzinfo=None) for step in steps)
        found = {real(wall, local) for wall in walls if matches(expression, wall)}
        # Wall clock and UTC differ by up to 14 hours: look a day further than the walk went.
        later = (steps[-1].replace(tzinfo=None) + timedelta(minutes=n) for n in range(1, 1440))
        found |= {real(wall, local) for wall in later if matches(expression, wall)}
    return sorted(slot for slot in found if after < slot <= until)


def real(wall: datetime, zone: ZoneInfo) -> datetime:
    moment = wall.replace(tzinfo=zone)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
        moment += timedelta(minutes=1)
    return moment.astimezone(UTC)


def matches(expression: str, wall: datetime) -> bool:
    minute, hour, _, _, weekday = expression.split()
    return all(_field(*pair) for pair in ((minute, wall.minute), (hour, wall.hour), (weekday, wall.isoweekday() % 7)))


def _field(text: str, value: int) -> bool:
    if text.startswith("*"):
        return value % int(text[2:] or "1") == 0
    return value in {int(part) for part in text.split(",")}


def numbers(limit: int) -> st.SearchStrategy[str]:
    return st.lists(st.integers(0, limit), min_size=1, max_size=3, unique=True).map(lambda n: ",".join(map(str, n)))


minutes = st.one_of(numbers(59), st.sampled_from(["*/7", "*/15", "*"]))
hours = st.one_of(numbers(3), numbers(23), st.sampled_from(["*", "*/5"]))
weekdays = st.one_of(st.just("*"), numbers(6))
everywhere = st.sampled_from([BERLIN, "America/Chicago", "Asia/Kolkata", "Etc/UTC"])
# Clocks that change at midnight or by half an hour: there cronsim is right about times of day, but around the change
# it gives a slot too many or too few of `*/7 */5`.
odd = st.sampled_from(["Africa/Cairo", "America/Santiago", "Australia/Lord_Howe"])
schedules = st.one_of(
    st.tuples(st.builds("{} {} * * {}".format, minutes, hours, weekdays), everywhere),
    st.tuples(st.builds("{} {} * * {}".format, numbers(59), numbers(23), weekdays), odd),
)
changes = st.sampled_from([
    SPRING, AUTUMN,
    datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC),  # Chicago
    datetime(2026, 4, 23, tzinfo=UTC), datetime(2026, 10, 29, tzinfo=UTC),  # Cairo, at midnight
    datetime(2026, 9, 6, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC),  # Santiago, at midnight
    datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC),  # Lord Howe, by half an hour
    datetime(2026, 6, 15, tzinfo=UTC),
])  # fmt: skip
moments = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds), changes, st.floats(-36 * 3600, 36 * 3600, allow_nan=False)
)


@settings(max_examples=120)
@given(schedules, moments, st.floats(0, 36))
@example(("45 2 * * *", BERLIN), at("2026-10-24T12:00:00Z"), 13.2)
@example(("0,30 2,3 * * *", BERLIN), at("2026-03-29T00:00:00Z"), 4.0)
def test_slots_are_those_of_a_walk_over_all_minutes(schedule: tuple[str, str], after: datetime, hours: float) -> None:
    expression, zone = schedule
    now = after + timedelta(hours=hours)
    expected = walked(expression, zone, after, now)
    assert slots(expression, zone, after, now) == expected
    found = due([expression], zone, after, now)
    assert found == (Due(expected[-1], len(expected) - 1) if expected else None)
