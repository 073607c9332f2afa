"""An operator killed at each step of a rotation, forth and back, in every strategy: where that is, and the way there.

Which steps there are say the strategies themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg

from aada_operator.api.rotation import ANNOTATION_ROTATE_AT
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.resources import AADA_LMS, PODS
from aada_operator.core.steps import Step
from aada_operator.rotations.alternating import Alternating
from aada_operator.rotations.blue_green import BlueGreen
from aada_operator.rotations.generic import Generic
from aada_operator.rotations.in_place import InPlace
from aada_operator.rotations.replacement import Replacement
from aada_operator.rotations.three_phase import ThreePhase
from tests.service.operator_process import OperatorProcess
from tests.service.rotation_world import ROTATION, RotationWorld, fresh_backup
from tests.service.servers import PostgresServer
from tests.service.signing import KEYS, ask, signing
from tests.service.stores import Store, opened

VERIFYING = f"{ROTATION}-verify"
# Steps that only look and wait, but do so each time.
WAITS = frozenset({"Grace", "GraceBack"})
ALWAYS = {"schedule": "0 * * * *", "duration": "1h"}


class KilledWorld(RotationWorld):
    """Its operator is a process, and is killed once at each of the fail-points that are ``due``, one after the other.

    ``exit_code`` is how a command ends that verifies a key; ``guests`` are sessions that nobody declared.
    """

    def __init__(self, postgres: PostgresServer, database: str, log: Path) -> None:
        self.log = log
        self.due: deque[str] = deque()
        self.exit_code = 0
        self.guests: list[psycopg.Connection[Any]] = []
        self._operator: OperatorProcess | None = None
        super().__init__(postgres, database)

    def restart(self) -> None:
        if self._operator:
            self._operator.end()
            if self._operator.killed:
                self.due.popleft()
        armed = f"{self.due[0]}=kill" if self.due else ""
        self._operator = OperatorProcess(self.server, self.clock, self.log, armed)
        self.rotations = self.controller = self._operator  # type: ignore[assignment]

    def arm(self, points: Iterable[str]) -> None:
        """The operator begins anew, to be killed at these."""
        self.due = deque(points)
        self.restart()

    def run_canary(self) -> None:
        super().run_canary()
        if VERIFYING in self.server.names(PODS):
            state = {"terminated": {"exitCode": self.exit_code}}
            statuses = [{"name": "backend", "state": state}]
            self.server.read(PODS, VERIFYING)["status"] = {"phase": "Failed", "containerStatuses": statuses}

    def close(self) -> None:
        super().close()
        for session in self.guests:
            session.close()
        if self._operator:
            self._operator.end()


@dataclass(frozen=True)
class Way:
    """A strategy's rotation, forth or ``back``; ``prepare`` opens a school for it, ``begin`` has it begin once.

    ``without`` are steps that another way of the same strategy goes.
    """

    strategy: type[Replacement]
    prepare: Callable[[KilledWorld, Store], Awaitable[None]]
    begin: Callable[[KilledWorld], None]
    back: bool = False
    emergency: bool = False
    without: frozenset[str] = frozenset()

    def __str__(self) -> str:
        more = [word for word in ("back", "emergency") if getattr(self, word)]
        return " ".join([self.strategy.strategy, *more])

    @property
    def secret(self) -> str:
        """Name of the Secret that is rotated."""
        return "aada-db" if self.strategy in (Alternating, InPlace) else KEYS

    def steps(self) -> list[str]:
        """Those at which it can be killed."""
        return [name for name in acting(self.strategy, back=self.back, emergency=self.emergency) if self._goes(name)]

    def points(self) -> list[str]:
        """Fail-points before and after each step, in order."""
        return [f"rotation.{step}.{moment}-act" for step in self.steps() for moment in ("before", "after")]

    def _goes(self, name: str) -> bool:
        return name not in self.without


def acting(strategy: type[Replacement], *, back: bool = False, emergency: bool = False) -> list[str]:
    """The steps of a strategy, by its own list, that do something; a look that passes leaves nothing to be cut off."""
    made = strategy(_sketch(emergency=emergency))
    return [step.name for step in (made.way_back() if back else made.steps()) if _acts(step) or step.name in WAITS]


def _acts(step: Step) -> bool:
    """Whether it is more than what `core.steps.demand` makes."""
    return not step.act.__qualname__.startswith("demand.")


def _sketch(*, emergency: bool) -> Any:
    """As much of a visit as a strategy needs to tell its steps."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    asked = {ANNOTATION_ROTATE_AT: to_rfc3339(now)} if emergency else {}
    visit = SimpleNamespace(spec=SimpleNamespace(emergency=emergency), annotations=asked, now=now)
    work = {"visit": visit, "kube": None, "kept": None, "since": now - timedelta(days=1)}
    return SimpleNamespace(**work, target=SimpleNamespace(keys=("jwt", "accepted")))


async def _login(school: KilledWorld, store: Store) -> None:
    await opened(school, store)


async def _in_place(school: KilledWorld, store: Store) -> None:
    school.is_steady = False
    await opened(school, store, strategy="InPlace")
    school.server.read(AADA_LMS, "aada")["spec"]["maintenanceWindows"] = [ALWAYS]


def _signing(strategy: str, **spec: Any) -> Callable[[KilledWorld, Store], Awaitable[None]]:
    async def prepare(school: KilledWorld, _: Store) -> None:
        await signing(school, strategy=strategy, **spec)

    return prepare


def _key(exit_code: int) -> Callable[[KilledWorld, Store], Awaitable[None]]:
    async def prepare(school: KilledWorld, _: Store) -> None:
        school.exit_code = exit_code
        verify = {"component": "backend", "command": ["check"]}
        spec: dict[str, Any] = {"type": "Generic", "secretRef": {"name": KEYS, "key": "jwt"}, "verify": verify}
        await signing(school, **spec, emergency=False, jwt={})

    return prepare


def _by_schedule(school: KilledWorld) -> None:
    school.clock.advance(days=31)


def _with_a_stray_table(school: KilledWorld) -> None:
    """Somebody made it as the login, so there is something to hand over."""
    login, number = school.secret()["username"], len(school.server.writes)
    school.postgres.execute(f'CREATE TABLE stray_{number} (); ALTER TABLE stray_{number} OWNER TO "{login}"',
                            school.database)  # fmt: skip
    _by_schedule(school)
    fresh_backup(school)


def _with_a_forgotten_session(school: KilledWorld) -> None:
    """Somebody whom nobody declared, and whom EndSessions ends."""
    held = school.secret()
    school.guests.append(school.log_in(held["username"], held["password"]))
    _by_schedule(school)


_REVOKES = frozenset({"RevokeTokens"})
WAYS = (
    Way(Alternating, _login, _with_a_stray_table),
    Way(Alternating, _login, _by_schedule, back=True),
    Way(InPlace, _in_place, _with_a_forgotten_session),
    Way(InPlace, _in_place, _by_schedule, back=True),
    Way(ThreePhase, _signing("ThreePhase", emergency=False), _by_schedule, without=_REVOKES),
    Way(ThreePhase, _signing("ThreePhase", emergency=False), _by_schedule, back=True),
    Way(ThreePhase, _signing("ThreePhase"), ask, emergency=True),
    Way(BlueGreen, _signing("BlueGreen"), ask, emergency=True),
    Way(BlueGreen, _signing("BlueGreen", emergency=False), _by_schedule, back=True),
    Way(Generic, _key(0), _by_schedule),
    Way(Generic, _key(3), _by_schedule, back=True),
)
