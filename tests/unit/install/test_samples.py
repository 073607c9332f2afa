"""The samples are valid by the models, and those that claim to show every field do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from aada_operator.api.common import API_VERSION, Model
from aada_operator.api.registry import KINDS, structural_schema
from tests.testbed.layout import CHECKOUT

SAMPLES = CHECKOUT / "manifests" / "samples"
MODELS: dict[str, type[Model]] = {kind.resource.kind: kind.spec for kind in KINDS}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(SAMPLES.iterdir()):
        yield from ((path.name, body) for body in yaml.safe_load_all(path.read_text()))


CUSTOM_RESOURCES = [(file, body) for file, body in documents() if body["apiVersion"] == API_VERSION]


@pytest.mark.parametrize(("file", "body"), CUSTOM_RESOURCES, ids=[file for file, _ in CUSTOM_RESOURCES])
def test_a_sample_is_valid(file: str, body: dict[str, Any]) -> None:
    MODELS[body["kind"]].model_validate(body["spec"])


def test_every_kind_has_a_sample() -> None:
    assert {body["kind"] for _, body in CUSTOM_RESOURCES} == MODELS.keys()


def test_samples_can_be_applied_together() -> None:
    """Otherwise the last of two objects of one name would win."""
    names = [(body["kind"], body["metadata"]["name"]) for _, body in documents()]
    assert len(set(names)) == len(names)


def test_every_credential_that_a_sample_names_is_in_the_secrets() -> None:
    made = {body["metadata"]["name"]: set(body["stringData"]) for _, body in documents() if body["kind"] == "Secret"}
    minimal = next(body for file, body in CUSTOM_RESOURCES if file == "lms-minimal.yaml")
    policy = next(body for file, body in CUSTOM_RESOURCES if file == "backuppolicy.yaml")
    assert made[minimal["spec"]["database"]["adminSecretRef"]["name"]] == {"username", "password"}
    storages = [place["s3"]["credentialsSecretRef"]["name"] for place in policy["spec"]["storage"]]
    assert [made[name] for name in storages] == [{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}] * 2
    identity = policy["spec"]["encryption"]["verificationIdentitySecretRef"]
    assert identity["key"] in made[identity["name"]]


@pytest.mark.parametrize("file", ["lms-full.yaml", "backuppolicy.yaml", "secretrotation.yaml", "scalingpolicy.yaml"])
def test_a_full_sample_shows_every_field(file: str) -> None:
    bodies = [body for name, body in CUSTOM_RESOURCES if name == file]
    schema = structural_schema(MODELS[bodies[0]["kind"]])
    told = {field for body in bodies for field in shown(body["spec"], schema)}
    missing = sorted(set(fields(schema)) - told)
    assert [field for field in missing if field not in excluded(file)] == []


def excluded(file: str) -> set[str]:
    """Fields that another one of the sample excludes: such a field is shown in a comment, with a value."""
    return {f".{name}" for name in re.findall(r"^  # (\w+): \S+$", (SAMPLES / file).read_text(), re.MULTILINE)}


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of all fields, without list positions."""
    if schema.get("type") == "array":
        yield from fields(schema["items"], path)
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(child, f"{path}.{name}")


def shown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of the fields that a sample gives a value."""
    if isinstance(value, list):
        for item in value:
            yield from shown(item, schema.get("items", {}), path)
    elif isinstance(value, dict):
        for name, child in value.items():
            yield f"{path}.{name}"
            yield from shown(child, schema.get("properties", {}).get(name, {}), f"{path}.{name}")
