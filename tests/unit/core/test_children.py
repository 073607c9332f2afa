"""Children are written only when they differ, drift is named, and what is somebody else's is left alone."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.adapters.children import Applied, differences, ensure
from aada_operator.adapters.kube import Kube
from aada_operator.core.errors import Stalled
from aada_operator.core.resources import DEPLOYMENTS, ApiResource, Object

OURS = {"apiVersion": "lms.aada.edu/v1alpha1", "kind": "AadaLms", "name": "aada", "uid": "u-1"}
DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "aada-backend", "namespace": "school", "ownerReferences": [OURS]},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {"name": "backend", "image": "lms:1", "resources": {"limits": {"cpu": "1000m"}}, "args": ["a", "b"]}
                ]
            }
        },
    },
}


@dataclass
class Server:
    """Holds one object, with what a real server would add to it."""

    live: Object | None = None
    writes: list[Object] = field(default_factory=list)

    async def get(self, *_: Any) -> Object | None:
        return copy.deepcopy(self.live)

    async def apply(self, _: ApiResource, body: Object) -> Object:
        self.writes.append(body)
        live = copy.deepcopy(body)
        live["metadata"] |= {"uid": "d-1", "resourceVersion": "7"}
        (container,) = live["spec"]["template"]["spec"]["containers"]
        container["terminationMessagePath"] = "/dev/termination-log"
        container["resources"]["limits"]["cpu"] = "1"
        live["spec"]["strategy"] = {"type": "RollingUpdate"}
        self.live = live
        return live

    def ensure(self, desired: Object = DESIRED) -> Applied:
        return asyncio.run(ensure(cast("Kube", self), DEPLOYMENTS, desired))


@pytest.fixture
def server() -> Server:
    """A server on which the child was applied once."""
    server = Server()
    server.ensure()
    server.writes.clear()
    return server


def test_a_missing_child_is_made() -> None:
    server = Server()
    assert server.ensure().live["metadata"]["uid"] == "d-1"
    assert len(server.writes) == 1


def test_an_unchanged_child_costs_no_write_although_the_server_wrote_it_differently(server: Server) -> None:
    assert server.ensure().drift == ()
    assert server.writes == []


def live_container(server: Server) -> Any:
    assert server.live is not None
    return server.live["spec"]["template"]["spec"]["containers"][0]


def test_drift_is_named_and_put_right(server: Server) -> None:
    live_container(server)["image"] = "evil:1"
    assert server.live is not None
    server.live["spec"]["replicas"] = 0
    assert server.ensure().drift == ("spec.replicas", "spec.template.spec.containers[backend].image")
    assert live_container(server)["image"] == "lms:1"
    assert server.ensure().drift == ()
    assert len(server.writes) == 1


def test_our_own_change_is_written_and_is_no_drift(server: Server) -> None:
    changed = copy.deepcopy(DESIRED)
    changed["spec"]["replicas"] = 3
    assert server.ensure(changed) == Applied(cast("Object", server.live))
    assert len(server.writes) == 1


def test_a_field_that_we_no_longer_want_is_written_once(server: Server) -> None:
    """Its absence cannot be seen in the live object: the fingerprint tells."""
    changed = copy.deepcopy(DESIRED)
    del changed["spec"]["template"]["spec"]["containers"][0]["args"]
    server.ensure(changed)
    server.ensure(changed)
    assert len(server.writes) == 1


def test_what_others_add_is_left_alone(server: Server) -> None:
    assert server.live is not None
    server.live["metadata"]["annotations"]["team"] = "school-it"
    server.live["spec"]["template"]["spec"]["containers"].append({"name": "istio-proxy"})
    assert server.ensure().drift == ()
    assert server.writes == []


@pytest.mark.parametrize("owners", [[], [OURS | {"uid": "u-0"}]], ids=["nobody's", "a former object's"])
def test_a_child_of_that_name_that_is_not_ours_is_never_taken_over(server: Server, owners: list[Object]) -> None:
    assert server.live is not None
    server.live["metadata"]["ownerReferences"] = owners
    with pytest.raises(Stalled, match="Deployment aada-backend exists and is not ours"):
        server.ensure()
    assert server.writes == []


@pytest.mark.parametrize(
    ("desired", "live", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {}, ["a"]),
        ({"a": {}}, {}, []),
        ({"a": []}, {}, []),
        ({"a": ""}, {}, []),
        ({"a": 0}, {}, ["a"]),
        ({"a": False}, {}, ["a"]),
        ({"a": "1000m"}, {"a": "1"}, []),
        ({"a": "1Gi"}, {"a": "1024Mi"}, []),
        ({"a": "1Gi"}, {"a": "1G"}, ["a"]),
        ({"a": "text"}, {"a": None}, ["a"]),
        ({"a": {"b": 1}}, {"a": "text"}, ["a"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a[0]", "a[1]"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 2}]}, ["a[x].v"]),
        ({"a": [{"name": "x"}]}, {"a": [{"name": "y"}]}, ["a[x]"]),
    ],
)
def test_differences_are_the_leaves_that_we_asked_for_and_did_not_get(
    desired: Any, live: Any, paths: list[str]
) -> None:
    assert differences(desired, live) == paths


trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(st.text("abc", max_size=2), children)),
    max_leaves=10,
)


@given(trees)
def test_nothing_differs_from_itself(tree: Any) -> None:
    assert differences(tree, copy.deepcopy(tree)) == []
