"""Which slots are due, which Backups go and what is verified: tables, and plain models against random lives."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aada_operator.core.clock import to_rfc3339
from aada_operator.policies import decide
from aada_operator.policies.decide import DueSlot
from aada_operator.policies.manifests import backup_name
from aada_operator.policies.world import KnownBackup
from tests.unit.policies.samples import at, known, spec

CREATED = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)


class TestDueSlot:
    @pytest.mark.parametrize(
        ("last", "point", "now", "patch", "due"),
        [
            (None, None, "01 01:59", {}, None),
            (None, None, "01 02:00", {}, ("01 02:00", True, 0)),
            ("01 02:00", "01 02:01", "01 02:00", {}, None),
            ("01 02:00", "01 02:01", "02 02:59", {}, ("02 02:00", True, 0)),
            # Late by more than startingDeadline: only when waiting is no choice.
            ("01 02:00", "01 02:01", "02 03:01", {}, ("02 02:00", False, 1)),
            ("01 02:00", None, "02 03:01", {}, ("02 02:00", True, 0)),
            ("01 02:00", "01 02:01", "02 03:01", {"objectives": {"rpo": "24h"}}, ("02 02:00", True, 0)),
            ("01 02:00", "02 01:00", "02 03:01", {"objectives": {"rpo": "26h"}}, ("02 02:00", False, 1)),
            # It would be broken before the next slot: not waited for until it is.
            ("01 02:00", "01 02:01", "02 03:01", {"objectives": {"rpo": "30h"}}, ("02 02:00", True, 0)),
            # Of several slots the newest is caught up and the older ones are counted.
            ("01 02:00", "01 02:01", "05 02:10", {}, ("05 02:00", True, 3)),
            ("01 02:00", "01 02:01", "05 12:00", {}, ("05 02:00", False, 4)),
            # The first backup at once, whatever the schedule says; afterwards the schedule.
            (None, None, "01 00:31", {"immediate": True}, ("01 00:30", True, 0)),
            (None, None, "09 00:00", {"immediate": True}, ("01 00:30", True, 0)),
            ("01 00:30", None, "01 01:59", {"immediate": True}, None),
            (None, None, "09 00:00", {"immediate": True, "full": None}, None),
            # The clock went back behind the last slot.
            ("05 02:00", "05 02:01", "03 02:30", {}, None),
        ],
    )
    def test_table(self, last: str | None, point: str | None, now: str, patch: dict[str, Any], due: Any) -> None:
        dealt_with, newest = (at(moment) if moment else None for moment in (last, point))
        found = decide.due_slot(spec(**patch), CREATED, dealt_with, newest, at(now))
        assert found == (DueSlot(at(due[0]), *due[1:]) if due else None)

    @pytest.mark.parametrize(
        ("last", "now", "due"),
        [
            ("01 02:00", "01 06:00", ("01 06:00", 0, "Incremental")),
            # At the same instant full wins, also when it was missed and an incremental one came after it.
            ("01 22:00", "02 02:00", ("02 02:00", 0, "Full")),
            ("01 22:00", "02 06:10", ("02 06:00", 1, "Full")),
            ("02 02:00", "02 14:10", ("02 14:00", 2, "Incremental")),
        ],
    )
    def test_with_an_incremental_schedule(self, last: str, now: str, due: tuple[str, int, str]) -> None:
        both = spec(full={"schedule": "0 2 * * *"}, incremental={"schedule": "0 2,6,10,14,18,22 * * *"})
        found = decide.due_slot(both, CREATED, at(last), at(last), at(now))
        assert found is not None
        assert (found.slot, found.missed, found.type) == (at(due[0]), *due[1:])

    @pytest.mark.parametrize(("day", "utc"), [("2026-03-29", ["01:00"]), ("2026-10-25", ["00:30"])])
    def test_a_change_of_daylight_saving_makes_one_backup_of_a_daily_slot(self, day: str, utc: list[str]) -> None:
        """02:30 does not exist on one of these days and exists twice on the other."""
        berlin = spec(full={"schedule": "30 2 * * *"}, timeZone="Europe/Berlin")
        midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
        last, slots = midnight, []
        for minute in range(0, 24 * 60, 5):
            due = decide.due_slot(berlin, midnight, last, midnight, midnight + timedelta(minutes=minute))
            if due:
                slots.append(due.slot.strftime("%H:%M"))
                last = due.slot
        assert slots == utc


class TestLastSlot:
    @pytest.mark.parametrize(
        ("recorded", "slots", "now", "last"),
        [
            (None, [], "03 00:00", None),
            ("02 02:00", [], "03 00:00", "02 02:00"),
            (None, ["01 02:00", "02 02:00"], "03 00:00", "02 02:00"),
            # The Backup was made, the status was not written any more.
            ("01 02:00", ["02 02:00"], "03 00:00", "02 02:00"),
            # The clock was ahead: what it did then does not silence the schedule.
            ("20 02:00", ["02 02:00", "20 02:00"], "03 00:00", "02 02:00"),
            ("20 02:00", [], "03 00:00", "03 00:00"),
        ],
    )
    def test_table(self, recorded: str | None, slots: list[str], now: str, last: str | None) -> None:
        backups = [known(slot, "Completed", at(slot)) for slot in slots]
        text = to_rfc3339(at(recorded)) if recorded else None
        assert decide.last_slot(text, backups, at(now)) == (at(last) if last else None)


class Life:
    """A policy's schedule over time: the Backups that it made, by name, and what it counted."""

    def __init__(self, hours: int, often: int | None, deadline: str, rpo: str | None) -> None:
        self.hours, self.often = hours, often
        objectives = {"rpo": rpo} if rpo else {}
        incremental = {"schedule": f"0 */{often} * * *"} if often else None
        schedules = {"full": {"schedule": f"0 */{hours} * * *"}, "incremental": incremental}
        self.spec = spec(**schedules, startingDeadline=deadline, objectives=objectives)
        self.now = CREATED
        self.recorded: str | None = None
        self.made: list[datetime] = []
        self.backups: list[KnownBackup] = []
        self.missed = 0

    def visit(self) -> None:
        """What a reconcile does with its decisions; a backup takes no time here."""
        last = decide.last_slot(self.recorded, self.backups, self.now)
        self.recorded = to_rfc3339(last) if last else None
        point = max((backup.recovery_point for backup in self.backups), default=None)
        due = decide.due_slot(self.spec, CREATED, last, point, self.now)
        if due is None:
            return
        if due.start and not decide.is_taken(due.slot, self.backups):
            self.made.append(due.slot)
            name = backup_name("p", due.slot, due.type)
            self.backups.append(known(name, "Completed", due.slot, recoverableFrom=to_rfc3339(self.now)))
        self.recorded = to_rfc3339(due.slot)
        self.missed += due.missed

    def slots_of_a_day(self) -> int:
        return len({hour for hour in range(24) if hour % self.hours == 0 or (self.often and hour % self.often == 0)})

    def slots_passed(self) -> int:
        """The plain model: every multiple of ``hours`` or ``often`` since midnight of each day, in (created, now]."""
        hour, count = CREATED.replace(minute=0), 0
        while (hour := hour + timedelta(hours=1)) <= self.now:
            count += hour.hour % self.hours == 0 or (self.often is not None and hour.hour % self.often == 0)
        return count


gaps = st.lists(st.integers(1, 60 * 40), min_size=1, max_size=25)
lives = st.builds(
    Life,
    st.sampled_from([1, 4, 6, 24]),
    st.sampled_from([None, 1, 4, 5]),
    st.sampled_from(["10m", "1h", "3h"]),
    st.sampled_from([None, "2h", "1d"]),
)


@settings(max_examples=40)
@given(lives, gaps)
def test_every_slot_is_either_backed_up_or_counted_as_missed_never_both(life: Life, minutes: list[int]) -> None:
    for gap in minutes:
        life.now += timedelta(minutes=gap)
        life.visit()
        life.visit()
    assert len(life.made) + life.missed == life.slots_passed()
    assert len(set(life.made)) == len(life.made)


@settings(max_examples=40)
@given(lives, gaps, st.data())
def test_no_slot_twice_although_the_clock_jumps_and_the_status_is_lost(
    life: Life, minutes: list[int], data: st.DataObject
) -> None:
    for gap in minutes:
        life.now += timedelta(minutes=data.draw(st.sampled_from([gap, -gap, 10 * gap])))
        if data.draw(st.booleans()):
            life.recorded = None
        life.visit()
    assert len(set(life.made)) == len(life.made)


@settings(max_examples=40)
@given(lives, st.integers(1, 60 * 24 * 400))
def test_a_clock_that_was_ahead_does_not_silence_the_schedule(life: Life, ahead: int) -> None:
    life.now += timedelta(minutes=ahead)
    life.visit()
    life.now -= timedelta(minutes=ahead)
    life.visit()
    before = len(life.made)
    for _ in range(3 * 24 * 6):
        life.now += timedelta(minutes=10)
        life.visit()
    two_days = {slot for slot in life.made if slot.date() in (date(2026, 3, 2), date(2026, 3, 3))}
    assert len(two_days) == 2 * life.slots_of_a_day(), (before, life.made)


names = st.lists(st.integers(0, 10_000), unique=True, max_size=30)


@settings(max_examples=40)
@given(names, st.data(), st.integers(1, 8), st.integers(0, 5))
def test_history_keeps_the_newest_and_what_is_proved(
    minutes: list[int], data: st.DataObject, successful: int, failed: int
) -> None:
    backups = [
        known(
            f"b{minute}",
            data.draw(st.sampled_from(["Completed", "Completed", "Failed", "Running"])),
            CREATED + timedelta(minutes=minute),
            verified=data.draw(st.sampled_from(["Unknown", "Unknown", "True", "False"])),
            by_hand=data.draw(st.sampled_from([False, False, False, True])),
        )
        for minute in minutes
    ]
    limits = spec(historyLimit={"successful": successful, "failed": failed})
    gone = {b.name for b in decide.beyond_history(backups, limits)}
    left = [b for b in backups if b.name not in gone]

    assert all(b in left for b in backups if b.active or not b.scheduled_for)
    if proved := decide.newest_verified(backups):
        assert proved in left
    for phase, limit in (("Completed", successful), ("Failed", failed)):
        ours = sorted((b for b in backups if b.scheduled_for and b.status.phase == phase), key=lambda b: b.created)
        kept = [b for b in ours if b in left]
        assert ours[len(ours) - min(1, limit, len(ours)) :] == kept[len(kept) - min(1, limit, len(kept)) :]
        assert min(limit, len(ours)) <= len(kept) <= limit + 1
        oldest_kept = min((b.created for b in kept if b is not proved), default=None)
        assert all(oldest_kept is None or b.created < oldest_kept for b in ours if b.name in gone)


def test_history_leaves_a_backup_alone_while_it_is_verified() -> None:
    old = known("old", "Completed", at("01 02:00"), verification={"result": "Running"})
    newer = [known(f"n{day}", "Completed", at(f"0{day} 02:00")) for day in (2, 3)]
    assert decide.beyond_history([old, *newer], spec(historyLimit={"successful": 1})) == [newer[0]]


def test_history_leaves_completed_ones_to_a_retention_rule() -> None:
    backups = [known(f"n{day}", "Completed", at(f"0{day} 02:00")) for day in (1, 2, 3)]
    failed = [known(f"f{day}", "Failed", at(f"0{day} 02:00")) for day in (1, 2)]
    rule = spec(historyLimit={"successful": 1, "failed": 1}, retention={"daily": 7})
    assert decide.beyond_history([*backups, *failed], rule) == [failed[0]]


class TestVerificationSlot:
    @pytest.mark.parametrize(
        ("recorded", "echoed", "now", "slot"),
        [
            (None, None, "01 04:59", None),
            (None, None, "01 05:00", "01 05:00"),
            ("01 05:00", None, "01 12:00", None),
            ("01 05:00", None, "04 12:00", "04 05:00"),
            (None, "01 05:00", "01 12:00", None),  # the policy's status was lost
            ("20 05:00", None, "02 12:00", "02 05:00"),  # the clock was ahead
        ],
    )
    def test_table(self, recorded: str | None, echoed: str | None, now: str, slot: str | None) -> None:
        wanted = spec(verification={"schedule": "0 5 * * *"})
        verification = {"request": to_rfc3339(at(echoed))} if echoed else {}
        backups = [known("b", "Completed", at("01 02:00"), verification=verification)]
        text = to_rfc3339(at(recorded)) if recorded else None
        found = decide.verification_slot(wanted, CREATED, text, backups, at(now))
        assert found == (at(slot) if slot else None)

    def test_without_a_schedule_none_is_due(self) -> None:
        assert decide.verification_slot(spec(), CREATED, None, [], at("09 00:00")) is None


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(-5, "<10m"), (0, "<10m"), (9, "<10m"), (10, "10m"), (29, "20m"), (59, "50m"), (60, "1h"), (119, "1h"),
     (47 * 60, "47h"), (48 * 60, "2d"), (60 * 24 * 9 + 1, "9d")],
)  # fmt: skip
def test_the_age_of_the_recovery_point_is_told_in_coarse_steps(minutes: int, text: str) -> None:
    assert decide.rpo_text(timedelta(minutes=minutes)) == text


@pytest.mark.parametrize(
    ("rpo", "point", "now", "met"),
    [
        (None, None, "09 00:00", None),
        ("4h", None, "01 04:00", None),
        ("4h", None, "01 04:31", False),
        ("4h", "01 04:00", "01 08:00", True),
        ("4h", "01 04:00", "01 08:01", False),
    ],
)
def test_whether_the_rpo_is_kept(rpo: str | None, point: str | None, now: str, met: bool | None) -> None:
    wanted = spec(objectives={"rpo": rpo} if rpo else {})
    assert decide.rpo_met(wanted, CREATED, at(point) if point else None, at(now)) is met


def test_it_wakes_at_the_next_slot_the_next_verification_and_the_breach_of_the_rpo() -> None:
    wanted = spec(objectives={"rpo": "4h"}, verification={"schedule": "0 5 * * *"})
    times = decide.wake_times(wanted, at("01 02:00"), at("01 03:00"))
    assert times == [at("02 02:00"), at("01 05:00"), at("01 06:00") + timedelta(seconds=1)]
