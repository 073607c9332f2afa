"""The migration Job: its name, its manifest, and what the Job and its pods say."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aada_operator.api.common import GROUP, LABEL_LMS, seconds
from aada_operator.api.lms import AadaLmsSpec, Database
from aada_operator.core.overlay import merged
from aada_operator.core.resources import JOBS, Object, owner_reference
from aada_operator.core.trouble import Trouble, failure_of, has_run, of_pod
from aada_operator.lms import app_secret, pod

ANNOTATION_PREVIOUS = f"{GROUP}/previous-revision"
PURPOSE = "migrate"
# The kubelet puts these into the URL of the server: no password stands in the Job.
_LOGIN = {"username": "AADA_DATABASE_USERNAME", "password": "AADA_DATABASE_PASSWORD"}


@dataclass(frozen=True)
class MigrationJob:
    """A Job as it is now; ``trouble`` is why an active one does not start, ``failure`` how a failed one ended."""

    name: str
    phase: Literal["Active", "Succeeded", "Failed"]
    created: str
    previous: str = ""
    pod: str = ""
    trouble: Trouble | None = None
    failure: str = ""
    timed_out: bool = False
    ran: bool = True


def job_name(spec: AadaLmsSpec, lms: str, reset_at: str) -> str:
    """One name per image, command, revision and reset: the same wish never makes a second Job."""
    image = pod.image_of(spec, spec.api_component())
    wish = json.dumps([image, spec.schema_.command, spec.schema_.revision, reset_at])
    return f"{lms}-migrate-{hashlib.sha256(wish.encode()).hexdigest()[:10]}"


def selector(lms: str) -> dict[str, str]:
    """Labels of migration pods; not those of a component, whose Service would send them requests."""
    return {LABEL_LMS: lms, pod.LABEL_JOB: PURPOSE}


def manifest(owner: Object, spec: AadaLmsSpec, name: str, previous: str) -> Object:
    """The Job that brings the schema to its revision, in the first api image and with its environment.

    One try: when it is tried again is a decision that people see. Only a pod that was evicted is replaced.
    """
    lms = owner["metadata"]["name"]
    component = spec.api_component()
    labels = pod.child_labels(lms) | selector(lms)
    command = [part.replace("{revision}", spec.schema_.revision) for part in spec.schema_.command]
    migrating = pod.container(spec, lms, component) | {"command": command}
    migrating["env"] = _with_lock_timeout(_past_pooler(migrating.get("env", []), spec.database, lms), spec)
    template = {
        "metadata": {"labels": labels},
        "spec": pod.pod_spec(spec, component, [migrating]) | {"restartPolicy": "Never"},
    }
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": {ANNOTATION_PREVIOUS: previous},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(seconds(spec.schema_.timeout)) or 1,
            "podFailurePolicy": {"rules": [evicted]},
            "template": merged(template, component.pod_template),
        },
    }


def _past_pooler(variables: list[Object], database: Database, lms: str) -> list[Object]:
    """A migration needs a session of its own, which no pooler gives: it goes to the server itself."""
    if database.pooler is None:
        return variables
    secret = database.app_secret(lms)
    login = [pod.from_secret(name, secret, key) for key, name in _LOGIN.items()]
    url = app_secret.server_url(database, ":".join(f"$({name})" for name in _LOGIN.values()))
    direct = {"host": database.host, "port": str(database.port), "url": url}
    return [*login, *(_led(variable, secret, direct) for variable in variables)]


def _led(variable: Object, secret: str, direct: Mapping[str, str]) -> Object:
    reference = pod.secret_reference(variable)
    ours = reference.get("name") == secret and reference.get("key") in direct
    return {"name": variable["name"], "value": direct[reference["key"]]} if ours else variable


def _with_lock_timeout(variables: list[Object], spec: AadaLmsSpec) -> list[Object]:
    """A migration that waits for a lock makes everybody behind it wait: it gives up first."""
    option = f"-c lock_timeout={int(seconds(spec.schema_.lock_timeout) * 1000)}"
    given = next((v.get("value", "") for v in variables if v["name"] == "PGOPTIONS"), "")
    others = [v for v in variables if v["name"] != "PGOPTIONS"]
    return [*others, {"name": "PGOPTIONS", "value": f"{given} {option}".strip()}]


def state(job: Object, pods: list[Object]) -> MigrationJob:
    """What a Job and its own pods say."""
    metadata = job["metadata"]
    ended = {c["type"]: c for c in (job.get("status") or {}).get("conditions", []) if c["status"] == "True"}
    last = max(pods, key=lambda p: str(p["metadata"].get("creationTimestamp", "")), default=None)
    return MigrationJob(
        name=metadata["name"],
        phase="Succeeded" if "Complete" in ended else "Failed" if "Failed" in ended else "Active",
        created=str(metadata.get("creationTimestamp", "")),
        previous=(metadata.get("annotations") or {}).get(ANNOTATION_PREVIOUS, ""),
        pod=last["metadata"]["name"] if last else "",
        trouble=of_pod(last) if last else None,
        failure=failure_of(last) if last else "",
        timed_out=ended.get("Failed", {}).get("reason") == "DeadlineExceeded",
        ran=any(has_run(one) for one in pods),
    )
