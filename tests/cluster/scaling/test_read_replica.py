"""A read replica on the real cluster: pods read through a Service that is led to a real standby, and back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster import builders, release
from tests.cluster.release import Operator
from tests.cluster.servers import Database
from tests.cluster.workspace import LONG, Object, Workspace
from tests.service.servers import wait_for
from tests.testbed.catalogue import POSTGRES_SERVER
from tests.testbed.cluster import Cluster
from tests.testbed.services import DATABASE_SECRET, install_postgres

REF, REPLICA, READ_URL = "lms/aada", "postgres-read", "READ_DATABASE_URL"
READY = "ReadReplicaReady"
STANDBY, PRIMARY = "standby", "primary"
# A standby needs no more than the primary's data and its address; it has the same roles.
BOOT = """
set -eu
export PGPASSWORD="$POSTGRES_PASSWORD"
pg_basebackup --host=postgres --username="$POSTGRES_USER" --pgdata="$PGDATA" --write-recovery-conf --checkpoint=fast
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200
"""
ASK = (
    "import os, sqlalchemy as s; e = s.create_engine(os.environ['READ_DATABASE_URL']); "
    "print(e.connect().execute(s.text('SELECT pg_is_in_recovery()')).scalar() and 'standby' or 'primary')"
)


def replica() -> list[Object]:
    """The standby's pod and the Service before it."""
    labels = {"app.kubernetes.io/name": REPLICA}
    login = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": DATABASE_SECRET, "key": key}}}
        for name, key in (("POSTGRES_USER", "username"), ("POSTGRES_PASSWORD", "password"))
    ]
    mounts = [{"name": "data", "mountPath": "/var/lib/postgresql/data"}, {"name": "tmp", "mountPath": "/tmp"}]
    container = {
        "name": "postgres", "image": POSTGRES_SERVER, "imagePullPolicy": "IfNotPresent", "env": login,
        "command": ["sh", "-c", BOOT], "ports": [{"name": "postgres", "containerPort": 5432}], "volumeMounts": mounts,
        "startupProbe": {"exec": {"command": ["pg_isready", "--quiet", "--host=127.0.0.1"]}, "periodSeconds": 1,
                         "timeoutSeconds": 10, "failureThreshold": 120},
        "readinessProbe": {"tcpSocket": {"port": "postgres"}, "periodSeconds": 5, "timeoutSeconds": 5},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    security = {
        "runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    pod = {
        "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5, "securityContext": security,
        "containers": [container], "volumes": [{"name": mount["name"], "emptyDir": {}} for mount in mounts],
    }  # fmt: skip
    template = {"metadata": {"labels": labels}, "spec": pod}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template,
                  "strategy": {"type": "Recreate"}}  # fmt: skip
    ports = [{"name": "sql", "port": 5432, "targetPort": "postgres"}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": REPLICA}, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": REPLICA},
         "spec": {"selector": labels, "ports": ports}},
    ]  # fmt: skip


class School:
    """A namespace with an AadaLms that reads from a replica."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.workspace, self.database = workspace, database

    def declare(self, read_replica: Object | None) -> None:
        """The AadaLms with a replica, or without."""
        body = builders.aada_lms(host=self.database.host)
        body["spec"]["database"] |= {"env": {"DATABASE_URL": "url", READ_URL: READ_URL}}
        body["spec"]["database"] |= {"readReplica": read_replica} if read_replica else {}
        self.workspace.apply(body)

    def reads_from(self, server: str) -> None:
        """Wait until a pod of the application finds this kind of server behind its URL."""
        argv = ("exec", "deployment/aada-backend", "--", "python", "-c", ASK)
        wait_for(lambda: self.workspace.kubectl(*argv).strip() == server, f"reads from the {server}", LONG)

    def sql_on_replica(self, statement: str) -> None:
        psql = ["psql", "--host=/tmp", f"--username={self.database.server.credentials['username']}"]
        self.workspace.kubectl("exec", f"deployment/{REPLICA}", "--", *psql, "--dbname=postgres", "-c", statement)

    def says(self, reason: str) -> None:
        self.workspace.says(REF, READY, reason, timeout=LONG)

    def pods(self) -> set[str]:
        found = self.workspace.items("pods", "lms.aada.edu/component=backend")
        return {pod["metadata"]["uid"] for pod in found if "deletionTimestamp" not in pod["metadata"]}


@pytest.fixture(scope="module")
def school(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[School]:
    name = f"reads-{secrets.token_hex(3)}"
    release.ensure_namespace(cluster, name)
    workspace = Workspace(cluster, name)
    keys = {key: secrets.token_urlsafe(32) for key in ("JWT_SECRET_KEY", "ENCRYPTION_KEY")}
    workspace.secret(builders.LMS_SECRET, **keys)
    made = School(workspace, Database(workspace, install_postgres(cluster, name)))
    workspace.apply(*replica())
    workspace.kubectl("rollout", "status", f"deployment/{REPLICA}", f"--timeout={LONG}s")
    made.declare({"host": REPLICA, "publishWhenLagBelow": "2s"})
    workspace.wait_condition(REF, "Ready", timeout=LONG)
    yield made
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_pods_read_from_the_replica(school: School) -> None:
    school.says("ReadsFromReplica")
    school.reads_from(STANDBY)


def test_reads_leave_a_replica_that_lags_and_no_pod_is_restarted(school: School) -> None:
    before = school.pods()
    school.sql_on_replica("SELECT pg_wal_replay_pause()")
    school.database.sql("CREATE TABLE work AS SELECT 1", builders.DATABASE_NAME)
    school.says("ReplicaLagging")
    school.reads_from(PRIMARY)
    school.sql_on_replica("SELECT pg_wal_replay_resume()")
    school.says("ReadsFromReplica")
    school.reads_from(STANDBY)
    assert school.pods() == before, "they keep their environment"


def test_the_operator_killed_goes_on_and_a_replica_that_is_gone_is_left(school: School, operator: Operator) -> None:
    school.workspace.kubectl("scale", f"deployment/{REPLICA}", "--replicas=0")
    operator.kill()
    school.says("ReplicaUnreachable")
    school.reads_from(PRIMARY)
    reasons = {event["reason"] for event in school.workspace.events("AadaLms/aada")}
    assert "ReplicaUnreachable" in reasons
    operator.rolled_out()


def test_somebody_who_leads_the_service_elsewhere_is_put_right(school: School) -> None:
    wrong = '{"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": true}}]}'
    school.workspace.kubectl("patch", "endpointslice/aada-db-read", "--type=merge", "--patch", wrong)
    school.workspace.wait_for(
        "endpointslice/aada-db-read", lambda body: body["endpoints"][0]["addresses"] != ["192.0.2.1"], LONG
    )
    school.reads_from(PRIMARY)


def test_a_replica_that_is_not_declared_any_more_leaves_the_url_working(school: School) -> None:
    school.declare(None)
    school.says("NoReplica")
    school.reads_from(PRIMARY)


def test_a_replica_in_rds_that_is_to_go_holds_the_lms_until_rds_was_told_or_it_may_stay(school: School) -> None:
    """RDS does not answer here: nobody is cut off from the database by that, and nothing is left behind unnoticed."""
    school.workspace.secret("aws", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
    rds = {
        "identifier": "aada-read", "sourceIdentifier": "aada", "instanceClass": "db.t4g.medium",
        "endpoint": "http://postgres:9", "credentialsSecretRef": {"name": "aws"}, "deletionPolicy": "Delete",
    }  # fmt: skip
    school.declare({"rds": rds})
    school.says("RdsUnreachable")
    school.reads_from(PRIMARY)
    school.workspace.delete(REF, wait=False)
    school.workspace.says(REF, "Ready", "RdsUnreachable", timeout=LONG)
    school.workspace.patch(REF, database={"readReplica": {"rds": rds | {"deletionPolicy": "Retain"}}})
    school.workspace.wait_gone(REF)
