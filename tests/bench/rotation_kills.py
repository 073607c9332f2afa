"""The kills of `make show-rotation`: of the operator in the cluster, and of one beside a PostgreSQL without a cluster.

In the cluster a rotation of the login with a store is killed several times, far apart; who may be needed to hand over
what a login owns, a fresh backup, is not there, so that step is killed without a cluster. There each point of each
strategy has a rotation of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aada_operator.core.clock import SystemClock, to_rfc3339
from aada_operator.rotations.alternating import Alternating
from tests.cluster.release import DEPLOYMENT, Operator
from tests.cluster.rotations import logins
from tests.cluster.rotations.school import REF, SECRET, School
from tests.cluster.rotations.store import Store
from tests.cluster.rotations.witness import Witness, hearing
from tests.cluster.workspace import LONG, Object
from tests.service.rotation_kills import WAYS, Way, acting
from tests.service.rotation_siege import besieged
from tests.service.servers import PostgresServer, in_memory

VARIABLE = "AADA_FAILPOINTS"
WITHOUT_CLUSTER = frozenset({"HandOver"})
# Fail-points from one kill to the next in one rotation of the cluster: three steps forth, two back.
FORTH, BACK = 6, 4
Say = Callable[[str], object]


@dataclass(frozen=True)
class Round:
    """One rotation in the cluster, and where the operator is killed in it; ``back`` on its way back."""

    points: Sequence[str]
    back: bool = False


def points(*, back: bool) -> list[str]:
    """Before and after each step of the login's rotation in the cluster, by the strategy's own list."""
    steps = [step for step in acting(Alternating, back=back) if step not in WITHOUT_CLUSTER]
    return [f"rotation.{step}.{moment}-act" for step in steps for moment in ("before", "after")]


def rounds(most: int | None = None) -> list[Round]:
    """All kills in the cluster, or the first ones of each direction."""
    forth, back = points(back=False)[:most], points(back=True)[:most]
    made = [Round(forth[number::FORTH]) for number in range(FORTH)]
    made += [Round(back[number::BACK], back=True) for number in range(BACK)]
    return [one for one in made if one.points]


def armed(point: str, *, back: bool) -> str:
    """The operator is killed at one point, and comes back as it was: it may not take the step after that, or it would
    have gone on before the one with the next point is there."""
    there = points(back=back)
    return ",".join([f"{point}=kill", *(f"{held}=error" for held in there[there.index(point) + 1 :][:1])])


def in_the_cluster(school: School, operator: Operator, wanted: Sequence[Round], say: Say = print) -> dict[str, Any]:
    """The operator killed at each point; what must hold after each rotation is counted when it does not."""
    failures = 0
    store = Store(school)
    spec = {"store": store.spec, "gracePeriod": "5s"}
    school.declare(**spec)
    school.workspace.wait_condition(REF, "StoreInStep")
    with hearing(school, operator) as witness:
        for one in wanted:
            school.declare(**spec | ({"drainTimeout": "60s"} if one.back else {}))
            trouble = _round(school, operator, witness, store, one)
            well = f"{'rolled back' if one.back else 'rotated'}, one login, nothing left over, no password told"
            say(f"killed at {', '.join(one.points)}: {trouble or well}")
            failures += len(one.points) if trouble else 0
        say(f"in the cluster: {witness.heard}")
    school.declare()
    return {"kill_points": sum(len(one.points) for one in wanted), "kill_failures": failures}


def _round(school: School, operator: Operator, witness: Witness, store: Store, one: Round) -> list[str]:
    known, before, newest = sum(school.use().failed.values()), school.values(SECRET), _newest(school)
    reports = f"deployment/{logins.NAME}"
    if one.back:  # its pods keep the old login, so the rotation runs out of time
        school.workspace.kubectl("rollout", "pause", reports)
    arm(operator, armed(one.points[0], back=one.back))
    operator.rolled_out()
    _ask_anew(school)
    missed = []
    for number, point in enumerate(one.points):
        missed += [] if _killed(operator, witness, point) else [f"never killed at {point}"]
        if one.back and number == 0:
            school.workspace.kubectl("rollout", "resume", reports)
        if number + 1 < len(one.points):
            arm(operator, armed(one.points[number + 1], back=one.back))
    arm(operator, "")
    operator.rolled_out()
    ended = school.workspace.wait_for(REF, lambda body: _is_over(body, newest), LONG)
    return missed + _result(ended, one, before, school) + wrong(school, known, store, witness)


def _newest(school: School) -> str:
    return _began(school.workspace.get(REF) or {})


def _began(rotation: Object) -> str:
    history = (rotation.get("status") or {}).get("history") or [{}]
    return str(history[0].get("startedAt", ""))


def _is_over(rotation: Object, newest: str) -> bool:
    return bool(rotation["status"].get("phase") == "Idle" and _began(rotation) != newest)


def _ask_anew(school: School) -> None:
    """A time of the API has whole seconds: the request must be later than the end of the last rotation."""
    history = ((school.workspace.get(REF) or {}).get("status") or {}).get("history") or [{}]
    while to_rfc3339(SystemClock().now()) <= str(history[0].get("finishedAt", "")):
        time.sleep(0.05)
    school.ask()


def arm(operator: Operator, failpoints: str) -> None:
    """Another operator, with these fail-points."""
    setting = f"{VARIABLE}={failpoints}" if failpoints else f"{VARIABLE}-"
    operator.kubectl("set", "env", DEPLOYMENT, setting)


def _killed(operator: Operator, witness: Witness, point: str) -> bool:
    """Wait until the operator with this fail-point was killed; whether it was."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        if any(_was_killed(pod) for pod in operator.pods() if f"{point}=kill" in json.dumps(pod["spec"])):
            witness.listen()
            return True
        time.sleep(0.5)
    return False


def _was_killed(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    states = [status.get(field) or {} for status in statuses for field in ("state", "lastState")]
    return any(state.get("terminated", {}).get("exitCode") == 137 for state in states)


def _result(ended: Object, one: Round, before: dict[str, str], school: School) -> list[str]:
    newest, wanted = ended["status"]["history"][0], "RolledBack" if one.back else "Rotated"
    found = [] if newest["result"] == wanted else [f"it ended as {newest['result']} {newest.get('reason', '')}"]
    same = school.values(SECRET) == before
    return found + ([] if same == one.back else ["the Secret has " + ("the old login" if same else "another login")])


def wrong(school: School, known: int, store: Store, witness: Witness) -> list[str]:
    """What is not as it must be after a rotation, in words; so many logins had failed before it."""
    open_logins, failed = school.open_logins(), school.use().failed
    checks = {
        f"open logins: {open_logins}": open_logins == [school.values(SECRET)["username"]],
        f"Secrets left over: {school.secrets()}": not school.secrets(),
        f"failed logins: {failed}": sum(failed.values()) <= known,
        "store and Secret differ": store.is_in_step(),
    }
    return [words for words, holds in checks.items() if not holds] + witness.leaks()


def without_cluster(ways: Iterable[Way] = WAYS, most: int | None = None, say: Say = print) -> dict[str, Any]:
    """Each strategy forth and back, killed at each point of it, each in a rotation of its own."""
    count = failures = 0
    with PostgresServer(in_memory()) as postgres:
        for way in ways:
            found = asyncio.run(besieged(postgres, way, [[point] for point in way.points()[:most]]))
            troubles = {one.points[0]: one.trouble for one in found if one.trouble}
            say(f"{way}, without a cluster, killed at {len(found)} points: {troubles or 'all as it must be'}")
            count, failures = count + len(found), failures + len(troubles)
    return {"kill_points": count, "kill_failures": failures}
