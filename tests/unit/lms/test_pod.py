"""Image, environment and Secrets of the pods, and the application's own Secret."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.database import Names
from aada_operator.core.resources import Object
from aada_operator.lms import app_secret, pod
from aada_operator.lms.pod import SecretNeed
from tests.unit.lms.samples import UID, owner, spec


@pytest.mark.parametrize(
    ("image", "version", "expected", "shown"),
    [
        ("registry.example/lms", "v1", "registry.example/lms:v1", "v1"),
        ("registry.example:5000/lms", "v1", "registry.example:5000/lms:v1", "v1"),
        ("registry.example:5000/lms:v9", "v1", "registry.example:5000/lms:v9", "v9"),
        ("lms@sha256:" + "a" * 64, "v1", "lms@sha256:" + "a" * 64, "sha256:" + "a" * 12),
        ("lms:v9@sha256:" + "a" * 64, "v1", "lms:v9@sha256:" + "a" * 64, "sha256:" + "a" * 12),
        ("lms", None, "lms", "latest"),
    ],
)
def test_the_images_own_tag_or_digest_wins(image: str, version: str | None, expected: str, shown: str) -> None:
    given = spec({"version": version, "components": [{"name": "backend", "image": image}]})
    assert pod.image_of(given, given.api_component()) == expected
    assert pod.version_of(expected) == shown


def env(role: str = "api", **patch: Any) -> dict[str, Object]:
    component = {"name": "x", "role": role, "image": "i"} | patch.pop("component", {})
    given = spec({"components": [component]} | patch)
    component_model = next(c for c in given.components if c.name == "x")
    return {variable["name"]: variable for variable in pod.environment(given, "aada", component_model)}


SECRETS = [{"name": "JWT_SECRET_KEY", "secretRef": {"name": "aada-jwt", "key": "current"}}]


def test_api_components_get_database_and_secrets() -> None:
    found = env(secrets=SECRETS)
    assert found["DATABASE_URL"]["valueFrom"]["secretKeyRef"] == {"name": "aada-db", "key": "url"}
    assert found["JWT_SECRET_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "aada-jwt", "key": "current"}


def test_web_components_get_neither() -> None:
    assert env("web", secrets=SECRETS, component={"env": [{"name": "THEME", "value": "dark"}]}).keys() == {"THEME"}


def test_what_the_component_says_itself_wins() -> None:
    assert env(component={"env": [{"name": "DATABASE_URL", "value": "sqlite://"}]})["DATABASE_URL"] == {
        "name": "DATABASE_URL",
        "value": "sqlite://",
    }


def test_the_admins_secret_is_never_mounted() -> None:
    given = spec({"database": {"caSecretRef": {"name": "ca", "key": "tls.crt"}}, "secrets": SECRETS})
    body = pod.pod_spec(given, given.api_component(), [pod.container(given, "aada", given.api_component())])
    assert "db-admin" not in str(body)
    assert "ca.crt" in str(body)


def needs(component: Object, **patch: Any) -> list[SecretNeed]:
    given = spec({"components": [component]} | patch)
    return pod.needs(given, "aada", next(c for c in given.components if c.name == component["name"]))


def test_needs_are_all_secrets_that_a_pod_cannot_start_without() -> None:
    component = {
        "name": "backend",
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k", "optional": True}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "D", "valueFrom": {"secretKeyRef": "what?"}},
        ],
        "envFrom": [{"secretRef": {"name": "e"}}, {"secretRef": {"name": "f", "optional": True}}, {"configMapRef": {}}],
    }
    found = needs(component, secrets=SECRETS, database={"caSecretRef": {"name": "ca", "key": "tls.crt"}})
    assert found == [
        SecretNeed("aada-db", "url"),
        SecretNeed("aada-jwt", "current"),
        SecretNeed("a", "k"),
        SecretNeed("e", ""),
        SecretNeed("ca", "tls.crt"),
    ]


def test_a_web_component_needs_only_its_own() -> None:
    assert needs({"name": "learn", "role": "web", "image": "i"}, secrets=SECRETS) == []


# --- the application's Secret ---------------------------------------------------------------------------------------


def secret(password: str = "p", **database: Any) -> Object:
    given = spec({"database": database})
    return app_secret.manifest(owner(), given, Names(given.database.name), password)


def test_the_secret_outlives_its_lms() -> None:
    assert "ownerReferences" not in secret()["metadata"]
    assert app_secret.made_for(secret(), UID)
    assert not app_secret.made_for(secret(), "another")
    assert not app_secret.made_for({"metadata": {}}, UID)
    assert not app_secret.made_for(None, UID)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
def test_any_password_survives_the_url(password: str) -> None:
    parts = urlsplit(secret(password)["stringData"]["url"])
    assert unquote(parts.password or "") == password
    assert (parts.hostname, parts.port, parts.path) == ("db", 5432, "/aada_lms")


@pytest.mark.parametrize(
    ("database", "url"),
    [
        ({"sslMode": "disable"}, "postgresql+psycopg2://aada_lms_a:p@db:5432/aada_lms"),
        ({}, "postgresql+psycopg2://aada_lms_a:p@db:5432/aada_lms?sslmode=verify-full"),
        (
            {"urlScheme": "postgresql", "port": 6432, "host": "fd00::5", "name": "a$b", "sslMode": "require"},
            "postgresql://a%24b_a:p@[fd00::5]:6432/a%24b?sslmode=require",
        ),
        (
            {"pooler": {"host": "pgbouncer", "adminSecretRef": {"name": "pooler-admin"}}},
            "postgresql+psycopg2://aada_lms_a:p@pgbouncer:6432/aada_lms?sslmode=verify-full",
        ),
    ],
)
def test_the_url_says_what_the_spec_says(database: Object, url: str) -> None:
    assert secret(**database)["stringData"]["url"] == url


def test_behind_a_pooler_the_secret_leads_there() -> None:
    held = secret(pooler={"host": "pgbouncer", "port": 6433, "adminSecretRef": {"name": "pooler-admin"}})["stringData"]
    assert (held["host"], held["port"], held["name"]) == ("pgbouncer", "6433", "aada_lms")


def test_role_names_fit_what_postgresql_keeps() -> None:
    longest = spec({"database": {"name": "d" * 57}})
    assert len(Names(longest.database.name).owner) == 63
    with pytest.raises(ValueError, match="57"):
        spec({"database": {"name": "d" * 58}})
