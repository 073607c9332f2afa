"""What a person is told when the node does not come up."""

from pathlib import Path

import pytest

from tests.testbed.diagnosis import explain


def logs(folder: Path, **contents: str) -> Path:
    for name, content in contents.items():
        (folder / f"{name}.log").write_text(content)
    return folder


def test_the_part_that_keeps_ending_is_named_with_its_errors(tmp_path: Path) -> None:
    node = "etcd started\nkubelet started\nkubelet ended with 1; starting it again\n" * 3
    kubelet = "I1123 all is well\nE1123 21:31:36 kubelet.go] something broke\n"
    told = explain(logs(tmp_path, node=node, kubelet=kubelet, etcd="E1123 not this\n"))
    assert told.startswith("kubelet ended 3 times")
    assert "something broke" in told
    assert "not this" not in told
    assert "all is well" not in told


@pytest.mark.parametrize(
    ("line", "way_out"),
    [
        ("E1123 kubelet.go] Failed to start cAdvisor: inotify_init: too many open files", "max_user_instances"),
        ("E1123 write /x: no space left on device", "disk is full"),
    ],
)
def test_a_known_cause_comes_with_the_way_out(line: str, way_out: str, tmp_path: Path) -> None:
    assert way_out in explain(logs(tmp_path, node="kubelet ended with 1; starting it again\n", kubelet=line))


def test_where_nothing_ended_the_node_itself_is_shown(tmp_path: Path) -> None:
    assert "mount: /run: permission denied" in explain(logs(tmp_path, node="mount: /run: permission denied\n"))
