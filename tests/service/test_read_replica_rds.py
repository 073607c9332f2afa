"""A read replica that is made through Amazon RDS (moto's server), with a real standby behind its address."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from aada_operator.adapters import rds
from aada_operator.core.resources import AADA_LMS, ENDPOINT_SLICES
from tests.service.lms_world import KEY
from tests.service.read_world import School, dropped
from tests.service.servers import PostgresServer, Standby, free_port
from tests.unit.backups.api_server import Crash

NAME = "aada-read"


class Aws:
    """RDS as its console shows it; ``stop`` takes it away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.start()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")).close()
        self.client: Any = boto3.client("rds", region_name="us-east-1", endpoint_url=self.endpoint,
                                        aws_access_key_id="key", aws_secret_access_key="secret")  # fmt: skip
        self.client.create_db_instance(DBInstanceIdentifier="aada", DBInstanceClass="db.m6g.large", Engine="postgres",
                                       AllocatedStorage=20)  # fmt: skip

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def replicas(self) -> list[str]:
        found = self.client.describe_db_instances()["DBInstances"]
        return sorted(one["DBInstanceIdentifier"] for one in found if one["DBInstanceIdentifier"] != "aada")

    def make(self, name: str) -> None:
        """Somebody makes a replica by hand."""
        self.client.create_db_instance_read_replica(DBInstanceIdentifier=name, SourceDBInstanceIdentifier="aada")


@pytest.fixture
def aws(standby: Standby, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """What RDS says of an address leads to the standby."""
    described = rds.instance

    def led(answer: dict[str, Any]) -> rds.Instance:
        found = described(answer)
        return rds.Instance(found.status, found.host and standby.host, standby.port, found.made_for)

    monkeypatch.setattr(rds, "instance", led)
    found = Aws()
    yield found
    found.stop()


@pytest.fixture
async def school(primary: PostgresServer, standby: Standby, aws: Aws) -> AsyncIterator[School]:
    """An AadaLms that is ready, and declares no replica yet."""
    made = School(primary, standby)
    made.server.secret("aws", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
    made.create()
    await made.ready()
    yield made
    dropped(made)


def declare(school: School, aws: Aws, **patch: Any) -> None:
    """The replica is to be made, and to go when it is not wanted."""
    spec = {"identifier": NAME, "sourceIdentifier": "aada", "instanceClass": "db.t4g.medium", "endpoint": aws.endpoint,
            "credentialsSecretRef": {"name": "aws"}, "deletionPolicy": "Delete"}  # fmt: skip
    school.declare(readReplica={"rds": spec | patch})


async def test_a_replica_is_made_once_and_read_from(school: School, aws: Aws) -> None:
    declare(school, aws)
    await school.until("Unknown ReplicaCreating")
    assert school.port == school.postgres.port
    await school.until("True ReadsFromReplica")
    assert school.port == school.standby.port
    (made,) = aws.client.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"]
    assert (made["DBInstanceClass"], made["ReadReplicaSourceDBInstanceIdentifier"]) == ("db.t4g.medium", "aada")
    aws.stop()
    for _ in range(3):
        assert await school.look() == "True ReadsFromReplica", "nobody asks RDS while all is well"


async def test_a_replica_that_is_not_ready_is_told_with_its_status(
    school: School, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rds, "instance", lambda _: rds.Instance("backing-up", "", 0, ""))
    aws.make(NAME)
    declare(school, aws)
    await school.until("Unknown ReplicaCreating")
    await school.look()
    assert "backing-up" in school.message("ReadReplicaReady")
    assert school.port == school.postgres.port


async def test_a_replica_goes_when_it_is_not_declared_any_more_and_reads_leave_it_before(
    school: School, aws: Aws
) -> None:
    declare(school, aws)
    await school.until("True ReadsFromReplica")
    school.declare(readReplica=None)
    assert await school.look() == "Unknown NoReplica"
    assert (aws.replicas(), school.port) == ([], school.postgres.port)
    assert not school.lms["metadata"].get("finalizers")


async def test_another_identifier_is_another_replica_and_the_first_one_goes(school: School, aws: Aws) -> None:
    declare(school, aws)
    await school.until("True ReadsFromReplica")
    declare(school, aws, identifier="aada-read-2")
    await school.until("Unknown ReplicaCreating")
    await school.look(61)
    await school.until("True ReadsFromReplica")
    assert aws.replicas() == ["aada-read-2"]


async def test_it_goes_with_the_lms_which_waits_until_rds_was_told(school: School, aws: Aws) -> None:
    declare(school, aws)
    await school.until("True ReadsFromReplica")
    aws.stop()
    school.server.remove(AADA_LMS, "aada")
    await school.visit()
    assert school.condition("Ready") == "False RdsUnreachable"
    aws.start()
    assert aws.replicas() == [NAME]
    await school.visit()
    assert (school.server.names(AADA_LMS), aws.replicas()) == ([], [])


async def test_none_is_left_when_another_one_was_declared_just_before_the_deletion(school: School, aws: Aws) -> None:
    declare(school, aws)
    await school.until("True ReadsFromReplica")
    declare(school, aws, identifier="aada-read-2")
    school.server.remove(AADA_LMS, "aada")
    await school.visit()
    assert (school.server.names(AADA_LMS), aws.replicas()) == ([], [])


@pytest.mark.parametrize("way", ["Retain", "by hand"])
@pytest.mark.parametrize("end", ["deletion", "taken out"])
async def test_a_replica_stays_that_is_to_stay_or_that_somebody_else_made(
    school: School, aws: Aws, way: str, end: str
) -> None:
    if way == "by hand":
        aws.make(NAME)
    declare(school, aws, deletionPolicy="Retain" if way == "Retain" else "Delete")
    await school.until("True ReadsFromReplica")
    if end == "taken out":
        school.declare(readReplica=None)
        assert await school.look() == "Unknown NoReplica"
    else:
        school.server.remove(AADA_LMS, "aada")
        await school.controller.visit(KEY)
        assert school.server.names(AADA_LMS) == []
    assert aws.replicas() == [NAME]


async def test_a_replica_that_somebody_deleted_is_made_again(school: School, aws: Aws, standby: Standby) -> None:
    declare(school, aws)
    await school.until("True ReadsFromReplica")
    aws.client.delete_db_instance(DBInstanceIdentifier=NAME, SkipFinalSnapshot=True)
    standby.stop("immediate")
    try:
        assert await school.look() == "False ReplicaUnreachable"
        assert await school.look() == "Unknown ReplicaCreating"
        assert aws.replicas() == [NAME]
    finally:
        standby.start()


@pytest.mark.parametrize(
    ("patch", "reason", "field"),
    [
        ({"sourceIdentifier": "no-such"}, "RdsSourceMissing", "rds.sourceIdentifier"),
        ({"credentialsSecretRef": {"name": "no-such"}}, "SecretMissing", "no-such"),
        ({"endpoint": "http://127.0.0.1:9"}, "RdsUnreachable", "RDS at"),
    ],
)
async def test_what_is_wrong_is_told_and_reads_go_to_the_primary(
    school: School, aws: Aws, patch: dict[str, Any], reason: str, field: str
) -> None:
    declare(school, aws, **patch)
    await school.until(f"False {reason}")
    assert field in school.message("ReadReplicaReady")
    assert school.port == school.postgres.port
    assert school.condition("Ready") == "True Ready"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_leaves_no_replica_that_nobody_knows(school: School, aws: Aws, moment: str) -> None:
    for number in range(4):
        setattr(school.server, f"crash_{moment}", len(school.server.writes) + number)
        declare(school, aws)
        await _past_a_kill(school, "True ReadsFromReplica")
        assert aws.replicas() == [NAME]
        setattr(school.server, f"crash_{moment}", len(school.server.writes) + number)
        school.declare(readReplica=None)
        await _past_a_kill(school, "Unknown NoReplica")
        await school.look()
        assert aws.replicas() == []
        assert (
            "lms.aada.edu/rds-replica"
            not in school.server.read(ENDPOINT_SLICES, "aada-db-read")["metadata"]["annotations"]
        )
        school.clock.advance(minutes=2)


async def _past_a_kill(school: School, said: str) -> None:
    for _ in range(10):
        try:
            if await school.look() == said:
                return
        except Crash:
            school.restart()
    raise AssertionError(f"still {school.condition('ReadReplicaReady')}: {school.message('ReadReplicaReady')}")
