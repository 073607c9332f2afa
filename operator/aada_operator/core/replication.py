"""What is known of a streaming replica: filled by an adapter, read by decisions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """How far a primary has written, by its own clock; ``system`` is the identifier that its replicas share."""

    lsn: str
    time: str
    system: str


@dataclass(frozen=True)
class Replayed:
    """How far a server has come after a primary's position; ``age`` is that of its newest commit, in seconds.

    ``standby``: it replays somebody's log, of the cluster ``system``; ``level``: it has all that the primary had.
    """

    standby: bool
    system: str
    level: bool
    age: float | None

    @property
    def lag(self) -> float | None:
        """Seconds that it is behind at the most, None when nobody knows.

        The age of the newest commit alone would be wrong while nothing is written: it grows, and nothing is missing.
        """
        return 0.0 if self.level else self.age
