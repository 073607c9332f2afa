"""AWS Secrets Manager (moto's server) beside a school of the service tests."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.service.rotation_world import RotationWorld, installed
from tests.service.servers import free_port

NAME = "school/database"
OTHERS = {"engine": "postgres", "dbname": "aada"}
AWS_SECRET = "canary-of-the-store"


class Store:
    """The secret as its readers see it; ``stop`` takes the server away."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.start()
        self.client: Any = boto3.client(
            "secretsmanager",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key=AWS_SECRET,
        )

    def start(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or each request is a line of `make show-rotation`
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def read(self) -> dict[str, str]:
        """What others read; with AWS the stage is the default, with moto it is not once it was moved."""
        answer = self.client.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
        found: dict[str, str] = json.loads(answer["SecretString"])
        return found

    def write(self, **values: str) -> None:
        """Somebody writes it by hand."""
        self.client.put_secret_value(SecretId=NAME, SecretString=json.dumps(values))

    def versions(self) -> int:
        return len(self.client.list_secret_version_ids(SecretId=NAME, IncludeDeprecated=True)["Versions"])


@contextmanager
def open_store(school: RotationWorld) -> Iterator[Store]:
    """A store that has the secret, not yet with the right login; the school has its keys."""
    found = Store(free_port())
    try:
        urllib.request.urlopen(urllib.request.Request(f"{found.endpoint}/moto-api/reset", method="POST")).close()
        found.client.create_secret(Name=NAME, SecretString=json.dumps({"username": "x", "password": "y"} | OTHERS))
        school.server.secret("aws", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY=AWS_SECRET)
        yield found
    finally:
        found.stop()


async def opened(school: RotationWorld, store: Store, **spec: Any) -> dict[str, str]:
    """An LMS with a rotation that knows the store; returns the login, which the store has, too."""
    where = {"secretId": NAME, "endpoint": store.endpoint, "credentialsSecretRef": {"name": "aws"}}
    await installed(school, store={"awsSecretsManager": where}, **spec)
    held = school.secret()
    store.write(**OTHERS, username=held["username"], password=held["password"])
    return held


def login(values: dict[str, str]) -> tuple[str, str]:
    return values["username"], values["password"]
