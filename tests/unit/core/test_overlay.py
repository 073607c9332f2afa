"""A user's overlay wins where it speaks, and leaves alone what it does not name."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.overlay import merged

POD: dict[str, Any] = {
    "securityContext": {"runAsUser": 10001},
    "containers": [{"name": "worker", "image": "operator:1", "env": [{"name": "AADA_TASK", "value": "{}"}]}],
}


@pytest.mark.parametrize(
    ("over", "path", "value"),
    [
        ({"nodeSelector": {"disk": "fast"}}, ["nodeSelector"], {"disk": "fast"}),
        ({"securityContext": {"fsGroup": 1}}, ["securityContext"], {"runAsUser": 10001, "fsGroup": 1}),
        ({"containers": [{"name": "worker", "tty": True}]}, ["containers", 0, "image"], "operator:1"),
        ({"containers": [{"name": "sidecar"}]}, ["containers", 1], {"name": "sidecar"}),
        ({"containers": [{"name": "worker", "image": "operator:2"}]}, ["containers", 0, "image"], "operator:2"),
        (
            {"containers": [{"name": "worker", "env": [{"name": "AADA_FAILPOINTS", "value": "here"}]}]},
            ["containers", 0, "env", 1],
            {"name": "AADA_FAILPOINTS", "value": "here"},
        ),
        ({"containers": [{"name": "worker", "args": ["x"]}]}, ["containers", 0, "args"], ["x"]),
        ({"securityContext": None}, ["securityContext"], None),
    ],
)
def test_objects_merge_deeply_named_lists_by_name_other_values_replace(
    over: Any, path: list[str | int], value: Any
) -> None:
    found: Any = merged(POD, over)
    for part in path:
        found = found[part]
    assert found == value


trees = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.sampled_from("abcd"), children, max_size=4),
        st.lists(st.fixed_dictionaries({"name": st.sampled_from("xyz")}), max_size=3, unique_by=lambda i: i["name"]),
    ),
    max_leaves=12,
)


@given(trees, trees)
def test_neither_side_is_changed_and_a_second_merge_adds_nothing(base: Any, over: Any) -> None:
    before = copy.deepcopy((base, over))
    once = merged(base, over)
    assert (base, over) == before
    assert merged(once, over) == once


@given(st.dictionaries(st.sampled_from("abcd"), trees))
def test_an_empty_overlay_changes_nothing(base: Any) -> None:
    assert merged(base, {}) == base
