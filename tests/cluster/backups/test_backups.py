"""Backups on the real cluster: by schedule and by hand, verified, adopted, and what a user sees of them."""

from __future__ import annotations

import hashlib
import signal
from datetime import UTC, datetime, timedelta

import pyrage
import pytest

from aada_operator.api.backup import ANNOTATION_SCHEDULED_FOR
from aada_operator.api.manifest import lms_folder, manifest_key, parse_manifest
from tests.cluster import audit, builders
from tests.cluster.backups.school import ROWS, SLOW, WAIT, School, eventually
from tests.cluster.release import DEPLOYMENT, Operator
from tests.cluster.workspace import Object, condition, summary

NIGHTLY = {"schedule": "0 2 * * *"}
MINUTELY = {"schedule": "* * * * *"}
AT_ONCE = {"immediate": True, "verification": {"onFull": True}}


def scheduled(school: School, policy: str) -> list[Object]:
    """The Backups that a policy's schedule made, oldest slot first."""
    return sorted(school.workspace.items("lmsb", f"lms.aada.edu/policy={policy}"), key=lambda b: b["metadata"]["name"])


def verified(school: School, ref: str) -> Object:
    """Wait until a verification told good from bad; it must be good."""
    found = school.workspace.wait_for(ref, lambda b: condition(b, "Verified").get("status") in ("True", "False"), WAIT)
    assert condition(found, "Verified")["status"] == "True", summary(found)
    return found


def test_a_new_policy_backs_up_at_once_and_proves_it(school: School) -> None:
    policy = school.policy("nightly", full=NIGHTLY, objectives={"rpo": "26h", "rto": "1h"}, **AT_ONCE)
    made = school.workspace.wait_for(policy, lambda body: bool(body.get("status", {}).get("lastFullName")), WAIT)
    name = made["status"]["lastFullName"]
    body = verified(school, f"lmsb/{name}")
    status = body["status"]
    counts = school.database.sql("SELECT count(*) FROM notes", builders.DATABASE_NAME)
    assert (int(counts), status["tables"]["rows"] > ROWS) == (ROWS, True)
    assert (status["phase"], status["encryption"], status["schemaRevision"]) == ("Completed", "Age", "0002")
    assert status["verification"]["result"] == "Passed"
    assert status["postgres"]["version"].startswith("15.")

    settled = school.workspace.wait_for(policy, lambda body: condition(body, "Verified").get("status") == "True")
    assert settled["status"]["rtoMeasured"] == status["verification"]["rto"]
    assert settled["status"]["next"].endswith("T02:00:00Z")
    for kind in ("Ready", "StorageReachable", "RPOMet", "Encrypted"):
        assert condition(settled, kind)["status"] == "True", summary(settled)

    stored = school.s3.read(manifest_key(status["location"]["prefix"]))
    assert hashlib.sha256(stored).hexdigest() == status["manifestSha256"]
    manifest = parse_manifest(stored)
    assert (manifest.uid, manifest.rows) == (body["metadata"]["uid"], status["tables"]["rows"])
    assert manifest.stored_bytes == status["storedBytes"]


def test_objectives_that_cannot_be_kept_are_told_with_the_fix(school: School) -> None:
    """The runbook's own: a backup every four hours, and no more than four hours may be lost."""
    policy = school.policy(
        "nightly", full={"schedule": "0 */4 * * *"}, objectives={"rpo": "4h", "rto": "1s"}, **AT_ONCE
    )
    message = school.workspace.says(policy, "RPOUnreachable", "ScheduleTooRare")
    assert message.endswith('4h cannot be kept; set incremental: {schedule: "0 */3 * * *"}, or objectives.rpo to 5h')
    assert "the objective is 1s" in school.workspace.says(policy, "RTOAtRisk", "TooSlow")
    told = {event["reason"] for event in school.workspace.events("BackupPolicy/nightly") if event["type"] == "Warning"}
    assert told >= {"ScheduleTooRare", "TooSlow"}
    school.policy("nightly", full=NIGHTLY, objectives={"rpo": "26h", "rto": "1h"}, **AT_ONCE)
    school.workspace.says(policy, "RPOUnreachable", "WithinObjective")


def test_a_slot_that_passes_while_the_operator_is_away_is_told_within_a_minute(
    school: School, operator: Operator
) -> None:
    school.policy("overslept")
    school.completed(school.backup("well-slept", "overslept"))  # while there is none it would be caught up
    slot = (datetime.now(UTC) + timedelta(seconds=75)).replace(second=0, microsecond=0)
    policy = school.policy("overslept", full={"schedule": f"{slot:%M %H} * * *"}, startingDeadline="1s")
    school.workspace.says(policy, "ScheduleKept", "OnTime")
    operator.kubectl("scale", DEPLOYMENT, "--replicas=0")
    try:
        assert datetime.now(UTC) < slot, "it must not be due before"
        eventually(lambda: datetime.now(UTC) > slot + timedelta(seconds=5), "the slot to pass")
    finally:
        operator.kubectl("scale", DEPLOYMENT, "--replicas=1")
        operator.rolled_out()
    back = datetime.now(UTC)
    told = school.workspace.wait_for(policy, lambda body: condition(body, "ScheduleKept").get("status") == "False", 60)
    assert condition(told, "ScheduleKept")["reason"] == "SlotMissed"
    assert told["status"]["missedSlots"] == 1
    assert datetime.fromisoformat(told["status"]["missedAt"]) <= back + timedelta(seconds=60)
    assert "SlotMissed" in {event["reason"] for event in school.workspace.events("BackupPolicy/overslept")}
    assert all(body["metadata"]["name"] == "well-slept" for body in scheduled(school, "overslept"))


def test_what_a_user_sees(school: School) -> None:
    table = [line.split() for line in school.workspace.kubectl("get", "lmsb").splitlines()]
    assert table[0] == ["NAME", "LMS", "TYPE", "METHOD", "PHASE", "VERIFIED", "SIZE", "TOOK", "COMPLETED", "AGE"]
    assert table[1][1:6] == ["aada", "Full", "logical", "Completed", "True"]
    (policies, *_) = school.workspace.kubectl("get", "bp").splitlines()
    assert policies.split()[:8] == ["NAME", "LMS", "SUSPENDED", "LAST-FULL", "LAST-INCR", "NEXT", "RPO", "RPO-OK"]
    (name,) = [body["metadata"]["name"] for body in scheduled(school, "nightly")]
    told = {(event["type"], event["reason"]) for event in school.workspace.events(f"Backup/{name}")}
    assert {("Normal", "BackupCompleted"), ("Normal", "RestoredAndCompared")} <= told
    assert not {reason for kind, reason in told if kind == "Warning"}, "a backup that goes well warns of nothing"


def test_a_settled_policy_and_its_backups_cost_no_write(school: School) -> None:
    begin = audit.mark(school.workspace)
    for number in range(3):
        school.workspace.kubectl("annotate", "bp/nightly", "--overwrite", f"lms.aada.edu/reconcile-at={number}")
        eventually(lambda: begin.reads("backuppolicies", "nightly") > number, "a visit")  # noqa: B023
    # The age of the newest backup takes a step every ten minutes, of which at most one falls into these seconds.
    assert len([write for write in begin.writes() if "backuppolicies" in write]) <= 1
    assert [write for write in begin.writes() if "backuppolicies" not in write] == []


def test_one_made_by_hand_is_a_backup_now_and_says_how_far_it_is(school: School) -> None:
    school.policy("by-hand", job=SLOW)
    ref = school.backup("before-the-exam", "by-hand")
    running = school.running(ref)
    assert running["status"]["progress"]["totalBytes"] > 0
    body = school.completed(ref)
    assert "progress" not in body["status"]
    school.workspace.says(ref, "Verified", "NotRequested")
    owners = body["metadata"].get("ownerReferences")
    assert owners is None, "a backup outlives its policy"


def test_an_annotation_verifies(school: School) -> None:
    school.workspace.kubectl("annotate", "lmsb/before-the-exam", "lms.aada.edu/verify-at=now")
    body = verified(school, "lmsb/before-the-exam")
    assert body["status"]["verification"]["verifyAt"] == "now"


def test_slots_of_a_schedule_start_on_time_and_the_verification_schedule_asks_for_the_newest(school: School) -> None:
    policy = school.policy("minutely", full=MINUTELY, verification=MINUTELY)
    found = school.workspace.wait_for(policy, lambda body: bool(body.get("status", {}).get("lastFullName")), WAIT)
    first = school.workspace.get(f"lmsb/{found['status']['lastFullName']}") or {}
    slot = first["metadata"]["annotations"][ANNOTATION_SCHEDULED_FOR]
    assert first["metadata"]["name"] == f"minutely-full-{slot[:4]}{slot[5:7]}{slot[8:10]}t{slot[11:13]}{slot[14:16]}z"
    late = int(first["metadata"]["creationTimestamp"][17:19])
    assert late <= 2, "seconds after the full minute"
    asked = school.workspace.wait_for(policy, lambda body: "verificationRequest" in body["status"], WAIT)
    name = asked["status"]["verificationRequest"]["backupName"]
    verified(school, f"lmsb/{name}")
    eventually(lambda: len(scheduled(school, "minutely")) >= 2, "a second backup")
    school.workspace.patch(policy, suspend=True)


def test_of_two_operators_each_slot_has_one_backup_although_the_leader_hangs(
    school: School, operator: Operator
) -> None:
    operator.kubectl("scale", DEPLOYMENT, "--replicas=2")
    try:
        operator.rolled_out()
        policy, first = school.policy("in-pairs", full=MINUTELY), operator.leader()
        operator.signal(first, signal.SIGSTOP)
        operator.leader(but_not=first)
        eventually(lambda: len(scheduled(school, "in-pairs")) >= 1, "the first slot")
        operator.signal(first, signal.SIGCONT)  # it thinks that it leads still
        eventually(lambda: len(scheduled(school, "in-pairs")) >= 2, "another slot")
        school.workspace.patch(policy, suspend=True)
    finally:
        operator.kubectl("scale", DEPLOYMENT, "--replicas=1")
        operator.rolled_out()
    made = scheduled(school, "in-pairs")
    slots = [body["metadata"]["annotations"][ANNOTATION_SCHEDULED_FOR] for body in made]
    assert len(slots) == len(set(slots))
    for name in [body["metadata"]["name"] for body in made]:
        assert school.completed(f"lmsb/{name}")["status"]["attempt"] == 1
        assert school.jobs_made(name) == [f"{name}-1"]


def test_an_object_that_is_made_again_takes_its_backup_over(school: School) -> None:
    before = school.workspace.get("lmsb/before-the-exam") or {}
    folder = before["status"]["location"]["prefix"]
    keys = school.s3.keys(folder)
    school.workspace.delete("lmsb/before-the-exam")
    assert school.s3.keys(folder) == keys, "the data stays"
    after = school.completed(school.backup("before-the-exam", "by-hand"))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert condition(after, "Completed")["reason"] == "Adopted"
    for field in ("completionTime", "manifestSha256", "tables", "location", "recoverableFrom"):
        assert after["status"][field] == before["status"][field]
    assert school.workspace.items("jobs", "lms.aada.edu/policy=by-hand") == [], "it never runs again"
    assert school.s3.keys(folder) == keys


def test_a_folder_that_belongs_to_another_backup_is_refused_with_the_fix(school: School) -> None:
    school.workspace.delete("lmsb/before-the-exam")
    school.policy("another")
    ref = school.backup("before-the-exam", "another")
    assert "another name" in school.workspace.says(ref, "Failed", "NameTaken")


def test_flipped_bytes_are_found_also_in_backups_that_were_verified_before(school: School) -> None:
    school.policy("by-hand")
    body = school.completed(school.backup("to-be-damaged", "by-hand"))
    shares = school.backup("shares-its-chunks", "by-hand", type="Incremental")
    school.completed(shares)
    school.workspace.kubectl("annotate", shares, "lms.aada.edu/verify-at=1")
    verified(school, shares)
    folder = body["status"]["location"]["prefix"]
    largest = max(parse_manifest(school.s3.read(manifest_key(folder))).parts, key=lambda part: part.size)
    key = f"{lms_folder(folder)}/{largest.key}"
    damaged = bytearray(school.s3.read(key))
    damaged[len(damaged) // 2] ^= 1
    with school.s3.client() as client:
        client.put_object(Bucket=school.s3.name, Key=key, Body=bytes(damaged))
    school.workspace.kubectl("annotate", "lmsb/to-be-damaged", "lms.aada.edu/verify-at=1")
    school.workspace.says("lmsb/to-be-damaged", "Verified", "Corrupt")
    # The policy follows its Backup a moment later.
    school.workspace.wait_for("bp/by-hand", lambda body: condition(body, "Verified").get("status") == "False")
    assert "Corrupt" in {event["reason"] for event in school.workspace.events("Backup/to-be-damaged")}
    school.workspace.says(shares, "Verified", "Corrupt")


def test_an_incremental_backup_uploads_what_changed_and_is_proved_on_its_own(school: School) -> None:
    school.policy("weekly")
    full = school.completed(school.backup("weekly-full", "weekly"))["status"]
    school.database.sql("INSERT INTO public.notes VALUES (-1, 'written after the full backup')", builders.DATABASE_NAME)
    ref = school.backup("weekly-incr", "weekly", type="Incremental")
    status = school.completed(ref)["status"]
    assert (status["type"], status["parent"], status["epoch"]) == ("Incremental", "weekly-full", full["epoch"])
    assert status["newBytes"] < full["newBytes"] / 5
    assert status["tables"]["rows"] > full["tables"]["rows"]
    school.workspace.delete("lmsb/weekly-full")
    school.workspace.kubectl("annotate", ref, "lms.aada.edu/verify-at=now")
    verified(school, ref)
    assert school.workspace.kubectl("get", ref).splitlines()[1].split()[2] == "Incremental"


@pytest.mark.parametrize("identity", ["none", "of-another"])
def test_without_the_right_identity_nothing_counts_as_verified(school: School, identity: str) -> None:
    school.workspace.secret("of-another", identity=str(pyrage.x25519.Identity.generate()))
    reference = {"name": "of-another", "key": "identity"} if identity == "of-another" else None
    encryption = {"verificationIdentitySecretRef": reference}
    school.policy(f"key-{identity}", encryption=encryption, verification={"onFull": True})
    ref = school.backup(f"key-{identity}", f"key-{identity}")
    school.workspace.says(ref, "Verified", "NoIdentity" if reference is None else "WrongKey")
    assert school.completed(ref)["status"]["encryption"] == "Age"


def test_unencrypted_must_be_said_and_is_shown(school: School) -> None:
    policy = school.policy("plain", recipients=None, verification={"onFull": True})
    ref = school.backup("plain", "plain")
    verified(school, ref)
    for each in (policy, ref):
        assert condition(school.workspace.get(each) or {}, "Encrypted")["reason"] == "None"
    assert any(key.endswith(".pgc.zst") for key in school.s3.keys(f"{school.workspace.namespace}/aada/plain/"))


def test_an_identity_is_never_given_to_a_backup_and_the_database_never_to_a_verification(school: School) -> None:
    mounted: dict[str, dict[str, str]] = {"backup": {}, "verify": {}}
    for job in school.workspace.items("jobs", "lms.aada.edu/owner=backup"):
        pod = job["spec"]["template"]["spec"]
        secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        mounted[pod["containers"][0]["args"][1]] |= secrets
        assert pod["automountServiceAccountToken"] is False
    assert mounted["verify"].keys() == {"storage", "identity"}
    # Beside what a backup works with it packs the Secrets that the LMS names, and never the key that opens it.
    own = {folder for folder in mounted["backup"] if not folder.startswith("bundle-")}
    assert own == {"database", "storage", "chunk-key"}
    assert mounted["verify"]["identity"] not in mounted["backup"].values()
