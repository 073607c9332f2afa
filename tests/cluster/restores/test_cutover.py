"""A Cutover on the real cluster: the application's database is the backup's again, and the one before is kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from aada_operator.core.clock import SystemClock, to_rfc3339
from tests.cluster import builders, load, sizes
from tests.cluster.backups.school import School
from tests.cluster.release import Operator
from tests.cluster.restores.rehearsal import LIVE, Rehearsal
from tests.cluster.workspace import LONG, Object, condition
from tests.testbed.catalogue import SAMPLE_LMS
from tests.testbed.cluster import Cluster
from tests.testbed.shell import say

SETTINGS = f"""
ALTER DATABASE {LIVE} SET search_path TO "$user", public, "odd Schema";
ALTER DATABASE {LIVE} CONNECTION LIMIT 77;
CREATE ROLE teachers; GRANT CONNECT ON DATABASE {LIVE} TO teachers;
ALTER ROLE teachers IN DATABASE {LIVE} SET work_mem TO '7MB';
"""
OF_DATABASE = """
SELECT datconnlimit, (SELECT array_agg(one::text ORDER BY one::text) FROM unnest(datacl) one),
       (SELECT array_agg(setrole || ': ' || setconfig::text ORDER BY setrole) FROM pg_db_role_setting
         WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = '{}'
"""
DAMAGE = "DELETE FROM notes WHERE id % 2 = 0"


@pytest.fixture(scope="module")
def opened(cluster: Cluster, operator: Operator, sample_lms: str) -> Iterator[tuple[Rehearsal, str]]:
    """A school of its own, whose live database these tests replace; and the content of the backup ``monday``."""
    school = Rehearsal(**vars(School.open(cluster, f"cutover-{secrets.token_hex(3)}")))
    school.quick()
    school.database.sql(SETTINGS, LIVE)
    monday = school.content()
    school.completed(school.backup("monday", "nightly"))
    load.install(school.workspace, f"{SAMPLE_LMS}:{builders.VERSION}")
    yield school, monday
    cluster.kubectl("delete", "namespace", school.workspace.namespace, "--wait=false")


@pytest.fixture
def school(opened: tuple[Rehearsal, str]) -> Rehearsal:
    return opened[0]


@pytest.fixture
def monday(opened: tuple[Rehearsal, str]) -> str:
    return opened[1]


def approve(school: Rehearsal, ref: str) -> None:
    """Do what the condition tells the administrator to."""
    message = school.workspace.says(ref, "Ready", "AwaitingApproval")
    command = message.split("approve with: ")[1].split(";")[0]
    school.workspace.follow(command)


def old_database(body: Object) -> str:
    return str(body["status"]["oldDatabase"]["name"])


def test_a_damaged_database_is_replaced_after_an_approval_while_the_lms_serves(school: Rehearsal, monday: str) -> None:
    school.database.sql(DAMAGE, LIVE)
    damaged, properties = school.content(), school.database.sql(OF_DATABASE.format(LIVE))
    ref = school.restore("undo", backup="monday", target={"mode": "Cutover"})
    with load.constant(school.workspace, "http://aada-backend:8000/health", rate=20) as outcomes:
        approve(school, ref)
        body = school.restored(ref, LONG)
    assert school.content() == monday
    assert school.database.sql(OF_DATABASE.format(LIVE)) == properties
    assert school.content(old_database(body)) == damaged
    assert f"{LIVE}_restore_{body['metadata']['uid'][:8]}" not in school.databases()
    assert school.completed("lmsb/undo-safety")["spec"]["type"] == "Full"
    school.workspace.wait_condition("lms/aada", "Ready", timeout=90)
    say(f"requests during a Cutover: {outcomes.answered} answered, others: {outcomes.failed or 'none'}")
    assert outcomes.answered > 10 * sum(outcomes.failed.values())


def test_the_operator_killed_after_the_load_swaps_all_the_same_and_drops_the_old_one_in_time(
    school: Rehearsal, operator: Operator, monday: str
) -> None:
    school.database.sql(DAMAGE, LIVE)
    damaged = school.content()
    ref = school.restore("killed", backup="monday", mode="Auto", target={"mode": "Cutover"}, keepOldFor="1s")
    school.workspace.wait_for(ref, lambda body: body.get("status", {}).get("step") == "SafetyBackup", LONG)
    assert school.content() == damaged, "nothing is replaced before it is safe"
    operator.kill()
    body = school.restored(ref, LONG)
    assert school.content() == monday
    school.workspace.wait_for(ref, lambda found: "droppedAt" in found["status"]["oldDatabase"], LONG)
    assert old_database(body) not in school.databases()
    operator.rolled_out()


def test_it_waits_for_a_backup_that_runs_and_another_waits_for_it(school: Rehearsal, monday: str) -> None:
    hang = {"name": "AADA_FAILPOINTS", "value": "worker.backup.after-snapshot=hang"}
    template = {"spec": {"containers": [{"name": "worker", "env": [hang]}]}}
    school.policy("stuck", job={"podTemplate": template})
    running = school.backup("in-the-way", "stuck")
    school.workspace.wait_phase(running, "Running")
    ref = school.restore("patient", backup="monday", mode="Auto", target={"mode": "Cutover"}, safetyBackup=False)
    assert "Backup in-the-way" in school.workspace.says(ref, "Ready", "OperationInProgress", LONG)
    late = school.backup("late", "nightly")
    queued = school.workspace.wait_phase(late, "Queued")
    assert "Restore patient (Cutover)" in condition(queued, "Completed")["message"], "it does not overtake"
    school.workspace.delete(running)
    replaced = school.restored(ref, LONG)["status"]["completionTime"]
    assert replaced <= school.completed(late, LONG)["status"]["startTime"]
    assert school.content() == monday


def test_a_rotation_of_the_login_waits_for_it_and_fits_the_database_that_came(school: Rehearsal, monday: str) -> None:
    wanted = {"lmsRef": {"name": builders.LMS}, "type": "DatabasePassword", "gracePeriod": "1s"}
    school.workspace.apply(builders.custom_resource("SecretRotation", "login", wanted))
    ref = school.restore("first", backup="monday", mode="Auto", target={"mode": "Cutover"})
    school.workspace.wait_for(ref, lambda body: body.get("status", {}).get("step") == "SafetyBackup", LONG)
    school.workspace.kubectl("annotate", "rot/login", f"lms.aada.edu/rotate-at={to_rfc3339(SystemClock().now())}")
    assert "Restore first (Cutover)" in school.workspace.says("rot/login", "Ready", "Claim")
    school.restored(ref, LONG)
    rotated = school.workspace.wait_for("rot/login", lambda body: body["status"].get("history"), LONG)
    assert rotated["status"]["history"][0]["result"] == "Rotated"
    assert school.content() == monday
    assert (
        school.database.sql(f"SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE '{LIVE}%'")
        == (rotated["status"]["proof"]["by"])
    )
    school.workspace.wait_condition("lms/aada", "Ready", timeout=90)


def test_no_pod_is_taken_away_before_it_is_done(school: Rehearsal, monday: str) -> None:
    workspace = school.workspace
    sizes.declare(workspace, minReplicas=2, maxReplicas=3)
    workspace.says(sizes.REF, "Ready", "Scaling", LONG)
    sizes.has(workspace, 2)
    ref = school.restore("sized", backup="monday", mode="Auto", target={"mode": "Cutover"})
    sizes.held(workspace, "Restore sized (Cutover)")
    sizes.one_is_enough(workspace)
    school.restored(ref, LONG)
    sizes.has(workspace, 1)
    assert sizes.bounds(workspace) == (1, 1)
    assert school.content() == monday
    workspace.delete(sizes.REF)


def test_a_dropped_database_comes_back(school: Rehearsal, monday: str) -> None:
    school.database.sql(f"DROP DATABASE {LIVE} WITH (FORCE)")
    ref = school.restore("resurrect", backup="monday", mode="Auto", target={"mode": "Cutover"})
    body = school.restored(ref, LONG)
    assert "oldDatabase" not in body["status"]
    assert school.content() == monday
    school.workspace.wait_condition("lms/aada", "Ready", timeout=90)
