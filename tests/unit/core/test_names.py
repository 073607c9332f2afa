"""A short host name means the Service beside the resource, as the application would understand it."""

import pytest

from aada_operator.core.names import qualified, qualified_url


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("postgres", "postgres.school.svc"),
        ("postgres.data", "postgres.data"),
        ("db.example.edu", "db.example.edu"),
        ("10.1.2.3", "10.1.2.3"),
        ("fd00::1", "fd00::1"),
        ("localhost", "localhost"),
    ],
)
def test_a_short_name_is_a_service_of_the_resource_s_namespace(host: str, seen: str) -> None:
    assert qualified(host, "school") == seen


def test_without_a_namespace_names_stay() -> None:
    assert qualified("postgres", "") == "postgres"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://s3:7070", "http://s3.school.svc:7070"),
        ("https://s3.eu.example.edu", "https://s3.eu.example.edu"),
        ("http://[fd00::1]:9000", "http://[fd00::1]:9000"),
    ],
)
def test_an_endpoint_keeps_its_scheme_and_port(url: str, seen: str) -> None:
    assert qualified_url(url, "school") == seen
