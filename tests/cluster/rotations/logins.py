"""Further consumers of the application's Secret: pods that log in to PostgreSQL again and again, and count.

Each pod writes its tally into a volume that outlives it: no login is lost from the count when pods are replaced.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from tests.cluster import builders
from tests.cluster.workspace import Object, Workspace

NAME = "reports"
INDEX = "search-index"
FOLDER = "/tally"
PODS = 2
# A login begins when it is due, whether those before have ended or not. Only when so many hang at once one is left out,
# and counted as such: the server has 200 connections, and the application needs some of them.
IN_FLIGHT = 32
# Where all tests of a machine run at once: what waits for a processor says nothing of a login, and slows the rest.
FEW = 4
SCRIPT = """
import collections, concurrent.futures, json, os, pathlib, signal, sys, threading, time
import psycopg2
every, in_flight, stop = float(sys.argv[1]), int(sys.argv[2]), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
tally, due, skipped = collections.Counter(), 0, 0
file = pathlib.Path(sys.argv[3]) / os.environ["HOSTNAME"]
half = file.with_name("." + file.name)
where = dict(host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"], connect_timeout=20)
def log_in():
    try:
        session = psycopg2.connect(user=os.environ["DB_USER"], password=os.environ["DB_PASSWORD"], **where)
        with session, session.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM alembic_version")
        session.close()
        return "ok"
    except psycopg2.Error as error:
        return str(error).strip().splitlines()[-1][-80:]
free = threading.Semaphore(in_flight)
def note(future):
    free.release()
    tally[future.result()] += 1
def write():
    half.write_text(json.dumps({"due": due, "skipped": skipped, "outcomes": dict(tally)}))
    half.rename(file)
with concurrent.futures.ThreadPoolExecutor(in_flight) as pool:
    begun, written = time.monotonic(), 0
    while not stop.is_set():
        due += 1
        if free.acquire(blocking=False):
            pool.submit(log_in).add_done_callback(note)
        else:
            skipped += 1
        stop.wait(max(0, begun + due * every - time.monotonic()))
        if int(time.monotonic()) != written:
            written = int(time.monotonic())
            write()
write()
"""


@dataclass(frozen=True)
class Logins:
    """How many logins ended how, over all pods that ever ran; ``skipped`` of those that were ``due`` never began,
    because so many others hung."""

    due: int = 0
    skipped: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def started(self) -> int:
        return self.due - self.skipped

    @property
    def all(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.counts.items() if outcome != "ok"}

    def __str__(self) -> str:
        begun = f"{self.due} due, {self.started} started, {self.skipped} skipped"
        return f"{begun}, {self.all} ended, failed: {self.failed or 'none'}"


def install(workspace: Workspace, image: str, secret: str, every: float, in_flight: int = FEW) -> None:
    """A Deployment whose pods log in ``every`` so many seconds with what the Secret held when they were started."""
    workspace.apply(builders.claim("tally"), _deployment(image, secret, every, in_flight), _stateful_set(image, secret))
    for workload in (f"deployment/{NAME}", f"statefulset/{INDEX}"):
        workspace.kubectl("rollout", "status", workload, "--timeout=120s")


def environment(secret: str) -> list[Object]:
    """The login, as a pod gets it when it is started."""
    sources = {"DB_HOST": "host", "DB_NAME": "name", "DB_USER": "username", "DB_PASSWORD": "password"}
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for name, key in sources.items()
    ]


def _stateful_set(image: str, secret: str) -> Object:
    """A consumer of the other kind, which does nothing but have the Secret."""
    container = {
        "name": INDEX,
        "image": image,
        "command": ["sleep", "infinity"],
        "env": environment(secret),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    labels = {"app": INDEX}
    spec: Object = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": INDEX},
        "spec": {
            "serviceName": INDEX,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def _deployment(image: str, secret: str, every: float, in_flight: int) -> Object:
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "-c", SCRIPT, str(every), str(in_flight), FOLDER],
        "env": environment(secret),
        "volumeMounts": [{"name": "tally", "mountPath": FOLDER}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    labels = {"app": NAME}
    spec: Object = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "volumes": [{"name": "tally", "persistentVolumeClaim": {"claimName": "tally"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def restarted(workspace: Workspace) -> None:
    """What a runbook does: all pods anew, and wait for them."""
    workspace.kubectl("rollout", "restart", f"deployment/{NAME}")
    workspace.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")


def counted(workspace: Workspace, reader: str) -> Logins:
    """The tally so far, up to a second old; ``reader`` is a pod that sees the volume."""
    text = workspace.kubectl("exec", reader, "--", "sh", "-c", f"for file in {FOLDER}/*; do cat $file; echo; done")
    tallies = [json.loads(line) for line in text.splitlines()]
    counts: Counter[str] = Counter()
    for tally in tallies:
        counts.update(tally["outcomes"])
    return Logins(sum(tally["due"] for tally in tallies), sum(tally["skipped"] for tally in tallies), counts)
