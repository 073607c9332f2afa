"""Rotations in which the operator is killed, and what is wrong after each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from aada_operator.core.resources import DEPLOYMENTS, PODS
from tests.service.rotation_kills import WAITS, KilledWorld, Way
from tests.service.rotation_world import ROTATION, drop
from tests.service.secrecy import leaks
from tests.service.servers import PostgresServer
from tests.service.stores import Store, login, open_store

TURNS = 200
# Steps that wait for pods: these take their time until the operator was killed there.
SLOW = frozenset({"ConvergeVerifiers", "Reconverge", "ReconvergeSigners"})
# On a way back, pods do not change over to what these publish.
LATE = frozenset({"Publish", "PromoteInStore", "Switch", "Converge"})


@dataclass(frozen=True)
class Found:
    """One rotation: where the operator was killed, and what is wrong, in words."""

    points: Sequence[str]
    trouble: list[str]


@contextmanager
def place(postgres: PostgresServer) -> Iterator[tuple[KilledWorld, Store]]:
    """A school to be, and a store beside it."""
    with tempfile.TemporaryDirectory(prefix="aada-kills-") as folder:
        school = KilledWorld(postgres, f"lms_{os.urandom(4).hex()}", Path(folder) / "log")
        try:
            with open_store(school) as store:
                yield school, store
        finally:
            drop(school)


async def besieged(postgres: PostgresServer, way: Way, rounds: Sequence[Sequence[str]]) -> list[Found]:
    """A rotation for each round, in which the operator is killed at these points; after trouble in a new school."""
    found: list[Found] = []
    while len(found) < len(rounds):
        with place(postgres) as (school, store):
            await way.prepare(school, store)
            for points in rounds[len(found) :]:
                found.append(Found(points, await _round(school, store, way, points)))
                if found[-1].trouble:
                    break
    return found


async def _round(school: KilledWorld, store: Store, way: Way, points: Sequence[str]) -> list[str]:
    before, newest = school.secret(way.secret), _newest(school)
    way.begin(school)
    school.arm(points)
    if trouble := await _to_the_end(school, way, newest):
        return trouble
    missed = [f"never killed at {point}" for point in school.due]
    return missed + await wrong(school, store, way, before)


def _newest(school: KilledWorld) -> object:
    return next(iter(school.status.get("history") or ()), None)


async def _to_the_end(school: KilledWorld, way: Way, newest: object) -> list[str]:
    """Let time go by until the rotation is in the history and nothing of it is left."""
    for _ in range(TURNS):
        _hold_pods(school, way)
        await school.turn()
        if _newest(school) != newest and school.is_at_rest():
            await school.settle()
            return []
        school.clock.advance(seconds=_pace(school, way))
    return [f"not over after {TURNS} turns: {school.status['step']}, {school.told()}; {list(school.due)} are due"]


def _hold_pods(school: KilledWorld, way: Way) -> None:
    step = school.status["step"]
    fails = way.back and not _goes_back(school) and step in LATE
    school.stuck = fails or step in _slow(school, way)


def _slow(school: KilledWorld, way: Way) -> Sequence[str]:
    """The step that is to take its time, and the one before: pods would be done before it was ever asked."""
    due = school.due[0].split(".")[1] if school.due else ""
    if due not in SLOW:
        return ()
    steps = way.steps()
    at = steps.index(due)
    return steps[max(at - 1, 0) : at + 1]


def _goes_back(school: KilledWorld) -> bool:
    return bool(school.status["phase"] == "RollingBack")


def _pace(school: KilledWorld, way: Way) -> float:
    """Seconds until the next turn: past a period of grace, or past what a rotation has that is to fail."""
    step = school.status["step"]
    if step in WAITS:
        return 17 * 60
    return 11 * 60 if way.back and step == "Converge" and not _goes_back(school) else 1


async def wrong(school: KilledWorld, store: Store, way: Way, before: dict[str, str]) -> list[str]:
    """What is not as it must be after a rotation, in words."""
    held, result = school.secret(), school.past()[0].split()[0]
    names = {name for kind in (PODS, DEPLOYMENTS) for name in school.server.names(kind)}
    checks = {
        f"it ended as {school.past()[0]}": result == ("RolledBack" if way.back else "Rotated"),
        f"open logins: {school.open_logins()}": school.open_logins() == [held["username"]],
        "the login in the Secret is refused": school.may_log_in(held["username"], held["password"]),
        f"Secrets left over: {school.revisions()}": school.revisions() == [],
        f"left over: {names}": not [name for name in names if name.startswith(f"{ROTATION}-")],
        f"claims left over: {school.server.claims()}": school.server.claims() == [],
        f"the AadaLms is {school.condition('Ready')}": school.condition("Ready") == "True Ready",
        "the Secret is another one": (school.secret(way.secret) == before) == way.back,
        "the old password is let in": way.back or not _lets_in_old(school, way, before),
        "a pod was cut off": all(_goes_on(session) for session in school.sessions.values()),
        "store and Secret differ": way.secret != "aada-db" or login(store.read()) == login(held),
    }
    told = leaks(school, school.log.read_text())
    return [words for words, holds in checks.items() if not holds] + told


def _goes_on(session: psycopg.Connection[Any]) -> bool:
    with suppress(psycopg.OperationalError):
        return bool(session.execute("SELECT 1"))
    return False


def _lets_in_old(school: KilledWorld, way: Way, before: dict[str, str]) -> bool:
    return way.secret == "aada-db" and school.may_log_in(before["username"], before["password"])
