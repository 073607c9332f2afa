"""Running programs, waiting and locking."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.testbed.shell import TestbedError, locked, run, wait_until


def test_a_failure_shows_the_last_words_and_where_the_rest_is(tmp_path: Path) -> None:
    script = "import sys; print('\\n'.join(f'line {n}' for n in range(100)), file=sys.stderr); sys.exit(3)"
    with pytest.raises(TestbedError) as failure:
        run([sys.executable, "-c", script], log=tmp_path / "log")
    message = str(failure.value)
    assert "exit code 3" in message
    assert "line 99" in message
    assert "line 1\n" not in message
    assert "line 1\n" in (tmp_path / "log").read_text()


def test_a_missing_program_names_the_way_out() -> None:
    with pytest.raises(TestbedError, match=r"tests\.testbed build"):
        run(["no-such-program-anywhere"])


def test_waiting_says_what_it_waited_for() -> None:
    with pytest.raises(TestbedError, match="the moon"):
        wait_until(lambda: False, "the moon", timeout=0.01, interval=0.001)


def test_waiting_ends_when_the_condition_holds() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), "three answers", timeout=5, interval=0.001)
    assert next(answers, None) is None


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from tests.testbed.shell import locked\n"
        f"with locked(Path({str(lock)!r}), 'x'):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, encoding="utf-8") as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        entered = threading.Event()

        def enter() -> None:
            with locked(lock, "x"):
                entered.set()

        waiter = threading.Thread(target=enter)
        waiter.start()
        assert not entered.wait(0.2), "two held the lock at once"
        holder.kill()
        assert entered.wait(5)
        waiter.join()
