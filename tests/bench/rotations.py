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

from tests.bench.rotation_kills import in_the_cluster, rounds, without_cluster
from tests.bench.storm import Student
from tests.bench.testing_ground import own_name
from tests.cluster import load, release
from tests.cluster.release import Operator
from tests.cluster.rotations import logins
from tests.cluster.rotations.runbook import by_the_runbook
from tests.cluster.rotations.school import HEALTH, JWT, PROTECTED, School
from tests.cluster.rotations.sessions import signed_in
from tests.cluster.workspace import LONG
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.layout import cluster_name
from tests.testbed.provider import open_cluster
from tests.testbed.versions import SAMPLE_LMS_RELEASES

# Requests a second to all schools together while logins rotate, and to one while a key or the runbook is at work.
RATE = 20.0
# Seconds between two logins of all pods together that log in anew again and again: as often as two cores bear beside
# three rotations, so that hardly any is skipped.
EVERY = 0.08
# Seconds until somebody who is signed in takes another token: within the period of grace, as the contract has it.
REFRESH = 5.0
# Of what must not be, more than none fails the run.
FAILURES = ("failed_logins", "failed_requests", "jwt_401", "kill_failures")
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
        every = EVERY * logins.PODS * count
        schools = [School.open(cluster, name, every, logins.IN_FLIGHT) for name in names]
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
    say(f"{name}: logins: {used}; requests: {asked}")
    return {
        "logins": used.all,
        "failed_logins": sum(used.failed.values()),
        "requests": sum(outcomes.counts.values()),
        "failed_requests": sum(outcomes.failed.values()),
    }


def tokens(school: School, rate: float = RATE) -> dict[str, Any]:
    """The signing key replaced while somebody is signed in from before it until after it; then the first token is dead.

    A token is used for less than the period of grace: so long the old key is accepted.
    """
    school.declare_tokens(gracePeriod="10s")
    student = Student.enrol(school.workspace)
    with signed_in(school.workspace, student, PROTECTED, rate, REFRESH) as session:
        school.ask(JWT)
        school.rotated(3, 2 * LONG, ref=JWT)
        time.sleep(2 * REFRESH)  # a class goes on, with a token of the new key
    say(f"requests of a session from before to after: {session.answered} answered, others: {session.failed or 'none'}")
    return {
        "jwt_requests": session.answered,
        "jwt_401": sum(count for outcome, count in session.failed.items() if "401" in outcome),
        "jwt_failed": sum(session.failed.values()),
        "jwt_old_refused": _answers(school, session.first) == {REFUSED},
        "jwt_new_accepted": _answers(school, session.last) == {"200"},
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
    say(f"logins of this school: {after}")
    return {"runbook_logins": after.all - before.all, "runbook_failed_logins": failed}


def kills(school: School, operator: Operator, most: int | None = None) -> dict[str, Any]:
    """The operator killed at every step, or at so many points of each way: in the cluster, and without one."""
    began = time.monotonic()
    inside = in_the_cluster(school, operator, rounds(most), say)
    say(f"kills in the cluster: {inside}, {time.monotonic() - began:.0f} s")
    outside = without_cluster(most=most, say=say)
    say(f"kills without a cluster: {outside}, {time.monotonic() - began:.0f} s in all")
    return {name: inside[name] + outside[name] for name in inside}


def run(count: int, schools: int, most: int | None) -> dict[str, Any]:
    """The whole show; returns its JSON object."""
    with place(schools) as (opened, operator):
        shown = rotations(opened, count) | tokens(opened[0])
        return shown | kills(opened[0], operator, most) | runbook(opened[0])


def main(argv: list[str]) -> int:
    """Parse, run, print; 1 when something was that must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rotations", description=__doc__)
    parser.add_argument("--rotations", type=int, default=100, help="how many under load (100)")
    parser.add_argument("--schools", type=int, default=3, help="how many schools rotate side by side (3)")
    parser.add_argument("--kill-points", type=int, help="how many of the points of each way (all)")
    options = parser.parse_args(argv)
    shown = run(options.rotations, options.schools, options.kill_points)
    print(json.dumps(shown))
    return int(any(shown.get(name) for name in FAILURES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
