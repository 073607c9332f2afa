"""Rotations of the application's login under load, beside the runbook's way, and kills: `make show-rotation`.

Everything is measured now, in a cluster of its own. What was counted comes before the last line, which is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count as numbers
from typing import Any

from tests.bench.testing_ground import own_name
from tests.cluster import load, release
from tests.cluster.release import DEPLOYMENT, Operator
from tests.cluster.rotations import logins
from tests.cluster.rotations.runbook import by_the_runbook
from tests.cluster.rotations.school import HEALTH, JWT, PROTECTED, School
from tests.cluster.workspace import LONG, Object
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.layout import cluster_name
from tests.testbed.provider import open_cluster
from tests.testbed.versions import SAMPLE_LMS_RELEASES

STEPS = (
    "Keep",
    "Generate",
    "ApplyToDatabase",
    "Canary",
    "Publish",
    "Converge",
    "RetireOld",
    "ProveOld",
)
# Requests a second to all schools together while logins rotate, and to one while a key or the runbook is at work.
RATE = 20.0
# Seconds between two logins of all pods together that log in anew again and again.
EVERY = 0.01
VARIABLE = "AADA_FAILPOINTS"
REFUSED = "HTTPError: HTTP Error 401: Unauthorized"


def say(text: str) -> None:
    """Progress, beside the last line that programs read."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@contextmanager
def place(count: int) -> Iterator[tuple[list[School], Operator]]:
    """A cluster with the operator and so many schools; it is removed at the end unless it was up before."""
    os.environ["AADA_CLUSTER"] = own_name(cluster_name())
    cluster = open_cluster()
    was_up = cluster.is_up()
    try:
        cluster.create()
        operator = release.install(cluster)
        for version in SAMPLE_LMS_RELEASES[:1]:
            release.build_image(cluster, f"{SAMPLE_LMS}:{version}")
        now = int(time.time())
        names = [f"rotation-{now}-{number}" for number in range(1, count + 1)]
        schools = [School.open(cluster, name, every=EVERY * logins.PODS * count) for name in names]
        for school in schools:
            school.declare()
        yield schools, operator
        _remove(cluster, schools)
    finally:
        if not was_up:
            cluster.delete()


def _remove(cluster: Cluster, schools: Sequence[School]) -> None:
    names = [school.workspace.namespace for school in schools]
    cluster.kubectl("delete", "namespace", *names, "--wait=false")


def rotations(schools: Sequence[School], count: int, rate: float = RATE) -> dict[str, Any]:
    """So many rotations, by schools side by side, while the applications are asked ``rate`` times a second together and
    further consumers log in."""
    shares = [count // len(schools) + (number < count % len(schools)) for number in range(len(schools))]
    with ThreadPoolExecutor(len(schools)) as pool:
        done = numbers(1)
        found = list(pool.map(partial(_share, done, count, rate / len(schools)), schools, shares))
    return {"rotations": count} | {name: sum(one[name] for one in found) for name in found[0]}


def _share(done: Iterator[int], count: int, rate: float, school: School, share: int) -> dict[str, int]:
    name = school.workspace.namespace
    with load.constant(school.workspace, HEALTH, rate=rate) as outcomes:
        for _ in range(share):
            began = time.monotonic()
            school.rotate()
            say(f"{name}: rotation {next(done)} of {count}: {time.monotonic() - began:.0f} s")
    used, asked = school.use(), f"{outcomes.counts} {outcomes.failures or ''}"
    say(f"{name}: logins: {used.all}, failed: {used.failed or 'none'}; requests: {asked}")
    return {
        "logins": used.all,
        "failed_logins": sum(used.failed.values()),
        "requests": sum(outcomes.counts.values()),
        "failed_requests": sum(outcomes.failed.values()),
    }


def tokens(school: School, rate: float = RATE) -> dict[str, Any]:
    """The signing key replaced while a session from before goes on; afterwards its token is dead."""
    school.declare_tokens(gracePeriod="10s")
    before = school.token()
    with load.constant(school.workspace, PROTECTED, rate=rate, token=before) as outcomes:
        school.ask_until("Grace", JWT)
        after = school.token()
        with load.constant(school.workspace, PROTECTED, rate=rate, token=after) as others:
            time.sleep(10)  # a class at work, with tokens of both keys
    school.rotated(3, ref=JWT)
    answered, refused = outcomes.answered + others.answered, {**outcomes.failed, **others.failed}
    say(f"requests with tokens of the old and the new key: {answered} answered, others: {refused or 'none'}")
    return {
        "jwt_requests": answered,
        "jwt_401": sum(count for outcome, count in refused.items() if "401" in outcome),
        "jwt_failed": sum(refused.values()),
        "jwt_old_refused": _answers(school, before) == {REFUSED},
        "jwt_new_accepted": _answers(school, after) == {"200"},
    }


def _answers(school: School, token: str) -> set[str]:
    with load.constant(school.workspace, PROTECTED, rate=RATE, token=token) as outcomes:
        time.sleep(1)
    return set(outcomes.counts)


def runbook(school: School) -> dict[str, Any]:
    """The same use while a password is changed in place."""
    before = school.use()
    with load.constant(school.workspace, HEALTH, rate=RATE) as outcomes:
        by_the_runbook(school)
    after = school.use()
    failed = sum(after.failed.values()) - sum(before.failed.values())
    say(f"the runbook's way: {failed} of {after.all - before.all} logins failed; requests: {outcomes.counts}")
    return {"runbook_logins": after.all - before.all, "runbook_failed_logins": failed}


def kills(school: School, operator: Operator, points: list[str]) -> dict[str, Any]:
    """The operator killed at each point; what must hold after each is counted when it does not."""
    failures: list[str] = []
    for point in points:
        known = sum(school.use().failed.values())
        revision = school.next_revision()
        operator.kubectl("set", "env", DEPLOYMENT, f"{VARIABLE}={point}=kill")
        operator.rolled_out()
        school.ask()
        operator.wait_for(DEPLOYMENT, _is_down, LONG)
        operator.kubectl("set", "env", DEPLOYMENT, f"{VARIABLE}-")
        operator.rolled_out()
        school.rotated(revision)
        trouble = wrong(school, known)
        say(f"killed at {point}: {trouble or 'rotated, one login, nothing left over'}")
        failures += [point] if trouble else []
    return {"kill_points": len(points), "kill_failures": len(failures)}


def wrong(school: School, known: int) -> list[str]:
    """What is not as it must be after a rotation, in words; so many logins had failed before it."""
    found = []
    if len(logins := school.open_logins()) != 1:
        found.append(f"open logins: {logins}")
    if left := school.secrets():
        found.append(f"Secrets left over: {left}")
    if sum((failed := school.use().failed).values()) > known:
        found.append(f"failed logins: {failed}")
    return found


def _is_down(deployment: Object) -> bool:
    return not deployment.get("status", {}).get("readyReplicas")


def kill_points() -> list[str]:
    """Before and after every step that does something."""
    return [f"rotation.{step}.{moment}-act" for step in STEPS for moment in ("before", "after")]


def run(count: int, schools: int, points: list[str]) -> dict[str, Any]:
    """The whole show; returns its JSON object."""
    with place(schools) as (opened, operator):
        shown = rotations(opened, count) | tokens(opened[0])
        return shown | kills(opened[0], operator, points) | runbook(opened[0])


def main(argv: list[str]) -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rotations", description=__doc__)
    parser.add_argument("--rotations", type=int, default=100, help="how many under load (100)")
    parser.add_argument("--schools", type=int, default=3, help="how many schools rotate side by side (3)")
    parser.add_argument("--kill-points", type=int, default=len(kill_points()), help="how many of the points (all)")
    options = parser.parse_args(argv)
    print(json.dumps(run(options.rotations, options.schools, kill_points()[: options.kill_points])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
