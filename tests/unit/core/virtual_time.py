"""An event loop whose clock jumps to the next timer: hours of back-off pass in milliseconds, in the right order."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: tells how long it would have waited."""

    def __init__(self, waited: Callable[[float], None]) -> None:
        super().__init__()
        self._waited = waited

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits and no timer is set: this would hang for ever")
        self._waited(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and passes only while all tasks wait."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self._pass))
        self._moment = 0.0

    def time(self) -> float:
        return self._moment

    def _pass(self, seconds: float) -> None:
        # A nanosecond more: sums of floats must not leave a timer forever just ahead.
        self._moment += seconds + 1e-9 if seconds > 0 else 0.0


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in virtual time; what fails in a callback or a lost task fails here too."""
    failures: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: failures.append(context))
        result = runner.run(main)
    assert not failures, failures
    return result
