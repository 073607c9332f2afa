"""What can go wrong, as a tree::

    OperatorError          has a CamelCase reason and a message for a condition; never a client library's text
    +-- Waiting            the world is not ready yet: ask again after a time, nobody needs to act
    +-- Stalled            a human or a new spec is needed: nothing is retried until then

Anything else that is raised is a bug: the workqueue retries it with backoff and the log has its traceback.
Foreign errors become one of these at the adapter's edge, once.
"""

from dataclasses import dataclass


@dataclass
class OperatorError(Exception):
    """A reason in CamelCase for programs, and a message for people that names the fix."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass
class Waiting(OperatorError):
    """Not yet: the object is visited again after ``retry_after`` seconds, or sooner when something changes."""

    retry_after: float = 15.0


@dataclass
class Stalled(OperatorError):
    """Not without a human: the condition Stalled says what to do; a change of the spec starts again."""
