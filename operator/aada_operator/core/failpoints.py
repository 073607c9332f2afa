"""Named points at which a test can stop the process, make it fail or hang.

``AADA_FAILPOINTS="restore.load.before-act=kill,worker.backup.before-manifest=error"``; without the variable a point
costs one dictionary look-up. They are how "survives a kill between any two steps" is proved.
"""

import os
import signal
import time
from functools import cache

from aada_operator.core.errors import Waiting

VARIABLE = "AADA_FAILPOINTS"


def failpoint(name: str) -> None:
    """Do what the variable says for this point: ``kill`` (SIGKILL), ``stop`` (until SIGCONT), ``error``, ``hang``.

    Raises:
        Waiting: the point is set to ``error``.
    """
    action = _armed().get(name)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # the first process of a container is not killed by its own signal
    if action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if action == "hang":
        time.sleep(3600)
    if action == "error":
        raise Waiting("FailPoint", f"fail-point {name} is armed", retry_after=1.0)


@cache
def _armed() -> dict[str, str]:
    entries = [entry.strip() for entry in os.environ.get(VARIABLE, "").split(",") if entry.strip()]
    return {name: action or "kill" for name, _, action in (entry.partition("=") for entry in entries)}
