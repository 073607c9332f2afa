"""All kinds in one place, and how their models become CustomResourceDefinitions."""

import copy
from dataclasses import dataclass
from typing import Any

import yaml

from aada_operator.api import backup, backup_policy, lms, restore, rotation, scaling
from aada_operator.api.common import API_VERSION, GROUP, VERSION, Column, CommonStatus, Model, Resource


@dataclass(frozen=True)
class Kind:
    """A resource with the models of its spec and status."""

    resource: Resource
    spec: type[Model]
    status: type[CommonStatus]


KINDS: tuple[Kind, ...] = (
    Kind(lms.AADA_LMS, lms.AadaLmsSpec, lms.AadaLmsStatus),
    Kind(backup_policy.BACKUP_POLICY, backup_policy.BackupPolicySpec, backup_policy.BackupPolicyStatus),
    Kind(backup.BACKUP, backup.BackupSpec, backup.BackupStatus),
    Kind(restore.RESTORE, restore.RestoreSpec, restore.RestoreStatus),
    Kind(rotation.SECRET_ROTATION, rotation.SecretRotationSpec, rotation.SecretRotationStatus),
    Kind(scaling.SCALING_POLICY, scaling.ScalingPolicySpec, scaling.ScalingPolicyStatus),
)

# What the API server's structural schemas refuse or what is of no use there.
_DROPPED = ("title", "additionalProperties", "patternProperties", "propertyNames", "discriminator", "uniqueItems")


def documents() -> dict[str, str]:
    """The CustomResourceDefinitions as YAML, by the name of their file."""
    return {f"{kind.resource.plural}.yaml": _yaml(crd(kind)) for kind in KINDS}


def _yaml(document: object) -> str:
    class Plain(yaml.SafeDumper):
        """Without anchors: a schema that stands twice is written twice."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            return True

    return yaml.dump(document, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as a dict in the order in which people read it."""
    resource = kind.resource
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(resource.short_names),
                "categories": ["aada"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.priority:
        shown["priority"] = column.priority
    if column.description:
        shown["description"] = column.description
    return shown


def _root_schema(kind: Kind) -> dict[str, Any]:
    resource = kind.resource
    spec = structural_schema(kind.spec)
    if resource.immutable:
        spec.setdefault("x-kubernetes-validations", []).append(
            {"rule": "self == oldSelf", "message": f"a {resource.kind}'s spec is immutable: create another one"}
        )
    name_rule = {
        "rule": f"size(self.metadata.name) <= {resource.max_name}",
        "message": f"metadata.name of {resource.kind}: at most {resource.max_name} characters",
    }
    return {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {resource.kind}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural_schema(kind.status),
        },
        "x-kubernetes-validations": [name_rule],
    }


def structural_schema(model: type[Model] | type[CommonStatus]) -> dict[str, Any]:
    """The model's JSON schema in the dialect of the API server: no references, nullable instead of anyOf."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    definitions = schema.pop("$defs", {})
    converted: dict[str, Any] = _convert(schema, definitions)
    return converted


def _convert(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_convert(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = _resolved(_without_union(_resolved(node, definitions)), definitions)
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return {key: value for key, value in node.items() if key not in (*_DROPPED, "properties", "default")}
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if "properties" in result:
        result["properties"] = {
            name: _convert(child, definitions) for name, child in sorted(result["properties"].items())
        }
    elif values := _value_schema(node):
        result["additionalProperties"] = _convert(values, definitions)
    if "items" in result:
        result["items"] = _convert(result["items"], definitions)
    if "maxLength" not in result and "enum" in result and result.get("type") == "string":
        result["maxLength"] = max(len(value) for value in result["enum"])
    return _without_empty_defaults(result)


def _value_schema(node: dict[str, Any]) -> dict[str, Any] | None:
    """Schema of a map's values; the server knows no patterns for keys, those are checked at the first reconcile."""
    if patterns := node.get("patternProperties"):
        (schema,) = patterns.values()
        return dict(schema)
    values = node.get("additionalProperties")
    return values if isinstance(values, dict) else None


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The node with its reference put in; what stands beside the reference wins."""
    node = copy.deepcopy(node)
    if "$ref" in node:
        target = definitions[node.pop("$ref").rsplit("/", 1)[-1]]
        node = _resolved(target, definitions) | node
    if "const" in node:
        node["enum"] = [node.pop("const")]
    return node


def _without_union(node: dict[str, Any]) -> dict[str, Any]:
    """``X or None`` as X that may be null; descriptions of the field win over those of its type."""
    options = node.pop("anyOf", None)
    if options is None:
        return node
    (chosen,) = [option for option in options if option.get("type") != "null"]
    merged: dict[str, Any] = chosen | node
    merged["nullable"] = True
    return merged


def _without_empty_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """Defaults stay at the leaves, where they say something: an empty list or object is the same as none."""
    if node.get("default") in ({}, [], None, "") or "properties" in node:
        node.pop("default", None)
    return node
