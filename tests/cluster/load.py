"""Requests to a Service from inside the cluster, counted: how users see a rolling update."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.workspace import Workspace

POD = "load"
CPU = "200m"
# Each request has a connection of its own, so that each is sent to whatever pod the Service has at that moment.
ASK = """
import concurrent.futures, datetime, json, sys, threading, time, urllib.request
url, rate, token = sys.argv[1], float(sys.argv[2]), sys.argv[3]
request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
outcomes, failures, stop = {}, [], threading.Event()
def ask():
    began = time.time()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return str(answer.status)
    except Exception as error:
        ended = datetime.datetime.now(datetime.UTC)
        failures.append(f"{ended:%H:%M:%S.%f} after {time.time() - began:.3f} s: {error}")
        return f"{type(error).__name__}: {error}"
def note(future):
    outcomes[future.result()] = outcomes.get(future.result(), 0) + 1
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
"""
TELL = """
print(json.dumps({"counts": outcomes, "failures": failures}))
"""
# Open loop: requests begin when they are due, not when the one before has ended.
SCRIPT = f"""{ASK}
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print("started", flush=True)
    due = time.monotonic()
    while not stop.is_set():
        pool.submit(ask).add_done_callback(note)
        due += 1 / rate
        time.sleep(max(0, due - time.monotonic()))
{TELL}"""
# Closed loop: as many requests at every moment, as many as there are clients.
CROWD = f"""{ASK}
def ask_again():
    while not stop.is_set():
        done = concurrent.futures.Future()
        done.set_result(ask())
        with one_at_a_time:
            note(done)
one_at_a_time = threading.Lock()
with concurrent.futures.ThreadPoolExecutor(int(rate)) as pool:
    for _ in range(int(rate)):
        pool.submit(ask_again)
    print("started", flush=True)
{TELL}"""


@dataclass
class Outcomes:
    """How many requests ended how: by HTTP status, or by what went wrong."""

    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # when each ended (UTC), how long it took, and what went wrong

    @property
    def failed(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.counts.items() if outcome != "200"}

    @property
    def answered(self) -> int:
        return self.counts.get("200", 0)


def install(workspace: Workspace, image: str) -> None:
    """A pod that sends requests when it is told to; ``image`` has Python."""
    container = {
        "name": "load",
        "image": image,
        "command": ["sleep", "infinity"],
        # Without a share of its own it is the first to starve: connections without a request for ten seconds were seen,
        # which a pod that ends rightly closes.
        "resources": {"requests": {"cpu": CPU}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec: dict[str, Any] = {
        "containers": [container],
        "securityContext": security,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    workspace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": spec})
    workspace.kubectl("wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=60s")


def constant(workspace: Workspace, url: str, rate: float = 10, token: str = "") -> AbstractContextManager[Outcomes]:
    """``rate`` requests per second for as long as the block runs, with a token of the LMS if one is given; the outcomes
    are there after it."""
    return _running(workspace, SCRIPT, url, str(rate), token)


def crowd(workspace: Workspace, url: str, clients: int) -> AbstractContextManager[Outcomes]:
    """So many clients that ask again and again for as long as the block runs; the outcomes are there after it."""
    return _running(workspace, CROWD, url, str(clients), "")


@contextmanager
def _running(workspace: Workspace, script: str, *args: str) -> Iterator[Outcomes]:
    outcomes = Outcomes()
    with running(workspace, script, *args) as found:
        yield outcomes
    outcomes.counts.update(found["counts"])
    outcomes.failures += found["failures"]


@contextmanager
def running(workspace: Workspace, script: str, *args: str) -> Iterator[dict[str, Any]]:
    """A script in the pod for as long as the block runs; what it says at its end, as JSON, is there after it.

    It prints "started" once it is at work, and ends when its standard input does.
    """
    found: dict[str, Any] = {}
    argv = [str(workspace.cluster.kubectl_path), "--namespace", workspace.namespace, "exec", "--stdin", POD, "--"]
    with subprocess.Popen(
        [*argv, "python3", "-c", script, *args],
        env=workspace.cluster.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield found
        finally:
            said, _ = process.communicate(timeout=120)
            found.update(json.loads(said))
