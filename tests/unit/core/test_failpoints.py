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


def ended(script: str, variable: str) -> tuple[int, str]:
    """Exit code and output of a program under these fail-points."""
    environment = {VARIABLE: variable, "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    return found.returncode, found.stdout


@pytest.mark.parametrize("value", ["here", "here=kill", "there=error,here=kill"])
def test_a_kill_is_a_real_one(value: str) -> None:
    script = "from aada_operator.core.failpoints import failpoint; failpoint('here'); print('alive')"
    assert ended(script, value) == (-signal.SIGKILL, "")


def test_a_kill_ends_the_first_process_of_a_container_too() -> None:
    """To which the kernel does not deliver its own SIGKILL; nothing may run after it, no handler and no finally."""
    script = """
import os
from aada_operator.core.failpoints import failpoint
os.kill = lambda *_: None
try:
    failpoint('here')
finally:
    print('cleaned up')
"""
    assert ended(script, "here=kill") == (128 + signal.SIGKILL, "")


def test_a_hang_blocks_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setenv(VARIABLE, "here=hang")
    monkeypatch.setattr("time.sleep", slept.append)
    failpoint("here")
    assert slept == [3600]
