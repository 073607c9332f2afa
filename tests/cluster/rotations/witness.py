"""Hears what is said while logins rotate, and knows every secret that a revision ever had: none of them may be told."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from aada_operator.api.registry import KINDS
from tests.cluster.release import Operator
from tests.cluster.rotations.school import School
from tests.cluster.servers import POD
from tests.cluster.workspace import Object, Workspace
from tests.service.secrecy import found, secret_values

REVISIONS = "lms.aada.edu/rotation"
METRICS = "/api/v1/namespaces/aada-system/services/aada-operator-metrics:http/proxy/metrics"
OTHERS = ("deployments", "statefulsets", "services", "jobs", "pods", "leases", "events")
OBJECTS = ",".join([*(kind.resource.plural for kind in KINDS), *OTHERS])


@dataclass
class Witness:
    """``secrets`` are the values of all revisions, by their names; ``statuses`` all that SecretRotations ever said;
    ``logs`` those of the operator, by pod and by how often its container had been started."""

    school: School
    operator: Operator
    secrets: dict[str, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    logs: dict[tuple[str, int], str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """The operator's logs as they are now, also of the container before: a pod that goes takes them with it."""
        for pod in self.operator.pods():
            name, (status,) = pod["metadata"]["name"], pod["status"].get("containerStatuses") or [{"restartCount": 0}]
            number = int(status["restartCount"])
            self.starts[name] = max(number + 1, self.starts.get(name, 0))
            for back, option in ((0, "--previous=false"), (1, "--previous"))[: number + 1]:
                with suppress(subprocess.CalledProcessError):  # not started yet
                    self.logs[name, number - back] = self.operator.logs(f"pod/{name}", "--tail=-1", option)

    def leaks(self) -> list[str]:
        """Where a secret is told, by its name; that none is known, or hardly a log, is wrong as well."""
        self.listen()
        if not self.secrets or not any(self.logs.values()):
            return ["nothing was heard"]
        return found(self.secrets, self._said())

    @property
    def heard(self) -> str:
        """How much it knows, in words."""
        logs = f"{len([log for log in self.logs.values() if log])} of {sum(self.starts.values())} logs of the operator"
        return f"{len(self.secrets)} secret values, searched for in {logs} and {len(self.statuses)} statuses"

    def _said(self) -> Iterator[tuple[str, str]]:
        for (pod, start), log in self.logs.items():
            yield f"log {start} of {pod}", log
        yield "log of PostgreSQL", self.school.workspace.logs(f"pod/{POD}", "--tail=-1")
        yield "a status", "\n".join(self.statuses)
        yield "an object", self.school.workspace.kubectl("get", OBJECTS, "--output=json")
        yield "an Event of the operator", self.operator.kubectl("get", "events,leases", "--output=json")
        yield "a metric", self.operator.kubectl("get", "--raw", METRICS)

    def note(self, body: Object) -> None:
        """An object as it was at some time."""
        if body["kind"] != "Secret":
            self.statuses.append(json.dumps(body))
            return
        data = {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}
        self.secrets |= secret_values(body["metadata"]["name"], data)

    def watch(self, kind: str, selector: str) -> None:
        """Note all that there ever is, until it is over; a watch that breaks off is begun anew."""
        workspace = self.school.workspace
        argv = [str(workspace.cluster.kubectl_path), "--namespace", workspace.namespace, "get", kind, "--watch"]
        argv += [f"--selector={selector}", "--output-watch-events", "--output=json"]
        while not self._over.wait(0.2):
            with _process(argv, workspace) as process:
                threading.Thread(target=self._end, args=(process,), daemon=True).start()
                assert process.stdout is not None
                for line in process.stdout:
                    self.note(json.loads(line)["object"])

    def _end(self, process: subprocess.Popen[str]) -> None:
        self._over.wait()
        process.kill()

    def leave(self) -> None:
        """It listens no more."""
        self._over.set()


@contextmanager
def _process(argv: list[str], workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        argv, env=workspace.cluster.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        yield process


@contextmanager
def hearing(school: School, operator: Operator) -> Iterator[Witness]:
    """A witness of what goes on in a school for as long as the block runs."""
    witness = Witness(school, operator)
    watched = (("secrets", REVISIONS), ("secretrotations", ""))
    threads = [threading.Thread(target=witness.watch, args=which, daemon=True) for which in watched]
    for thread in threads:
        thread.start()
    try:
        yield witness
    finally:
        witness.leave()
        for thread in threads:
            thread.join(10)
