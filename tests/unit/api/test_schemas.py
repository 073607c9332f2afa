"""The generated definitions hold what a real API server demands of them, and bound whatever a user can write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from aada_operator.api.common import API_VERSION, FREE_FORM, GROUP
from aada_operator.api.registry import KINDS, Kind, crd, structural_schema

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
# JSON schema that a structural schema cannot have.
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "uniqueItems", "patternProperties"}


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield from nodes(schema[inner], f"{path}[]")


def everything(kind: Kind) -> list[tuple[str, dict[str, Any]]]:
    return [*nodes(structural_schema(kind.spec), "spec"), *nodes(structural_schema(kind.status), "status")]


def is_free(schema: dict[str, Any]) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def offenders(kind: Kind, wrong: Any) -> list[str]:
    return [path for path, schema in everything(kind) if wrong(schema)]


@EVERY_KIND
def test_is_structural(kind: Kind) -> None:
    assert offenders(kind, lambda schema: FORBIDDEN & schema.keys()) == []
    assert offenders(kind, lambda schema: "type" not in schema) == []
    assert offenders(kind, lambda schema: "properties" in schema and "additionalProperties" in schema) == []
    assert offenders(kind, lambda schema: schema.get("additionalProperties") is False) == []


@EVERY_KIND
def test_every_field_has_a_description(kind: Kind) -> None:
    silent = [
        f"{path}.{name}"
        for path, schema in everything(kind)
        for name, child in schema.get("properties", {}).items()
        if not child.get("description", "").strip()
    ]
    assert silent == []


@EVERY_KIND
def test_every_string_list_and_map_is_bounded(kind: Kind) -> None:
    assert offenders(kind, lambda s: s["type"] == "string" and "maxLength" not in s) == []
    assert offenders(kind, lambda s: s["type"] == "array" and "maxItems" not in s) == []
    assert offenders(kind, lambda s: "additionalProperties" in s and "maxProperties" not in s) == []


@EVERY_KIND
def test_every_number_that_a_user_writes_is_bounded(kind: Kind) -> None:
    unbounded = [
        path
        for path, schema in nodes(structural_schema(kind.spec), "spec")
        if schema["type"] in ("integer", "number") and not {"minimum", "maximum"} <= schema.keys()
    ]
    assert unbounded == []


@EVERY_KIND
def test_only_what_belongs_to_the_pod_is_free_form(kind: Kind) -> None:
    free = {path.rpartition(".")[2].removesuffix("[]") for path in offenders(kind, is_free)}
    assert free <= {"podTemplate", "resources", "envFrom", "valueFrom"}
    assert all(FREE_FORM.items() <= schema.items() for _, schema in everything(kind) if is_free(schema))


@EVERY_KIND
def test_defaults_obey_their_own_schema(kind: Kind) -> None:
    for _, schema in everything(kind):
        if "default" in schema:
            jsonschema.validate(schema["default"], schema)


@EVERY_KIND
def test_lists_by_name_demand_the_name(kind: Kind) -> None:
    for path, schema in everything(kind):
        for key in schema.get("x-kubernetes-list-map-keys", []):
            item = schema["items"]
            assert key in item.get("required", []) or "default" in item["properties"][key], path


@EVERY_KIND
def test_conditions_are_a_map_by_type(kind: Kind) -> None:
    conditions = structural_schema(kind.status)["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) >= {"type", "status", "reason", "lastTransitionTime"}
    assert conditions["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


def field(kind: str, path: str) -> dict[str, Any]:
    """The schema of one field of a spec."""
    (model,) = (k.spec for k in KINDS if k.resource.kind == kind)
    return next(schema for found, schema in nodes(structural_schema(model), "spec") if found == f"spec.{path}")


@pytest.mark.parametrize(
    ("kind", "path", "type_"),
    [("AadaLms", "version", "string"), ("Restore", "source.latest", "boolean"), ("BackupPolicy", "full", "object")],
)
def test_what_may_be_absent_may_be_null(kind: str, path: str, type_: str) -> None:
    schema = field(kind, path)
    assert (schema["type"], schema["nullable"]) == (type_, True)
    assert "default" not in schema


def test_a_map_keeps_the_keys_that_a_user_writes() -> None:
    """Without a schema for its values the server would drop all of them."""
    assert field("AadaLms", "database.env")["additionalProperties"]["maxLength"] == 253


@EVERY_KIND
def test_the_definition_is_found_by_its_names(kind: Kind) -> None:
    definition = crd(kind)
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == f"{names['plural']}.{GROUP}"
    assert definition["spec"]["scope"] == "Namespaced"
    assert names["categories"] == ["aada"]
    assert f"{GROUP}/{definition['spec']['versions'][0]['name']}" == API_VERSION


def root(kind: Kind) -> Any:
    return crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


@EVERY_KIND
def test_names_leave_room_for_those_of_children(kind: Kind) -> None:
    (rule,) = root(kind)["x-kubernetes-validations"]
    assert rule["rule"] == f"size(self.metadata.name) <= {kind.resource.max_name}"
    assert kind.resource.max_name <= 52, "a Job's name is 63 at most, and has an attempt at its end"


@EVERY_KIND
def test_what_happens_once_cannot_be_changed_afterwards(kind: Kind) -> None:
    rules = [rule["rule"] for rule in root(kind)["properties"]["spec"].get("x-kubernetes-validations", [])]
    assert ("self == oldSelf" in rules) == (kind.resource.kind in ("Backup", "Restore"))


def test_a_rotation_stays_with_its_lms() -> None:
    """What it does to one of them, it could not take back at another."""
    (rule,) = field("SecretRotation", "lmsRef")["x-kubernetes-validations"]
    assert rule["rule"] == "self == oldSelf"


@EVERY_KIND
def test_columns_show_fields_that_exist(kind: Kind) -> None:
    for column in kind.resource.columns:
        schema = {"properties": root(kind)["properties"] | {"metadata": {"properties": {"creationTimestamp": {}}}}}
        for part in column.path.removeprefix(".").split("[?")[0].split("."):
            assert part in schema["properties"], f"{column.name}: {column.path}"
            schema = schema["properties"][part]


@EVERY_KIND
def test_a_column_of_ages_shows_no_future(kind: Kind) -> None:
    """kubectl shows a time to come as <invalid>."""
    dates = {column.path for column in kind.resource.columns if column.type == "date"}
    assert not dates & {".status.next", ".status.nextAttempt"}


@EVERY_KIND
def test_making_definitions_twice_makes_the_same(kind: Kind) -> None:
    assert crd(kind) == crd(kind)
