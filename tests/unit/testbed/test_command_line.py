"""What a person meets at `python -m tests.testbed`."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.testbed import __main__ as command_line
from tests.testbed import kind, provider
from tests.testbed.layout import Layout
from tests.testbed.local import LocalCluster


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tests.testbed", *words])
    return command_line.main()


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing was ever built."""
    monkeypatch.setenv("AADA_CACHE", str(tmp_path))
    monkeypatch.setenv("AADA_CLUSTER", "test")
    monkeypatch.delenv("AADA_PROVIDER", raising=False)
    monkeypatch.setattr(kind, "is_usable", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        call(monkeypatch, "--help")
    shown = capsys.readouterr().out
    for name in ("up", "down", "status", "build", "images", "load", "kubectl", "shell", "logs"):
        assert f"    {name} " in shown


def test_status_of_a_cluster_that_is_down_says_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "status") == 1
    assert "tests.testbed up" in capsys.readouterr().err


def test_a_bad_cluster_name_is_an_error_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AADA_CLUSTER", "../x")
    assert call(monkeypatch, "status") == 1
    assert capsys.readouterr().err.startswith("error: AADA_CLUSTER='../x'")


def test_logs_of_an_unknown_component_lists_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    logs = tmp_path / "clusters" / "test" / "log"
    logs.mkdir(parents=True)
    (logs / "etcd.log").write_text("")
    assert call(monkeypatch, "logs", "scheduler") == 1
    assert "etcd" in capsys.readouterr().err


def test_kubectl_gets_its_options_untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = LocalCluster().kubectl_path
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nprintf '%s ' \"$@\" > {seen}\nexit 7\n")
    program.chmod(0o755)
    LocalCluster().kubeconfig_path.parent.mkdir(parents=True)
    LocalCluster().kubeconfig_path.write_text("{}")
    assert call(monkeypatch, "kubectl", "-n", "test", "get", "--help") == 7
    assert seen.read_text() == "-n test get --help "


@pytest.mark.parametrize("command", ["kubectl", "shell"])
def test_a_command_that_needs_a_cluster_says_how_to_start_one(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, command) == 1
    assert "tests.testbed up" in capsys.readouterr().err


def test_a_machine_without_a_container_engine_gets_the_local_node() -> None:
    assert isinstance(provider.open_cluster(), LocalCluster)


def test_an_unknown_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AADA_PROVIDER", "minikube")
    with pytest.raises(ValueError, match="kind or local"):
        provider.open_cluster()


def test_kind_writes_the_audit_log_and_restarts_containers_as_the_local_node_does(tmp_path: Path) -> None:
    layout = Layout("test", tmp_path)
    node = kind.kind_config(layout)["nodes"][0]
    assert {"hostPath": str(layout.logs), "containerPath": kind.AUDIT_FOLDER} in node["extraMounts"]
    assert f"{kind.AUDIT_FOLDER}/{layout.audit_log.name}" in node["kubeadmConfigPatches"][0]
    assert "maxContainerRestartPeriod" in node["kubeadmConfigPatches"][1]


def test_a_person_who_is_not_root_goes_on_through_sudo_with_the_own_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[list[str]] = []

    def replace_process(_: str, argv: list[str]) -> NoReturn:
        started.append(argv)
        raise SystemExit(0)

    monkeypatch.delenv("AADA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "execvp", replace_process)
    with pytest.raises(SystemExit):
        call(monkeypatch, "down")
    assert started[0][0] == "sudo"
    assert started[0][-2:] == ["tests.testbed", "down"]
    assert os.environ["AADA_CACHE"] == str(tmp_path / "mine" / "aada-operator")


def test_without_root_and_sudo_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nowhere")
    assert call(monkeypatch, "down") == 1
    assert "as root" in capsys.readouterr().err
