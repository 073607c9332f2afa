"""Servers that all service tests share; each test gets a database and a bucket of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.service.rotation_world import RotationWorld, drop
from tests.service.scaling_world import COMPONENT, ScalingWorld
from tests.service.servers import PostgresServer, S3Server, Standby, in_memory
from tests.service.worker_harness import Job


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL of this session; a test that stops it starts it again."""
    with PostgresServer(in_memory()) as server:
        yield server


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """A PostgreSQL of a module's own, which a standby follows."""
    with PostgresServer(in_memory()) as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[Standby]:
    """A streaming replica of it."""
    with Standby(primary, in_memory()) as server:
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


@pytest.fixture
def job(postgres: PostgresServer, s3: S3Server, bucket: str) -> Iterator[Job]:
    """What a worker finds in its Job: Secrets, scratch space, a bucket of its own."""
    with Job(postgres, s3, bucket, in_memory()) as surroundings:
        yield surroundings


@pytest.fixture(scope="session")
def small(postgres: PostgresServer) -> str:
    """A database of a few rows, for everything in which content does not matter."""
    name = postgres.createdb()
    postgres.execute("CREATE TABLE notes AS SELECT i AS id, md5(i::text) AS text FROM generate_series(1, 1000) i", name)
    return name


@pytest.fixture(scope="session")
def heavy(postgres: PostgresServer) -> str:
    """A database of 60 MB that do not compress: several parts of one upload."""
    name = postgres.createdb()
    postgres.execute(
        "CREATE EXTENSION pgcrypto; CREATE TABLE blobs (id int, data bytea);"
        "INSERT INTO blobs SELECT i, gen_random_bytes(1000) FROM generate_series(1, 60000) i",
        name,
    )
    return name


@pytest.fixture
def school(postgres: PostgresServer) -> Iterator[RotationWorld]:
    """An AadaLms to be, with a SecretRotation, and with a database name that nothing on the server has."""
    made = RotationWorld(postgres, f"lms_{os.urandom(4).hex()}")
    yield made
    drop(made)


@pytest.fixture
async def scaled(postgres: PostgresServer) -> AsyncIterator[ScalingWorld]:
    """An AadaLms that is ready, for a ScalingPolicy to be."""
    made = ScalingWorld(postgres, f"lms_{os.urandom(4).hex()}")
    made.create(components=[COMPONENT])
    await made.settle()
    yield made
    made.drop()
