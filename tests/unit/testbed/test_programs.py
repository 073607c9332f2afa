"""Building programs from their Go modules."""

from pathlib import Path

import pytest

from tests.testbed import programs
from tests.testbed.layout import Layout
from tests.testbed.programs import kubernetes_go_mod
from tests.testbed.shell import TestbedError
from tests.testbed.versions import COREDNS, KUBERNETES, KUBERNETES_PROGRAMS

UPSTREAM = """module k8s.io/kubernetes

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
	example.org/fork => example.org/other v1.0.0
)
"""


def test_staging_modules_come_from_their_published_versions() -> None:
    minor_and_patch = KUBERNETES.split(".", 1)[1]
    go_mod = kubernetes_go_mod(KUBERNETES_PROGRAMS, UPSTREAM)
    assert f"require k8s.io/kubernetes v{KUBERNETES}\n" in go_mod
    assert f"\tk8s.io/api => k8s.io/api v0.{minor_and_patch}\n" in go_mod
    assert f"\tk8s.io/client-go => k8s.io/client-go v0.{minor_and_patch}\n" in go_mod
    assert "example.org" not in go_mod


def test_a_module_without_staging_modules_is_not_built_blindly() -> None:
    with pytest.raises(TestbedError, match="staging"):
        kubernetes_go_mod(KUBERNETES_PROGRAMS, "module k8s.io/kubernetes\n")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("test", tmp_path)


def test_a_failed_build_is_not_mistaken_for_a_built_program(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> str:
        raise TestbedError("compiler says no")

    monkeypatch.setattr(programs, "run", fails)
    with pytest.raises(TestbedError, match="compiler says no"):
        programs.build_programs(layout, [COREDNS])
    assert not (layout.cache / COREDNS.folder).exists()


def test_a_build_replaces_what_a_killed_one_left_and_happens_once(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_built = layout.cache / f"{COREDNS.folder}.building-killed"
    half_built.mkdir()
    builds: list[str] = []

    def installs(argv: list[str], env: dict[str, str], **_: object) -> str:
        (Path(env["GOBIN"]) / "coredns").write_text("a program")
        builds.append(argv[-1])
        return ""

    monkeypatch.setattr(programs, "run", installs)
    programs.build_programs(layout, [COREDNS])
    programs.build_programs(layout, [COREDNS])
    assert builds == [f"{COREDNS.module}@v{COREDNS.version}"]
    assert layout.program(COREDNS).read_text() == "a program"
    assert not half_built.exists()
    assert layout.program(COREDNS).parent.stat().st_mode & 0o777 == 0o755


def test_a_machine_without_go_is_told_so(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TestbedError, match="install Go"):
        programs.build_programs(layout, [COREDNS])
