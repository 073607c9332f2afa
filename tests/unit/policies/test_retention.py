"""Which backups stay: a plain model against random lives, and what a person expects of each rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aada_operator.api.common import seconds
from aada_operator.api.retention import Retention
from aada_operator.policies import retention
from aada_operator.policies.world import KnownBackup
from tests.unit.policies.samples import at, known, spec

START = datetime(2024, 12, 20, tzinfo=UTC)
ZONES = ("Etc/UTC", "Europe/Berlin", "America/New_York")
MODEL: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda t: t.strftime("%Y-%m-%d %H %z"),
    "daily": lambda t: t.strftime("%Y-%m-%d"),
    "weekly": lambda t: t.strftime("%G-%V"),
    "monthly": lambda t: t.strftime("%Y-%m"),
    "yearly": lambda t: t.strftime("%Y"),
}


def nightly(days: int, first: str = "2026-01-01", **patch: Any) -> list[KnownBackup]:
    """One completed backup a night, named after its day."""
    begin = datetime.fromisoformat(first).replace(hour=2, tzinfo=UTC)
    moments = [begin + timedelta(days=day) for day in range(days)]
    return [known(f"{moment:%m-%d}", "Completed", moment, **patch) for moment in moments]


def left(rule: dict[str, Any], backups: list[KnownBackup], in_use: tuple[str, ...] = (), **later: float) -> list[str]:
    """Names of those that stay, oldest first, a moment (or ``later``) after the newest."""
    now = max(backup.recovery_point for backup in backups) + timedelta(minutes=1, **later)
    gone = retention.expired(Retention.model_validate(rule), "Etc/UTC", backups, in_use, now)
    return [backup.name for backup in backups if backup not in gone]


class TestRules:
    def test_daily_keeps_so_many_days(self) -> None:
        assert left({"daily": 4, "minCount": 1}, nightly(10)) == ["01-07", "01-08", "01-09", "01-10"]

    def test_the_newest_of_a_period_stands_for_it(self) -> None:
        assert left({"monthly": 2, "minCount": 1}, nightly(50)) == ["01-31", "02-19"]

    def test_rules_add_up(self) -> None:
        assert left({"daily": 2, "weekly": 2, "minCount": 1}, nightly(20)) == ["01-18", "01-19", "01-20"]

    def test_days_without_a_backup_do_not_count(self) -> None:
        gaps = [backup for backup in nightly(20) if backup.name in ("01-02", "01-09", "01-20")]
        assert left({"daily": 3, "minCount": 1}, gaps) == ["01-02", "01-09", "01-20"]

    def test_max_age_is_told_by_the_newest_backup_and_not_by_the_clock(self) -> None:
        assert left({"maxAge": "2d", "minCount": 1}, nightly(10), days=400) == ["01-08", "01-09", "01-10"]

    def test_min_count_stays_however_old(self) -> None:
        old, new = nightly(3), nightly(1, "2026-06-01")
        assert left({"maxAge": "1d", "minCount": 3}, [*old, *new]) == ["01-02", "01-03", "06-01"]

    def test_the_last_verified_one_stays(self) -> None:
        proved = nightly(1, verified="True")
        assert left({"daily": 1, "minCount": 1}, [*proved, *nightly(5, "2026-02-01")]) == ["01-01", "02-05"]

    def test_a_bad_one_stands_for_nothing(self) -> None:
        bad = nightly(1, "2026-01-03", verified="False")
        assert left({"daily": 2, "minCount": 1}, [*nightly(2), *bad]) == ["01-01", "01-02"]

    def test_of_bad_ones_alone_all_stay(self) -> None:
        assert len(left({"daily": 1, "minCount": 1}, nightly(4, verified="False"))) == 4

    def test_ones_of_a_suspicious_size_stay_and_take_nobodys_place(self) -> None:
        small = nightly(4, "2026-01-11", suspicious="True")
        wanted = ["01-08", "01-09", "01-10", "01-12", "01-13", "01-14"]
        assert left({"daily": 3, "minCount": 1}, [*nightly(10), *small]) == wanted
        young = ["01-08", "01-09", "01-10", "01-11", "01-12", "01-13", "01-14"]
        assert left({"maxAge": "1d", "minCount": 3}, [*nightly(10), *small]) == young

    def test_the_last_verified_one_of_an_unsuspicious_size_stays(self) -> None:
        proved, small = nightly(1, verified="True"), nightly(3, "2026-03-01", verified="True", suspicious="True")
        lives = [*proved, *nightly(2, "2026-02-01"), *small]
        assert left({"daily": 1, "minCount": 1}, lives) == ["01-01", "02-02", "03-03"]

    def test_of_suspicious_ones_alone_the_rule_keeps_as_many_as_of_others(self) -> None:
        assert left({"maxAge": "1d", "minCount": 1}, nightly(4, suspicious="True")) == ["01-03", "01-04"]

    def test_what_a_restore_reads_or_a_verification_loads_stays(self) -> None:
        busy = nightly(1, verification={"result": "Running"})
        backups = [*busy, *nightly(5, "2026-02-01")]
        assert left({"daily": 1, "minCount": 1}, backups, ("02-02",)) == ["01-01", "02-02", "02-05"]

    def test_those_made_by_hand_are_their_makers(self) -> None:
        assert left({"daily": 1, "minCount": 1}, [*nightly(1, by_hand=True), *nightly(2, "2026-02-01")])[0] == "01-01"

    def test_a_day_is_one_of_the_schools_time_zone(self) -> None:
        evenings = [known(name, "Completed", at(text)) for name, text in (("a", "01 03:00"), ("b", "02 03:00"))]
        late = known("c", "Completed", at("02 06:00"))
        rule = Retention.model_validate({"daily": 2, "minCount": 1})
        gone = retention.expired(rule, "America/New_York", [*evenings, late], (), at("03 00:00"))
        assert [b.name for b in gone] == ["a"], "03:00 UTC belongs to the evening before"


names = st.lists(st.integers(0, 400 * 24), unique=True, max_size=40)
counts = st.none() | st.integers(1, 6)


@settings(max_examples=200)
@given(
    names, st.data(), st.fixed_dictionaries(dict.fromkeys(MODEL, counts)), st.integers(1, 4),
    st.sampled_from([None, "1d", "45d"]), st.sampled_from(ZONES),
)  # fmt: skip
def test_as_a_plain_model_says(
    hours: list[int], data: st.DataObject, periods: dict[str, int | None], least: int, age: str | None, zone: str
) -> None:
    rule = Retention(max_age=age or (None if any(periods.values()) else "9d"), min_count=least, **periods)
    backups = [
        known(
            f"b{hour}",
            data.draw(st.sampled_from(["Completed", "Completed", "Completed", "Failed", "Running", "Deleting"])),
            START + timedelta(hours=hour),
            verified=data.draw(st.sampled_from(["Unknown", "Unknown", "True", "False"])),
            suspicious=data.draw(st.sampled_from(["Unknown", "False", "False", "True"])),
            by_hand=data.draw(st.sampled_from([False, False, False, True])),
        )
        for hour in hours
    ]
    in_use = {backup.name for backup in backups if data.draw(st.integers(0, 9)) == 0}
    now = START + timedelta(hours=data.draw(st.integers(0, 500 * 24)))
    gone = retention.expired(rule, zone, backups, in_use, now)
    ours = [b for b in backups if b.completed and b.scheduled_for]
    assert set(map(id, gone)) == {id(b) for b in ours if not _stays(rule, zone, ours, in_use, now, b)}


def _stays(
    rule: Retention, zone: str, ours: list[KnownBackup], in_use: set[str], now: datetime, backup: KnownBackup
) -> bool:
    """The same, asked of one backup in the plainest words: with, and without those of a suspicious size."""
    good = [b for b in ours if b.verified != "False"]
    plausible = [b for b in good if not b.suspicious]
    if not good or backup.name in in_use:
        return True
    return any(_stays_among(rule, zone, counted, now, backup) for counted in (good, plausible) if counted)


def _stays_among(rule: Retention, zone: str, good: list[KnownBackup], now: datetime, backup: KnownBackup) -> bool:
    newest = min(now, max(b.recovery_point for b in good))
    if rule.max_age and newest - backup.recovery_point <= timedelta(seconds=seconds(rule.max_age)):
        return True
    if backup not in good:
        return False
    newer = [b for b in good if b.recovery_point > backup.recovery_point]
    if len(newer) < rule.min_count or (backup.verified == "True" and not any(b.verified == "True" for b in newer)):
        return True
    return any(_stands_for(period, getattr(rule, period), zone, newer, backup) for period in MODEL)


def _stands_for(period: str, count: int | None, zone: str, newer: list[KnownBackup], backup: KnownBackup) -> bool:
    def tell(one: KnownBackup) -> str:
        return MODEL[period](one.recovery_point.astimezone(ZoneInfo(zone)))

    later = {tell(b) for b in newer}
    return bool(count) and tell(backup) not in later and len(later) < (count or 0)


class TestCollection:
    @pytest.mark.parametrize(
        ("status", "rule", "now", "due"),
        [
            ({}, {"daily": 7}, "01 12:00", False),
            ({}, {"daily": 7}, "02 00:30", True),
            ({}, {"daily": 7, "mode": "Observe"}, "02 00:30", False),
            ({"retention": {"deleted": 1}}, {"daily": 7}, "01 12:00", True),
            ({"retention": {"deleted": 1}, "collection": {"startedAt": "01 11:30"}}, {"daily": 7}, "01 12:00", False),
            ({"retention": {"deleted": 1}, "collection": {"startedAt": "01 10:30"}}, {"daily": 7}, "01 12:00", True),
            (
                {"retention": {"deleted": 1}, "collection": {"startedAt": "01 10:30", "deletedBackups": 1}},
                {"daily": 7}, "01 12:00", False,
            ),
            (
                {"retention": {"deleted": 1}, "collection": {"startedAt": "01 10:30", "deletedBackups": 1}},
                {"daily": 7}, "02 10:30", True,
            ),
        ],
    )  # fmt: skip
    def test_when_it_is_due(self, status: dict[str, Any], rule: dict[str, Any], now: str, due: bool) -> None:
        if "collection" in status:
            began = at(status["collection"]["startedAt"]).isoformat().replace("+00:00", "Z")
            status = status | {"collection": status["collection"] | {"startedAt": began}}
        created = at("01 00:30")
        policy = spec(retention=rule)
        assert retention.collection_due(policy, status, created, at(now)) is due
        wake = retention.next_collection(policy, status, created, at(now))
        assert wake is None or wake > at(now)
        assert due or wake is not None or rule.get("mode") == "Observe", "otherwise nobody would look again"

    def test_never_without_a_rule(self) -> None:
        assert not retention.collection_due(spec(), {"retention": {"deleted": 9}}, at("01 00:00"), at("09 00:00"))
