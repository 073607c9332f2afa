"""Objects that were seen together at a start drift apart, and none is visited later than it asked for."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.workqueue import SHORT, spread


@given(st.floats(min_value=0, max_value=1e6))
def test_a_visit_is_at_most_a_tenth_too_early_and_never_late(delay: float) -> None:
    assert 0.9 * delay <= spread(delay) <= delay


@given(st.floats(min_value=0, max_value=SHORT))
def test_what_is_due_soon_is_visited_to_the_moment(delay: float) -> None:
    assert spread(delay) == delay


def test_a_thousand_objects_seen_at_once_are_not_visited_at_once_again() -> None:
    seconds = Counter(int(spread(300)) for _ in range(1000))
    assert max(seconds.values()) < 100, "30 seconds share the visits"
