"""When a rotation begins: by its clock or when somebody asks, and inside the maintenance windows of its AadaLms."""

from __future__ import annotations

from typing import Any

import pytest

from aada_operator.api.windows import MaintenanceWindow
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.rotations.timing import Timing
from tests.unit.rotations.samples import at, spec

SUNDAY = {"schedule": "0 3 * * SUN", "duration": "2h"}
DENIED = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "24h"}
MADE, LAST = at("2026-01-01T00:00:00Z"), at("2026-02-01T04:00:30Z")
# The first of March 2026 is a Sunday, so Monday the second is between two windows.
MONDAYS: dict[str, Any] = {"schedule": "0 4 * * MON"}


def timing(now: str, *windows: dict[str, Any], asked: str = "", **patch: Any) -> Timing:
    given = [MaintenanceWindow.model_validate(one) for one in windows]
    return Timing(spec(**patch), given, LAST, MADE, asked, at(now))


class TestNext:
    def test_is_when_it_is_due_where_there_are_no_windows(self) -> None:
        assert timing("2026-02-01T12:00:00Z", **MONDAYS).begins() == at("2026-02-02T04:00:00Z")

    def test_is_moved_to_the_opening_after_it_is_due(self) -> None:
        assert timing("2026-02-01T12:00:00Z", SUNDAY, **MONDAYS).begins() == at("2026-02-08T03:00:00Z")

    def test_is_when_it_is_due_if_that_is_inside_a_window(self) -> None:
        found = timing("2026-02-01T04:10:00Z", SUNDAY, schedule="30 4 * * SUN").begins()
        assert found == at("2026-02-01T04:30:00Z")

    def test_is_not_moved_by_who_does_not_ask_for_windows(self) -> None:
        found = timing("2026-02-01T12:00:00Z", SUNDAY, windowsFrom="none", **MONDAYS).begins()
        assert found == at("2026-02-02T04:00:00Z")

    def test_stays_while_its_window_is_open_so_that_a_delay_is_seen(self) -> None:
        assert timing("2026-02-08T04:30:00Z", SUNDAY, **MONDAYS).begins() == at("2026-02-08T03:00:00Z")

    def test_is_the_next_opening_once_a_window_was_missed(self) -> None:
        assert timing("2026-02-08T05:00:00Z", SUNDAY, **MONDAYS).begins() == at("2026-02-15T03:00:00Z")

    def test_is_overdue_in_a_later_window_that_is_open(self) -> None:
        assert timing("2026-02-15T03:30:00Z", SUNDAY, **MONDAYS).begins() == at("2026-02-08T03:00:00Z")

    def test_of_a_credential_that_was_too_old_when_declared_is_the_first_opening_since_then(self) -> None:
        found = Timing(spec(maxAge="30d"), timing("2026-01-01T00:00:00Z", SUNDAY).windows, at("2020-01-01T00:00:00Z"),
                       MADE, "", at("2026-01-04T03:30:00Z"))  # fmt: skip
        assert found.begins() == at("2026-01-04T03:00:00Z")

    def test_is_never_where_everything_is_denied_or_nothing_wanted(self) -> None:
        assert timing("2026-02-01T12:00:00Z", DENIED, **MONDAYS).begins() is None
        assert timing("2026-02-01T12:00:00Z", SUNDAY).begins() is None


class TestBegin:
    def test_what_the_clock_demands_waits_for_a_window(self) -> None:
        closed, opened = (timing(f"2026-02-08T0{hour}:00:00Z", SUNDAY, **MONDAYS) for hour in (2, 3))
        assert closed.is_wanted()
        assert (closed.is_allowed(), opened.is_allowed()) == (False, True)
        assert closed.opens() == at("2026-02-08T03:00:00Z")

    def test_what_somebody_asks_for_does_not(self) -> None:
        asked = timing("2026-02-04T10:00:00Z", SUNDAY, asked="2026-02-04T10:00:00Z")
        assert (asked.is_wanted(), asked.is_allowed()) == (True, True)

    @pytest.mark.parametrize("asked", ["2026-02-01T04:00:00Z", "2026-02-05T00:00:00Z"])
    def test_who_asked_earlier_or_for_later_does_not_open_a_window_now(self, asked: str) -> None:
        assert not timing("2026-02-04T10:00:00Z", SUNDAY, asked=asked, **MONDAYS).is_allowed()

    def test_without_windows_everything_may(self) -> None:
        assert timing("2026-02-04T10:00:00Z", **MONDAYS).is_allowed()
        assert timing("2026-02-04T10:00:00Z", SUNDAY, windowsFrom="none", **MONDAYS).is_allowed()


class TestOwners:
    """They are changed under locks, so in a window also when somebody asks."""

    ASKED = "2026-02-04T10:00:00Z"

    def test_wait_for_the_window_that_is_named(self) -> None:
        with pytest.raises(Waiting) as told:
            timing(self.ASKED, SUNDAY, asked=self.ASKED).demand_open("owners are changed in a window only")
        assert told.value.reason == "WaitsForWindow"
        assert told.value.message == "owners are changed in a window only: waits for the one at 2026-02-08T03:00:00Z"
        assert told.value.retry_after <= 60

    @pytest.mark.parametrize(
        ("now", "windows", "patch"),
        [
            ("2026-02-08T03:00:00Z", [SUNDAY], {}),
            (ASKED, [], {}),
            (ASKED, [SUNDAY], {"windowsFrom": "none"}),
            (ASKED, [{"kind": "Deny"} | SUNDAY], {}),
        ],
    )
    def test_may_be_changed_while_one_is_open_or_none_is_declared(
        self, now: str, windows: list[dict[str, Any]], patch: dict[str, Any]
    ) -> None:
        found = timing(now, *windows, asked=self.ASKED, **patch)
        found.demand_open("owners")
        assert found.is_open()

    def test_are_never_changed_where_windows_never_open(self) -> None:
        with pytest.raises(Stalled) as told:
            timing(self.ASKED, SUNDAY, DENIED, asked=self.ASKED).demand_open("owners")
        assert told.value.reason == "NoMaintenanceWindow"


class TestInPlace:
    """Logins fail meanwhile, so it never begins outside a window."""

    def test_also_what_somebody_asks_for_waits(self) -> None:
        now = {"asked": "2026-02-04T10:00:00Z", "strategy": "InPlace"}
        assert not timing("2026-02-04T10:00:00Z", SUNDAY, **now).is_allowed()
        assert timing("2026-02-08T03:00:00Z", SUNDAY, **now).is_allowed()

    @pytest.mark.parametrize("windows", [(), ({"kind": "Deny"} | SUNDAY,)])
    def test_without_an_allow_it_is_refused_with_the_fix(self, windows: tuple[dict[str, Any], ...]) -> None:
        refused = timing("2026-02-04T10:00:00Z", *windows, strategy="InPlace", **MONDAYS)
        assert not refused.is_allowed()
        with pytest.raises(Stalled) as told:
            refused.demand_window()
        assert told.value.reason == "NoMaintenanceWindow"
        assert told.value.message.startswith("strategy: ")
        assert "kind Allow to spec.maintenanceWindows" in told.value.message


class TestDemand:
    @pytest.mark.parametrize("patch", [MONDAYS, {"maxAge": "30d"}, {"strategy": "InPlace"}])
    def test_windows_that_never_open_are_told(self, patch: dict[str, Any]) -> None:
        with pytest.raises(Stalled) as told:
            timing("2026-02-04T10:00:00Z", SUNDAY, DENIED, **patch).demand_window()
        assert told.value.reason == "NoMaintenanceWindow"
        assert "none opens within a year" in told.value.message

    @pytest.mark.parametrize("patch", [{}, MONDAYS | {"windowsFrom": "none"}])
    def test_who_needs_none_is_not_told(self, patch: dict[str, Any]) -> None:
        timing("2026-02-04T10:00:00Z", DENIED, **patch).demand_window()

    def test_windows_that_open_some_time_are_fine(self) -> None:
        timing("2026-02-04T10:00:00Z", SUNDAY, **MONDAYS).demand_window()
