"""Consumers that nobody restarts: runs of Jobs, for which the old login works until they end, and readers of files."""

from __future__ import annotations

from aada_operator.core.resources import CRON_JOBS, PODS, SECRETS
from tests.service.rotation_world import ROTATION, RotationWorld, installed
from tests.unit.rotations.job_runs import begin_run, pod_spec

MARK = f"rotation.lms.aada.edu/{ROTATION}"


async def test_a_run_from_before_keeps_the_old_login_alive_until_it_has_ended(school: RotationWorld) -> None:
    await installed(school, schedule="0 4 20 * *")
    old = school.secret()
    school.clock.advance(days=20)
    run = begin_run(school.server, school.clock, "aada-db")
    await school.turns(until="Grace")
    school.clock.advance(hours=5)
    for _ in range(5):
        await school.turn()
    assert "until these pods of Jobs have ended: report-1" in school.told()
    assert school.said("Ready") == "Unknown Grace", "a run that takes its time is no trouble"
    assert school.server.claims() == [], "nobody waits for a run"
    written = len(school.server.writes)
    await school.turn()
    assert school.server.writes[written:] == [], "a wait of hours is no load"
    assert school.may_log_in(old["username"], old["password"])
    school.clock.advance(hours=24)
    await school.turn()
    assert school.said("Ready") == "False JobsHang"
    assert school.may_log_in(old["username"], old["password"])
    run["status"]["phase"] = "Succeeded"
    await school.turns()
    assert school.past() == ["Rotated"]
    assert not school.may_log_in(old["username"], old["password"])


async def test_a_run_that_got_the_new_login_may_use_it_after_the_way_back(school: RotationWorld) -> None:
    await installed(school)
    school.clock.advance(days=31)
    school.stuck = True
    await school.turns(until="Converge")
    new = school.secret()
    run = begin_run(school.server, school.clock, "aada-db")
    school.clock.advance(minutes=11)
    await school.turns(until="Reconverge")
    school.stuck = False
    await school.turns(until="RetireNew")
    for _ in range(5):
        await school.turn()
    assert "still works until these pods of Jobs have ended: report-1" in school.told()
    assert school.may_log_in(new["username"], new["password"])
    run["status"]["phase"] = "Failed"
    await school.turns()
    assert school.past() == ["RolledBack Converging"]
    assert not school.may_log_in(new["username"], new["password"])


async def test_the_next_run_of_a_cron_job_has_the_revision_and_the_grace_is_a_day(school: RotationWorld) -> None:
    template = {"spec": pod_spec("aada-db")}
    school.server.add(
        CRON_JOBS, {"metadata": {"name": "report"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    )
    await installed(school, schedule="0 4 20 * *", consumers=[{"kind": "CronJob", "name": "report"}])
    school.clock.advance(days=20)
    await school.turns(until="Grace")
    made = school.server.read(CRON_JOBS, "report")["spec"]["jobTemplate"]["spec"]["template"]
    assert made["metadata"]["annotations"] == {MARK: f"{ROTATION}-r1"}
    school.clock.advance(hours=23)
    await school.turn()
    assert school.status["step"] == "Grace"
    school.clock.advance(hours=1)
    await school.turns()
    assert school.past() == ["Rotated"]


async def test_a_value_is_published_without_a_restart_and_the_next_change_restarts(school: RotationWorld) -> None:
    """Of a Secret that others change as well; the AadaLms restarts its pods for those changes as ever."""
    school.server.secret("keys", mail="first", other="left alone")
    school.create(secrets=[{"name": "MAIL_KEY", "secretRef": {"name": "keys", "key": "mail"}}])
    await school.settle()
    spec = {"type": "Generic", "secretRef": {"name": "keys", "key": "mail"}, "restart": False}
    school.declare(**spec)
    await school.turns()
    pods = {name: school.server.read(PODS, name)["metadata"]["uid"] for name in school.sessions}
    school.clock.advance(days=31)
    await school.turns()
    await school.settle()
    school.run_pods()
    assert school.past() == ["Rotated"]
    assert school.secret("keys")["mail"] != "first"
    assert {name: school.server.read(PODS, name)["metadata"]["uid"] for name in school.sessions} == pods
    live = school.server.read(SECRETS, "keys")
    live["data"] |= school.encoded(other="changed by hand")
    live["metadata"]["resourceVersion"] = "of-a-hand"
    await school.settle()
    school.run_pods()
    assert {name: school.server.read(PODS, name)["metadata"]["uid"] for name in school.sessions} != pods
