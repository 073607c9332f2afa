"""An AadaLms that reads from a real streaming replica: when it does, when it does not, and who has to know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aada_operator.core.resources import AADA_LMS, SECRETS, SERVICES
from tests.service.lms_world import KEY, LMS
from tests.service.read_world import READ_URL, SERVICE, School, dropped
from tests.service.servers import PostgresServer, Standby, in_memory, wait_for
from tests.service.test_postgres_adapter import tls_server


@pytest.fixture
async def school(primary: PostgresServer, standby: Standby) -> AsyncIterator[School]:
    """Reads go to the replica."""
    made = School(primary, standby)
    made.create()
    made.declare(readReplica=made.replica, env={"DATABASE_URL": "url", READ_URL: READ_URL})
    await made.ready()
    await made.until("True ReadsFromReplica")
    yield made
    dropped(made)


async def test_the_application_reads_from_the_replica_through_a_service_that_stays(school: School) -> None:
    assert school.condition("Ready") == "True Ready"
    assert urlsplit(school.secret()[READ_URL]).hostname == SERVICE
    assert urlsplit(school.secret()["url"]).hostname == school.postgres.host
    service = school.server.read(SERVICES, SERVICE)["spec"]
    assert "selector" not in service, "nobody else may lead it anywhere"
    assert (service["ports"][0]["port"], school.port) == (school.postgres.port, school.standby.port)
    with school.log_in(school.standby) as session:
        assert session.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    assert school.lms["status"]["readReplica"] == {"readsFrom": "Replica", "lagSeconds": 0}


async def test_a_replica_at_rest_costs_no_write(school: School) -> None:
    before = len(school.server.writes)
    for _ in range(3):
        await school.look()
    assert school.server.writes[before:] == []


async def test_a_replica_is_looked_at_often_although_the_lms_is_stuck(school: School) -> None:
    school.declare(adminSecretRef={"name": "no-such-secret"})
    assert await school.controller.visit(KEY) == 10
    school.server.read(AADA_LMS, LMS)["spec"]["components"][0]["replicas"] = -1
    assert await school.controller.visit(KEY) == 300, "a spec that cannot be read says nothing of a replica"


async def test_an_idle_school_is_no_lag(school: School) -> None:
    """Nothing was written for longer than the limit: nothing is missing."""
    age = "SELECT now() - pg_last_xact_replay_timestamp() > interval '1.5 s'"
    wait_for(lambda: bool(school.standby.value(age)), "time in which nobody writes")
    assert await school.look() == "True ReadsFromReplica"


async def test_reads_leave_a_replica_that_lags_and_return_a_minute_after_it_caught_up(school: School) -> None:
    school.pause_replay()
    school.write()
    await school.until("False ReplicaLagging")
    assert school.port == school.postgres.port
    assert school.lms["status"]["readReplica"]["readsFrom"] == "Primary"
    assert school.condition("Ready") == "True Ready", "the primary serves"
    school.resume_replay()
    assert await school.look() == "False ReplicaCatchingUp"
    assert school.port == school.postgres.port
    school.restart()
    assert await school.look() == "False ReplicaCatchingUp", "an operator that knows nothing goes on with it"
    assert await school.look(60) == "True ReadsFromReplica"
    assert school.port == school.standby.port


async def test_a_lag_below_the_limit_is_no_reason_to_leave(school: School) -> None:
    school.declare(readReplica=school.replica | {"publishWhenLagBelow": "1h"})
    school.pause_replay()
    school.write()
    assert await school.look() == "True ReadsFromReplica"
    assert school.port == school.standby.port


async def test_pools_leave_a_replica_that_lags_too_and_nobody_is_interrupted(school: School) -> None:
    with school.log_in(school.standby) as idle, school.log_in(school.standby) as busy:
        busy.execute("BEGIN")
        busy.execute("SELECT 1")
        school.pause_replay()
        school.write()
        await school.until("False ReplicaLagging")
        await school.look()
        school.is_ended(idle)
        assert busy.execute("SELECT 2").fetchone() == (2,)


async def test_sessions_stay_on_a_replica_that_is_well(school: School) -> None:
    with school.log_in(school.standby) as idle:
        await school.look()
        assert idle.execute("SELECT 1").fetchone() == (1,)


async def test_a_database_that_was_replaced_is_not_read_on(school: School) -> None:
    """A Cutover gave it another name: sessions that are open there would read what was before."""
    school.postgres.createdb(f"{school.database}_new", template=school.database, owner=f"{school.database}_owner")
    school.standby.catch_up()
    with school.log_in(school.standby) as reader:
        for old, new in (("", "_old"), ("_new", "")):
            school.postgres.execute(f'ALTER DATABASE "{school.database}{old}" RENAME TO "{school.database}{new}"')
        school.standby.catch_up()
        assert await school.look() == "True ReadsFromReplica"
        school.is_ended(reader)
    school.postgres.dropdb(f"{school.database}_old")


async def test_a_replica_that_is_killed_is_left_and_returned_to(school: School) -> None:
    school.standby.stop("immediate")
    try:
        assert await school.look() == "False ReplicaUnreachable"
        assert school.port == school.postgres.port
        assert "lagSeconds" not in school.lms["status"]["readReplica"]
    finally:
        school.standby.start()
    school.standby.catch_up()
    assert await school.look() == "False ReplicaCatchingUp"
    assert await school.look(60) == "True ReadsFromReplica"


async def test_a_server_that_is_no_standby_is_never_read_from(school: School) -> None:
    school.declare(readReplica=school.replica | {"port": school.postgres.port})
    assert await school.look() == "False NotAReplica"
    with PostgresServer(in_memory()) as other:
        other.execute(f"CREATE ROLE \"{school.database}_a\" LOGIN PASSWORD '{school.secret()['password']}'")
        other.createdb(school.database)
        with Standby(other, in_memory()) as foreign:
            school.declare(readReplica=school.replica | {"port": foreign.port})
            assert await school.look() == "False NotAReplica"
            assert "another server" in school.message("ReadReplicaReady")
    assert school.port == school.postgres.port


async def test_while_the_primary_is_away_reads_go_on(school: School) -> None:
    school.postgres.stop()
    try:
        assert await school.look() == "False PrimaryUnreachable"
        assert school.port == school.standby.port
    finally:
        school.postgres.start()
    await school.until("True ReadsFromReplica")


async def test_a_replica_that_is_not_declared_any_more_leaves_the_url_working(school: School) -> None:
    """Pods that run have the URL, and will have it until they are replaced."""
    school.declare(readReplica=None)
    assert await school.look() == "Unknown NoReplica"
    assert school.port == school.postgres.port
    school.declare(host="no-such-host.invalid")
    await school.look()
    assert school.port == school.postgres.port


async def test_while_suspended_reads_stay_where_they_are(school: School) -> None:
    school.server.read(AADA_LMS, LMS)["spec"]["suspend"] = True
    school.standby.stop("immediate")
    try:
        assert await school.look() == "Unknown Suspended"
        assert school.port == school.standby.port
    finally:
        school.standby.start()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_at_any_write_of_the_way_there_and_back_changes_nothing_in_the_end(
    primary: PostgresServer, standby: Standby, moment: str
) -> None:
    for number in range(8):
        school = School(primary, standby)
        school.create()
        school.declare(readReplica=school.replica)
        setattr(school.server, f"crash_{moment}", number)
        await school.settle()
        await school.until("True ReadsFromReplica")
        school.log_in(standby).close()
        dropped(school)


async def test_a_secret_that_was_given_is_left_as_it_is(school: School) -> None:
    """Who gave it writes the URL, too; until then the pods that want it wait, and say so."""
    held = school.server.read(SECRETS, "aada-db")["data"]
    given = {key: value for key, value in held.items() if key != READ_URL}
    school.server.add(SECRETS, {"metadata": {"name": "given"}, "data": given})
    school.declare(appSecretName="given")
    await school.look()
    assert READ_URL not in school.secret("given")
    assert READ_URL in school.message("SecretsFresh")


async def test_a_certificate_without_the_services_name_is_told_with_both_ways_out(
    standby: Standby, tmp_path: Path
) -> None:
    """The application would be refused by its own TLS library, at the replica and at the primary."""
    with tls_server(tmp_path, "localhost") as (server, ca):
        school = School(server, standby)
        school.server.secret("db-ca", ca=ca)
        school.create()
        school.declare(host="localhost", sslMode="verify-full", caSecretRef={"name": "db-ca", "key": "ca"})
        replica = {"host": "localhost", "port": server.port}
        school.declare(readReplica=replica)
        await school.settle()
        await school.until("False PrimaryUnreachable")
        assert SERVICE in school.message("ReadReplicaReady")
        assert "readReplica.sslMode be verify-ca" in school.message("ReadReplicaReady")
        assert school.condition("Ready") == "True Ready"
        school.declare(readReplica=replica | {"sslMode": "verify-ca"})
        assert school.secret()[READ_URL].endswith("?sslmode=verify-full")
        assert await school.look() == "False NotAReplica", "both were reached; one is no replica"
        assert school.secret()[READ_URL].endswith("?sslmode=verify-ca"), "the way out is one"


async def test_a_replica_that_is_declared_later_gets_its_url_into_the_secret(
    primary: PostgresServer, standby: Standby
) -> None:
    school = School(primary, standby)
    school.create()
    await school.settle()
    assert READ_URL not in school.secret()
    school.declare(readReplica=school.replica, env={"DATABASE_URL": "url", READ_URL: READ_URL})
    await school.settle()
    school.log_in(primary).close()
    assert school.condition("Ready") == "True Ready"
    assert school.condition("DatabaseReachable") == "True Connected"
    dropped(school)
