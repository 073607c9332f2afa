"""A store outside the cluster that knows a school's login, and those who read it there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from tests.cluster import load
from tests.cluster.rotations.school import DATABASE, SECRET, School
from tests.testbed.services import STORE_PORT, install_secrets_manager

NAME = "school/database"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
SERVICE = "service/secrets-manager"
LABEL = "app.kubernetes.io/name"
OTHERS = {"engine": "postgres", "dbname": DATABASE}
# The login is on standard input: an argument would be seen by others.
LOG_IN = """
import json, sys
import psycopg2
psycopg2.connect(**json.load(sys.stdin), connect_timeout=20).close()
"""


class Store:
    """AWS Secrets Manager as a school uses it; ``cut`` and ``mend`` the way there."""

    def __init__(self, school: School) -> None:
        self._school = school
        self._workspace = school.workspace
        self._endpoint = install_secrets_manager(self._workspace.cluster, self._workspace.namespace)
        with self._client() as client:
            client.create_secret(Name=NAME, SecretString=json.dumps(OTHERS | self._login_of_the_secret()))
        self._workspace.secret("aws", **KEYS)

    @property
    def spec(self) -> dict[str, Any]:
        """The field ``store`` of a SecretRotation."""
        where = {"secretId": NAME, "endpoint": self._endpoint, "credentialsSecretRef": {"name": "aws"}}
        return {"awsSecretsManager": where}

    def is_in_step(self) -> bool:
        """Whether its readers get the login of the Secret, and what else was there."""
        return self.read() == OTHERS | self._login_of_the_secret()

    def read(self) -> dict[str, str]:
        """What its readers get now."""
        with self._client() as client:
            answer = client.get_secret_value(SecretId=NAME, VersionStage="AWSCURRENT")
        found: dict[str, str] = json.loads(answer["SecretString"])
        return found

    def demand_login(self) -> None:
        """Log in as one that reads it now. Raises subprocess.CalledProcessError when the login is refused."""
        held = self.read()
        where = {"host": self._school.database.host, "dbname": held["dbname"]}
        given = json.dumps(where | {"user": held["username"], "password": held["password"]})
        self._workspace.kubectl("exec", "--stdin", load.POD, "--", "python3", "-c", LOG_IN, input=given)

    def cut(self) -> None:
        """Nobody reaches it any more; it keeps what it knows."""
        self._select("nobody")

    def mend(self) -> None:
        """It is reached again."""
        self._select("secrets-manager")

    def _select(self, name: str) -> None:
        self._workspace.patch(SERVICE, selector={LABEL: name})

    def _login_of_the_secret(self) -> dict[str, str]:
        held = self._school.values(SECRET)
        return {key: held[key] for key in ("username", "password")}

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Past the Service, which may be cut."""
        place = ("deployment/secrets-manager", STORE_PORT, f"--namespace={self._workspace.namespace}")
        with self._workspace.cluster.port_forward(*place) as port:
            yield boto3.client(
                "secretsmanager",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            )
