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
# A login begins when it is due, whether those before have ended or not; but no more at once than a small machine bears:
# a queue of them would keep a pod that is to leave, and what waits for a processor for 20 s says nothing of a login.
SCRIPT = """
import collections, concurrent.futures, json, os, pathlib, signal, sys, threading, time
import psycopg2
every, stop = float(sys.argv[1]), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
tally, file = collections.Counter(), pathlib.Path("/tally") / os.environ["HOSTNAME"]
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
free = threading.Semaphore(4)
def note(future):
    free.release()
    tally[future.result()] += 1
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    due = time.monotonic()
    while not stop.is_set():
        free.acquire()
        pool.submit(log_in).add_done_callback(note)
        begun, due = due, max(due + every, time.monotonic())
        stop.wait(due - time.monotonic())
        if int(due) != int(begun):
            file.write_text(json.dumps(tally))
file.write_text(json.dumps(tally))
"""


@dataclass(frozen=True)
class Logins:
    """How many logins ended how, over all pods that ever ran."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def all(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> dict[str, int]:
        return {outcome: count for outcome, count in self.counts.items() if outcome != "ok"}


def install(workspace: Workspace, image: str, secret: str, every: float) -> None:
    """A Deployment whose pods log in ``every`` so many seconds with what the Secret held when they were started."""
    workspace.apply(builders.claim("tally"), _deployment(image, secret, every), _stateful_set(image, secret))
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


def _deployment(image: str, secret: str, every: float) -> Object:
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "-c", SCRIPT, str(every)],
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
    text = workspace.kubectl("exec", reader, "--", "sh", "-c", f"cat {FOLDER}/* | sed 's/}}{{/}}\\n{{/g'")
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        counts.update(json.loads(line))
    return Logins(counts)
