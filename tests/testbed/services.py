"""The servers that tests and the demo need inside the cluster: PostgreSQL, S3 and, where load is followed, metrics."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import boto3

from tests.testbed import programs
from tests.testbed.catalogue import metrics_server, pooler, postgres_server, s3_server, secrets_manager
from tests.testbed.cluster import Cluster
from tests.testbed.layout import TESTBED, Layout
from tests.testbed.shell import wait_until
from tests.testbed.versions import METRICS_SERVER, VERSITYGW

MANIFESTS = TESTBED / "manifests"
DATABASE_SECRET = "db-admin"
S3_SECRET = "s3-credentials"
STORE_PORT = 5000
READY_TIMEOUT = "--timeout=120s"
METRICS_NAMESPACE = "kube-system"
METRICS = f"deployment/{METRICS_SERVER.name}"
USE_OF_NODES = "/apis/metrics.k8s.io/v1beta1/nodes"


@dataclass(frozen=True)
class PostgresServer:
    """How pods reach the server; `password` is not shown."""

    namespace: str
    credentials: Mapping[str, str]
    port: int = 5432

    @property
    def host(self) -> str:
        return f"postgres.{self.namespace}.svc.cluster.local"

    def __repr__(self) -> str:
        return f"PostgresServer({self.host}:{self.port})"


@dataclass(frozen=True)
class S3Server:
    """How pods reach the server; the secret key is not shown."""

    namespace: str
    credentials: Mapping[str, str]
    port: int = 7070

    @property
    def endpoint(self) -> str:
        return f"http://s3.{self.namespace}.svc.cluster.local:{self.port}"

    def __repr__(self) -> str:
        return f"S3Server({self.endpoint})"


def install_postgres(cluster: Cluster, namespace: str) -> PostgresServer:
    """Install PostgreSQL 15, or find it installed; returns when it accepts connections.

    The Secret `db-admin` holds `username` and `password`, made at random the first time.
    """
    cluster.ensure_image(postgres_server())
    wanted = {"username": "postgres", "password": secrets.token_urlsafe(24)}
    credentials = ensure_secret(cluster, namespace, DATABASE_SECRET, wanted)
    _install(cluster, namespace, "postgres.yaml", "statefulset/postgres")
    return PostgresServer(namespace, credentials)


def install_s3(cluster: Cluster, namespace: str) -> S3Server:
    """Install the S3 server, or find it installed; returns when it answers.

    The Secret `s3-credentials` holds `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, made at random the first time.
    """
    programs.build_programs(Layout.current(), [VERSITYGW])
    cluster.ensure_image(s3_server(Layout.current()))
    wanted = {"AWS_ACCESS_KEY_ID": secrets.token_hex(10), "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30)}
    credentials = ensure_secret(cluster, namespace, S3_SECRET, wanted)
    _install(cluster, namespace, "s3.yaml", "deployment/s3")
    return S3Server(namespace, credentials)


def install_metrics(cluster: Cluster) -> None:
    """Install metrics-server for the whole cluster, or find it installed; returns when it knows the use of the node.

    Only for tests that follow load: without it autoscalers hold the size within their bounds.
    """
    programs.build_programs(Layout.current(), [METRICS_SERVER])
    cluster.ensure_image(metrics_server(Layout.current()))
    _install(cluster, METRICS_NAMESPACE, "metrics-server.yaml", METRICS)
    wait_until(lambda: metrics_known(cluster), "metrics-server to know the use of the node", 120)


def metrics_known(cluster: Cluster) -> bool:
    """Whether the cluster's API answers how much the node uses."""
    try:
        return bool(json.loads(cluster.kubectl("get", "--raw", USE_OF_NODES, stderr=subprocess.DEVNULL))["items"])
    except subprocess.CalledProcessError:
        return False


def remove_metrics(cluster: Cluster) -> None:
    """Remove what `install_metrics` installed; fine where nothing is."""
    manifest = str(MANIFESTS / "metrics-server.yaml")
    cluster.kubectl("delete", "--ignore-not-found", f"--namespace={METRICS_NAMESPACE}", f"--filename={manifest}")


def install_pgbouncer(cluster: Cluster, namespace: str, files: Mapping[str, str]) -> None:
    """Install PgBouncer with its ``pgbouncer.ini``, for port 6432, and ``users.txt``; returns when it answers.

    Pods reach it as `pgbouncer`, port 5432.
    """
    cluster.ensure_image(pooler())
    ensure_secret(cluster, namespace, "pgbouncer", files)
    _install(cluster, namespace, "pgbouncer.yaml", "deployment/pgbouncer")


def install_secrets_manager(cluster: Cluster, namespace: str) -> str:
    """Install a server that answers as AWS Secrets Manager does; returns its address for pods, once it answers."""
    cluster.ensure_image(secrets_manager())
    _install(cluster, namespace, "secrets-manager.yaml", "deployment/secrets-manager")
    return f"http://secrets-manager.{namespace}.svc.cluster.local:{STORE_PORT}"


def make_bucket(
    cluster: Cluster, server: S3Server, bucket: str, *, versioning: bool = False, object_lock: bool = False
) -> None:
    """Create a bucket, or find it created; object lock brings versioning. Raises botocore's ClientError."""
    with cluster.port_forward("service/s3", server.port, f"--namespace={server.namespace}") as port:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id=server.credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=server.credentials["AWS_SECRET_ACCESS_KEY"],
        )
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=object_lock)
        if versioning and not object_lock:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def ensure_secret(cluster: Cluster, namespace: str, name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Create a Secret with these values unless there is one; returns what it holds."""
    options = (f"--namespace={namespace}", "--ignore-not-found", "--output=json")
    if found := cluster.kubectl("get", "secret", name, *options):
        return {key: base64.b64decode(value).decode() for key, value in json.loads(found)["data"].items()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": dict(values),
    }
    cluster.apply(json.dumps(secret))
    return dict(values)


def _install(cluster: Cluster, namespace: str, manifest: str, workload: str) -> None:
    cluster.apply((MANIFESTS / manifest).read_text(), namespace)
    cluster.kubectl("rollout", "status", workload, f"--namespace={namespace}", READY_TIMEOUT)
