"""Fail-points do what the environment says, and nothing without it."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aada_operator.core import failpoints
from aada_operator.core.errors import Waiting
from aada_operator.core.failpoints import VARIABLE, failpoint


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """The variable is read once per process."""
    failpoints._armed.cache_clear()
    yield
    failpoints._armed.cache_clear()


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    failpoint("restore.Load.before-act")


def test_only_the_named_point_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "other=error, restore.Load.before-act=error,")
    failpoint("restore.Load.after-act")
    with pytest.raises(Waiting, match=r"restore\.Load\.before-act"):
        failpoint("restore.Load.before-act")


@pytest.mark.parametrize("value", ["here", "here=kill", "there=error,here=kill"])
def test_a_kill_is_a_real_one(value: str) -> None:
    script = "from aada_operator.core.failpoints import failpoint; failpoint('here'); print('alive')"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={VARIABLE: value, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == -signal.SIGKILL
    assert found.stdout == ""


def test_a_hang_blocks_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setenv(VARIABLE, "here=hang")
    monkeypatch.setattr("time.sleep", slept.append)
    failpoint("here")
    assert slept == [3600]
