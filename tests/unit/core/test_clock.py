"""Times as the API server writes them, spans and sizes as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.clock import from_rfc3339, human, human_bytes, to_rfc3339


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_moment_survives_the_status_to_the_second(moment: datetime) -> None:
    assert from_rfc3339(to_rfc3339(moment)) == moment.replace(microsecond=0)


def test_moments_are_written_in_utc() -> None:
    moment = datetime(2026, 3, 10, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    assert to_rfc3339(moment) == "2026-03-10T12:30:00Z"


@pytest.mark.parametrize("text", ["2026-03-10T12:30:00", "yesterday", ""])
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|isoformat"):
        from_rfc3339(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-5, "0s"), (0.9, "0s"), (59, "59s"), (125, "2m5s"), (3600, "1h"), (97_200, "1d3h"), (3661, "1h1m")],
)
def test_spans_read_as_kubectl_shows_ages(seconds: float, text: str) -> None:
    assert human(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (512, "512B"), (1024, "1.0KiB"), (1_572_864, "1.5MiB"), (2**40, "1.0TiB"), (2**51, "2048.0TiB")],
)
def test_sizes_read_in_binary_units(count: int, text: str) -> None:
    assert human_bytes(count) == text
