"""A namespace of one test, and waiting in it: conditions are watched for, never slept for."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.testbed.cluster import Cluster

# Seconds to wait for what takes a Job, and for what takes several.
PATIENCE, LONG = 180.0, 300.0
Object = dict[str, Any]
Predicate = Callable[[Object], bool]


@dataclass(frozen=True)
class Workspace:
    """One namespace. Objects are named as kubectl does: ``backup/nightly``, ``deploy/aada-backend``."""

    cluster: Cluster
    namespace: str

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl in this namespace. Raises subprocess.CalledProcessError when it fails."""
        return self.cluster.kubectl("--namespace", self.namespace, *args, **kwargs)

    def follow(self, command: str) -> None:
        """Run a kubectl command as a message gives it to people, with its namespace."""
        self.cluster.kubectl(*shlex.split(command)[1:])

    def apply(self, *objects: Object) -> None:
        """Apply objects, which get this namespace. Raises subprocess.CalledProcessError when one is refused."""
        placed = [body | {"metadata": body["metadata"] | {"namespace": self.namespace}} for body in objects]
        self.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": placed}))

    def secret(self, name: str, /, **values: str) -> str:
        """Make a Secret, or change it; returns its name."""
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values})
        return name

    def get(self, ref: str) -> Object | None:
        """An object, None when there is none."""
        kind, _, name = ref.partition("/")
        text = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind here whose labels match."""
        text = self.kubectl("get", kind, f"--selector={selector}", "--output=json")
        return list(json.loads(text)["items"])

    def patch(self, ref: str, **spec: Any) -> None:
        """Merge fields into an object's spec."""
        self.kubectl("patch", ref, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def delete(self, ref: str, *, wait: bool = True) -> None:
        """Delete an object; one that is gone already is fine."""
        self.kubectl("delete", ref, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def watch(self, ref: str, timeout: float) -> Iterator[Object]:
        """Watch events of one object until the time is over; a watch that breaks off is begun anew."""
        kind, _, name = ref.partition("/")
        argv = ["--namespace", self.namespace, "get", kind, f"--field-selector=metadata.name={name}",
                "--watch", "--output-watch-events", "--output=json"]  # fmt: skip
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            with _killed_after(left, [str(self.cluster.kubectl_path), *argv], self.cluster.environment()) as process:
                assert process.stdout is not None
                yield from map(json.loads, process.stdout)
            if process.returncode > 0:
                # Refused, or the server is away for a moment: do not ask as fast as the machine can.
                threading.Event().wait(0.5)

    def wait_for(
        self, ref: str, predicate: Predicate, timeout: float = 120.0, then: Callable[[], object] | None = None
    ) -> Object:
        """Watch an object, which need not exist yet, until ``predicate(object)`` holds; returns it.

        ``then`` is called once the object is watched: no state that it leads to is missed, however short.
        Raises AssertionError with the last state of the object after ``timeout`` seconds.
        """
        last: Object = {}
        for event in self.watch(ref, timeout):
            last = event["object"]
            if then:
                then()
                then = None
            if event["type"] != "DELETED" and predicate(last):
                return last
        raise AssertionError(f"waited {timeout:.0f} s for {ref} in {self.namespace}; it is {summary(last)}")

    def wait_gone(self, ref: str, timeout: float = 60.0) -> None:
        """Wait until an object is gone. Raises subprocess.CalledProcessError after ``timeout`` seconds."""
        self.kubectl("wait", "--for=delete", ref, f"--timeout={timeout}s")

    def says(self, ref: str, kind: str, reason: str, timeout: float = PATIENCE) -> str:
        """Wait until a condition has a reason; returns its message."""
        found = self.wait_for(ref, lambda body: condition(body, kind).get("reason") == reason, timeout)
        return str(condition(found, kind)["message"])

    def wait_condition(self, ref: str, kind: str, status: str = "True", timeout: float = 120.0) -> Object:
        """Wait until a condition, seen for the present generation, has a status; returns the object."""
        return self.wait_for(ref, lambda body: _up_to_date(body) and condition(body, kind).get("status") == status,
                             timeout)  # fmt: skip

    def wait_phase(self, ref: str, phase: str, timeout: float = 240.0) -> Object:
        """Wait until ``status.phase`` is ``phase``; returns the object."""
        return self.wait_for(ref, lambda body: body.get("status", {}).get("phase") == phase, timeout)

    def events(self, ref: str) -> list[Object]:
        """The Events about an object, given as ``Kind/name``."""
        kind, _, name = ref.partition("/")
        wanted = f"involvedObject.kind={kind},involvedObject.name={name}"
        return list(json.loads(self.kubectl("get", "events", f"--field-selector={wanted}", "--output=json"))["items"])

    def logs(self, ref: str, *args: str) -> str:
        """What the pods of an object printed."""
        return self.kubectl("logs", ref, *args)


@contextmanager
def _killed_after(seconds: float, argv: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that lives as long as the block, and at most ``seconds``."""
    with subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def condition(body: Object, kind: str) -> Object:
    """A condition of an object, empty when it has none of that type."""
    found = (c for c in body.get("status", {}).get("conditions", []) if c["type"] == kind)
    return next(found, {})


def _up_to_date(body: Object) -> bool:
    return bool(body.get("status", {}).get("observedGeneration") == body["metadata"].get("generation"))


def summary(body: Object) -> str:
    """The state of an object for the message of a failed test."""
    if not body:
        return "not there"
    status = body.get("status", {})
    # Those of a pod have no reason while they are true.
    conditions = [
        f"{c['type']}={c['status']} ({c.get('reason', '')}: {c.get('message', '')})"
        for c in status.get("conditions", [])
    ]
    rest = {name: value for name, value in status.items() if name != "conditions"}
    return "\n  ".join([json.dumps(rest), *conditions])
