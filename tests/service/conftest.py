"""Servers that all service tests share; each test gets a database and a bucket of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.servers import PostgresServer, S3Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL of this session; a test that stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The S3 server of this session; a test that stops it starts it again."""
    with S3Server() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Name of an empty database."""
    name = postgres.createdb()
    yield name
    postgres.dropdb(name)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """Name of an empty bucket."""
    return s3.make_bucket()
