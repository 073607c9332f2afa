"""How a worker's pod reaches the claim with users' files: as a user who may, near the pods that hold it; pure."""

from typing import Any

from aada_operator.api.common import LABEL_LMS, LABEL_OWNER
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.api.uploads import CLAIM_PATH
from aada_operator.core.overlay import merged
from aada_operator.core.resources import AADA_LMS, Object
from aada_operator.core.worker_jobs import CONTAINER

_VOLUME = "uploads"


def with_claim(lms: str, spec: AadaLmsSpec, claim: str, overlay: Object, *, writes: bool) -> Object:
    """An overlay on a Job's pod that mounts the claim; ``overlay`` is the user's own, merged last.

    A claim that one node alone may mount draws the pod to the application's node, if there is room.
    """
    source = {"claimName": claim} if writes else {"claimName": claim, "readOnly": True}
    mount = {"name": _VOLUME, "mountPath": CLAIM_PATH, "readOnly": not writes}
    pod = {
        "securityContext": _user(spec, writes=writes),
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_beside(lms)]}},
        "containers": [{"name": CONTAINER, "volumeMounts": [mount]}],
        "volumes": [{"name": _VOLUME, "persistentVolumeClaim": source}],
    }
    return dict(merged({"spec": pod}, overlay))


def _beside(lms: str) -> Object:
    labels = {LABEL_OWNER: AADA_LMS.kind.lower(), LABEL_LMS: lms}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    return {"weight": 100, "podAffinityTerm": term}


def _user(spec: AadaLmsSpec, *, writes: bool) -> Object:
    """User and groups of the application's pods, where their podTemplate says them.

    A reader gets the group as a further one: as its fsGroup, which also lets it read its Secrets, it would be the
    worker's own. Of a claim that is mounted read-only the kubelet changes nothing.
    """
    said = _security_context(spec)
    user = {field: said[field] for field in ("runAsUser", "runAsGroup") if said.get(field)}
    group = said.get("fsGroup")
    if writes:
        return user | ({"fsGroup": group} if group else {}) | {"fsGroupChangePolicy": "OnRootMismatch"}
    return user | {"supplementalGroups": [group] if group else []}


def _security_context(spec: AadaLmsSpec) -> dict[str, Any]:
    templates = [component.pod_template for component in spec.components if component.role == "api"]
    found = [(template.get("spec") or {}).get("securityContext") for template in templates]
    return next((dict(context) for context in found if isinstance(context, dict)), {})
