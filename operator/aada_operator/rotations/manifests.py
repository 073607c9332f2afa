"""The Secrets of a rotation, its canary pod and its green Deployments as plain dicts; pure."""

import base64
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aada_operator.api.common import GROUP, LABEL_COMPONENT, LABEL_LMS, LABEL_OWNER, REVISION_PREFIX, stand_in
from aada_operator.core.clock import from_rfc3339, to_rfc3339
from aada_operator.core.resources import DEPLOYMENTS, PODS, SECRET_ROTATIONS, SECRETS, Object, owner_reference
from aada_operator.rotations.decide import revision_number

OWNER = SECRET_ROTATIONS.kind.lower()
LABEL_ROTATION = f"{GROUP}/rotation"
# On the application's Secret, with the name of the SecretRotation: since when it has these credentials.
SINCE_PREFIX = f"rotated-at.{GROUP}/"
# On the Secrets of a rotation: the uid of the SecretRotation. No owner reference: a deletion in the foreground would
# take them from a rotation that has to go back first.
ANNOTATION_OF = f"{GROUP}/rotation-uid"
# On a Secret with new credentials: when they were made, which revision they follow, when all had them, when
# none signed with it any more on the way back, why there is one, and for which revision the pooler was told.
ANNOTATION_MADE_AT = f"{GROUP}/made-at"
ANNOTATION_FOLLOWS = f"{GROUP}/follows"
ANNOTATION_CONVERGED_AT = f"{GROUP}/converged-at"
ANNOTATION_UNSIGNED_AT = f"{GROUP}/unsigned-at"
ANNOTATION_ROLLED_BACK = f"{GROUP}/rolled-back"
# How it is brought about, whatever the spec says meanwhile; and, InPlace, when the password was changed, by the
# server's clock.
ANNOTATION_STRATEGY = f"{GROUP}/strategy"
ANNOTATION_CHANGED_AT = f"{GROUP}/changed-at"
# In an emergency: how many rows the statement changed that revokes tokens.
ANNOTATION_TOKENS_REVOKED = f"{GROUP}/tokens-revoked"


def values(secret: Object) -> dict[str, str]:
    """What a Secret holds; raises ValueError for what is no text."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def encoded(data: Mapping[str, str]) -> dict[str, str]:
    """The same as a Secret's data."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


def annotations(body: Object) -> dict[str, str]:
    """The annotations of an object."""
    return dict(body["metadata"].get("annotations") or {})


@dataclass(frozen=True)
class Revision:
    """A Secret with the credentials of one revision: those in use before a rotation, or those that it brings."""

    body: Object = field(repr=False)

    @property
    def number(self) -> int:
        return revision_number(self.name)

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def is_new(self) -> bool:
        return ANNOTATION_FOLLOWS in annotations(self.body)

    @property
    def data(self) -> dict[str, str]:
        """What it holds; never shown."""
        return values(self.body)

    @property
    def strategy(self) -> str:
        """How it is brought about, whatever the spec says meanwhile; empty where it was not written down."""
        return annotations(self.body).get(ANNOTATION_STRATEGY, "")

    @property
    def made_at(self) -> datetime:
        return from_rfc3339(annotations(self.body)[ANNOTATION_MADE_AT])

    @property
    def converged_at(self) -> datetime | None:
        """When everybody was seen to have it."""
        text = annotations(self.body).get(ANNOTATION_CONVERGED_AT)
        return from_rfc3339(text) if text else None

    @property
    def unsigned_at(self) -> datetime | None:
        """When, on the way back, the last one was seen to use it no more."""
        text = annotations(self.body).get(ANNOTATION_UNSIGNED_AT)
        return from_rfc3339(text) if text else None

    @property
    def changed_at(self) -> datetime | None:
        """When the server got it, by the server's clock: sessions from before were let in with another password."""
        text = annotations(self.body).get(ANNOTATION_CHANGED_AT)
        return from_rfc3339(text) if text else None

    @property
    def tokens_revoked(self) -> int | None:
        """How many rows were changed to revoke tokens; None before."""
        text = annotations(self.body).get(ANNOTATION_TOKENS_REVOKED)
        return int(text) if text else None

    @property
    def rolled_back(self) -> str | None:
        """Why it is taken back, as ``Reason: message``; None while it is not."""
        return annotations(self.body).get(ANNOTATION_ROLLED_BACK)


def revision_id(rotation: str, number: int) -> str:
    """Name of a revision, and of the Secret that holds it."""
    return f"{rotation}-r{number}"


def kept(owner: Object, lms: str, live: Object, number: int) -> Object:
    """A copy of the application's Secret as it is, to go back to."""
    since = to_rfc3339(in_use_since(live, owner["metadata"]["name"]))
    return _secret(owner, lms, number, dict(live.get("data") or {}), {ANNOTATION_MADE_AT: since})


def fresh(
    owner: Object, lms: str, number: int, data: Mapping[str, str], follows: int, now: datetime, strategy: str
) -> Object:
    """The Secret with the new credentials, which remembers how they are brought about."""
    marks = {ANNOTATION_MADE_AT: to_rfc3339(now), ANNOTATION_FOLLOWS: str(follows), ANNOTATION_STRATEGY: strategy}
    return _secret(owner, lms, number, encoded(data), marks)


def _secret(owner: Object, lms: str, number: int, data: Mapping[str, str], marks: Mapping[str, str]) -> Object:
    rotation = owner["metadata"]["name"]
    name = revision_id(rotation, number)
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": {LABEL_OWNER: OWNER, LABEL_LMS: lms, LABEL_ROTATION: rotation},
            "annotations": {ANNOTATION_OF: owner["metadata"]["uid"], **marks},
        },
        "type": "Opaque",
        "immutable": True,
        "data": dict(data),
    }


def mark_of(rotation: str) -> str:
    """The annotation that names the revision of a Secret's content, and of the pods that have it."""
    return f"{REVISION_PREFIX}{rotation}"


def in_use_since(live: Object, rotation: str) -> datetime:
    """Since when the application's Secret has its credentials; since ever, when it was never rotated."""
    text = annotations(live).get(f"{SINCE_PREFIX}{rotation}") or live["metadata"]["creationTimestamp"]
    return from_rfc3339(text)


_COMPONENT = (LABEL_COMPONENT, "app.kubernetes.io/component")
# What a container that serves has, and one that runs a command does not.
_SERVING = ("args", "ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
# What a pod beside the others is for.
CANARY, VERIFY = "canary", "verify"


def trial_name(rotation: str, purpose: str) -> str:
    """Name of a pod that tries something."""
    return f"{rotation}-{purpose}"


def canary(owner: Object, deployment: Object, secret: str, revision: Revision) -> Object:
    """A pod like those of a Deployment, with the new credentials."""
    pod = _beside(owner, deployment, CANARY, revision.name)
    _with_secret(pod["spec"], secret, revision.name)
    return pod


def verifying(owner: Object, deployment: Object, container: str, command: Sequence[str], revision: str) -> Object:
    """A pod like those of a Deployment, in which this container runs a command once instead of serving."""
    pod = _beside(owner, deployment, VERIFY, revision)
    pod["spec"]["restartPolicy"] = "Never"
    for one in pod["spec"]["containers"]:
        if one["name"] == container:
            for name in _SERVING:
                one.pop(name, None)
            one["command"] = list(command)
    return pod


def green(owner: Object, lms: Object, blue: Object, secret: str, revision: Revision) -> Object:
    """A Deployment of as many pods as another has, with the new credentials; no Service finds them by itself.

    The AadaLms owns it: a deletion of the SecretRotation in the foreground must not take pods from users.
    """
    rotation, component = owner["metadata"]["name"], blue["metadata"]["labels"][LABEL_COMPONENT]
    template = _template(rotation, blue, revision.name)
    _with_secret(template["spec"], secret, revision.name)
    selector = {LABEL_LMS: lms["metadata"]["name"], LABEL_COMPONENT: stand_in(component)}
    template["metadata"]["labels"] |= selector
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "metadata": {
            "name": f"{rotation}-green-{component}",
            "namespace": owner["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {ANNOTATION_OF: owner["metadata"]["uid"], mark_of(rotation): revision.name},
            "ownerReferences": [owner_reference(lms)],
        },
        "spec": {
            "replicas": int(blue["spec"].get("replicas", 1)),
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def _beside(owner: Object, deployment: Object, purpose: str, revision: str) -> Object:
    """A pod like those of a Deployment; no Service finds it, so no user meets it."""
    rotation = owner["metadata"]["name"]
    template = _template(rotation, deployment, revision)
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "name": trial_name(rotation, purpose),
            "namespace": owner["metadata"]["namespace"],
            **template["metadata"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def _template(rotation: str, deployment: Object, revision: str) -> Object:
    """The pods of a Deployment, with nothing by which they would pass for its own."""
    template = deployment["spec"]["template"]
    labels = {k: v for k, v in (template["metadata"].get("labels") or {}).items() if k not in _COMPONENT}
    marks = {k: v for k, v in annotations(template).items() if not k.startswith(f"{GROUP}/")}
    return {
        "metadata": {
            "labels": labels | {LABEL_OWNER: OWNER, LABEL_ROTATION: rotation},
            "annotations": marks | {mark_of(rotation): revision},
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _with_secret(spec: Object, old: str, new: str) -> None:
    """Let a pod's spec name another Secret wherever it named the old one."""
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        for variable in container.get("env", ()):
            _rename((variable.get("valueFrom") or {}).get("secretKeyRef"), "name", old, new)
        for source in container.get("envFrom", ()):
            _rename(source.get("secretRef"), "name", old, new)
    for volume in spec.get("volumes", ()):
        _rename(volume.get("secret"), "secretName", old, new)
        for source in (volume.get("projected") or {}).get("sources", ()):
            _rename(source.get("secret"), "name", old, new)


def _rename(reference: Object | None, field_name: str, old: str, new: str) -> None:
    if reference and reference.get(field_name) == old:
        reference[field_name] = new


def is_ready(pod: Object) -> bool:
    """Whether a pod's readiness probe was answered."""
    conditions = (pod.get("status") or {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def has_ended(pod: Object) -> bool:
    """Whether a pod will run nothing any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def exit_code(pod: Object, container: str) -> int | None:
    """How a container of a pod ended; None while it has not."""
    statuses = (pod.get("status") or {}).get("containerStatuses", [])
    states = [status.get("state") or {} for status in statuses if status["name"] == container]
    return next((int(state["terminated"]["exitCode"]) for state in states if "terminated" in state), None)
