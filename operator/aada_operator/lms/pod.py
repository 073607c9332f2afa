"""What the application's pods have in common, whether they serve or migrate: image, environment, mounts, security."""

from dataclasses import dataclass
from typing import Any

from aada_operator.api.common import GROUP, LABEL_COMPONENT, LABEL_LMS, LABEL_OWNER, stand_in
from aada_operator.api.component import Component
from aada_operator.api.lms import AadaLmsSpec
from aada_operator.core.resources import Object

LABEL_JOB = f"{GROUP}/job"
ANNOTATION_SECRETS = f"{GROUP}/secrets"
OWNER = "aadalms"
CA_FOLDER = "/run/aada/database-ca"
CA_FILE = "ca.crt"


@dataclass(frozen=True)
class SecretNeed:
    """A key of a Secret that a component cannot start without; an empty key stands for the Secret as a whole."""

    secret: str
    key: str


def child_name(lms: str, component: Component) -> str:
    """Name of the Deployment, Service, Ingress and budget of a component."""
    return f"{lms}-{component.name}"


def child_labels(lms: str) -> dict[str, str]:
    """Labels by which the operator finds what it made; never any of the parent's."""
    return {
        "app.kubernetes.io/name": "aada-lms",
        "app.kubernetes.io/instance": lms,
        "app.kubernetes.io/managed-by": "aada-operator",
        LABEL_OWNER: OWNER,
        LABEL_LMS: lms,
    }


def component_labels(lms: str, component: Component) -> dict[str, str]:
    """Labels of one component's children and pods."""
    named = {"app.kubernetes.io/component": component.name, LABEL_COMPONENT: component.name}
    return child_labels(lms) | named


def selector(lms: str, component: Component) -> dict[str, str]:
    """What a Deployment selects; never changes, the API server refuses that."""
    return {LABEL_LMS: lms, LABEL_COMPONENT: component.name}


def served_by(lms: str, component: Component, *, stood_in: bool) -> dict[str, str]:
    """The pods that users are sent to: the component's own, or those that stand in for them.

    The label is the same and its value another, so that no merge can leave a selector that finds neither.
    """
    return {LABEL_LMS: lms, LABEL_COMPONENT: stand_in(component.name) if stood_in else component.name}


def image_of(spec: AadaLmsSpec, component: Component) -> str:
    """The image with its digest or tag, or with ``spec.version`` as tag."""
    last = component.image.rsplit("/", 1)[-1]
    pinned = "@" in last or ":" in last
    return component.image if pinned or spec.version is None else f"{component.image}:{spec.version}"


def version_of(image: str) -> str:
    """The tag of an image, or the beginning of its digest; ``latest`` when it has neither."""
    last = image.rsplit("/", 1)[-1]
    if "@" in last:
        return last.rpartition("@")[2][:19]
    return last.partition(":")[2] or "latest"


def environment(spec: AadaLmsSpec, lms: str, component: Component) -> list[Object]:
    """Variables of a component; what the component says itself wins over the rest."""
    variables: dict[str, Object] = {}
    if component.role == "api":
        source = spec.database.app_secret(lms)
        variables |= {name: from_secret(name, source, key) for name, key in spec.database.env.items()}
        variables |= {s.name: from_secret(s.name, s.secret_ref.name, s.secret_ref.key) for s in spec.secrets}
        if spec.database.ca_secret_ref:
            variables["PGSSLROOTCERT"] = {"name": "PGSSLROOTCERT", "value": f"{CA_FOLDER}/{CA_FILE}"}
    for variable in component.env:
        variables[variable.name] = variable.model_dump(by_alias=True, exclude_none=True)
    return list(variables.values())


def from_secret(variable: str, secret: str, key: str) -> Object:
    """A variable with a value of a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def needs(spec: AadaLmsSpec, lms: str, component: Component) -> list[SecretNeed]:
    """The Secrets that a component refers to and cannot start without, each once, in the order of the spec."""
    found = [_variable_need(variable) for variable in environment(spec, lms, component)]
    found += [_source_need(source) for source in component.env_from]
    ca = spec.database.ca_secret_ref
    if component.role == "api" and ca:
        found.append(SecretNeed(ca.name, ca.key))
    return list(dict.fromkeys(need for need in found if need))


def secret_reference(variable: Object) -> dict[str, Any]:
    """The key of a Secret that a variable comes from; empty for another source."""
    return _mapping(_mapping(variable.get("valueFrom")).get("secretKeyRef"))


def _variable_need(variable: Object) -> SecretNeed | None:
    reference = secret_reference(variable)
    wanted = reference.get("name") and reference.get("key") and not reference.get("optional")
    return SecretNeed(str(reference["name"]), str(reference["key"])) if wanted else None


def _source_need(source: Object) -> SecretNeed | None:
    reference = _mapping(source.get("secretRef"))
    return SecretNeed(str(reference["name"]), "") if reference.get("name") and not reference.get("optional") else None


def _mapping(value: Any) -> dict[str, Any]:
    """A free-form part of the spec, which may be anything."""
    return value if isinstance(value, dict) else {}


def container(spec: AadaLmsSpec, lms: str, component: Component) -> Object:
    """The container that serves and migrations share; lists that are empty are left out, so that images decide."""
    mounts = [mount for _, mount in _volumes(spec, component)]
    parts: Object = {
        "name": component.name,
        "image": image_of(spec, component),
        "imagePullPolicy": component.image_pull_policy,
        "env": environment(spec, lms, component),
        "envFrom": component.env_from,
        "resources": component.resources,
        "volumeMounts": mounts,
    }
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {name: value for name, value in parts.items() if value} | {"securityContext": security}


def pod_spec(spec: AadaLmsSpec, component: Component, containers: list[Object]) -> Object:
    """A pod that passes Pod Security ``restricted`` and has no token for the API."""
    base: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": containers,
    }
    volumes = [volume for volume, _ in _volumes(spec, component)]
    return base | ({"volumes": volumes} if volumes else {})


def _volumes(spec: AadaLmsSpec, component: Component) -> list[tuple[Object, Object]]:
    """Volumes of an api component, each with its mount."""
    found: list[tuple[Object, Object]] = []
    if component.role != "api":
        return found
    if uploads := spec.storage.uploads:
        claim = {"name": "uploads", "persistentVolumeClaim": {"claimName": uploads.claim_name}}
        found.append((claim, {"name": "uploads", "mountPath": uploads.mount_path}))
    if ca := spec.database.ca_secret_ref:
        source = {"secretName": ca.name, "items": [{"key": ca.key, "path": CA_FILE}]}
        mount = {"name": "database-ca", "mountPath": CA_FOLDER, "readOnly": True}
        found.append(({"name": "database-ca", "secret": source}, mount))
    return found
