"""When a migration is started, waited for, given up: every state of Jobs, record and database."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aada_operator.core.trouble import Trouble
from aada_operator.lms.decide import (
    KEPT_JOBS,
    Migrations,
    migration_failure,
    schema_step,
    superfluous,
)
from aada_operator.lms.migration import MigrationJob

WANTED = "aada-migrate-new"
PULLING = Trouble("ImagePullFailed", "image x cannot be had")


def job(
    name: str = WANTED, phase: str = "Succeeded", created: str = "2026-01-02T10:00:00Z", **more: object
) -> MigrationJob:
    return MigrationJob(name=name, phase=phase, created=created, **more)  # type: ignore[arg-type]


def seen(*jobs: MigrationJob, **more: object) -> Migrations:
    given: dict[str, object] = {
        "wanted": WANTED,
        "target": "head",
        "recorded_job": "",
        "recorded_revision": "",
        "jobs": jobs,
        "revision": None,
    }
    return Migrations(**(given | more))  # type: ignore[arg-type]


OLD = job("aada-migrate-old", created="2026-01-02T09:00:00Z")


@pytest.mark.parametrize(
    ("situation", "action", "reason"),
    [
        # an empty database, or one that another wish was brought to
        (seen(), "Start", "Migrating"),
        (seen(revision="0002"), "Start", "Migrating"),
        (seen(OLD, recorded_job=OLD.name, recorded_revision="0002", revision="0002"), "Start", "Migrating"),
        # nothing changed: whether its Job is still there or not
        (seen(recorded_job=WANTED, recorded_revision="0002", revision="0002"), "NotNeeded", "AtRevision"),
        (seen(job(), recorded_job=WANTED, recorded_revision="0002", revision="0002"), "Done", "AtRevision"),
        # the status was lost
        (seen(job(), revision="0002"), "Done", "AtRevision"),
        (seen(job(phase="Active")), "Wait", "Migrating"),
        # its end
        (seen(job(phase="Failed")), "Failed", "MigrationFailed"),
        (seen(job(phase="Failed", timed_out=True)), "Failed", "MigrationTimedOut"),
        (seen(job(), revision=None), "Failed", "RevisionMissing"),
        (seen(job(), revision="0002", target="0003"), "Failed", "RevisionMismatch"),
        (seen(job(), revision="0003", target="0003"), "Done", "AtRevision"),
        (seen(job(), revision="0002,0003", target="heads"), "Done", "AtRevision"),
        # it does not start
        (seen(job(phase="Active", trouble=PULLING, ran=False)), "Wait", "ImagePullFailed"),
        # another one is at it
        (seen(job("aada-migrate-old", "Active")), "Wait", "MigrationRunning"),
        (seen(job("aada-migrate-old", "Active", trouble=PULLING, ran=True)), "Wait", "MigrationRunning"),
        (seen(leftover="aada-migrate-old-x"), "Wait", "MigrationRunning"),
        # a database that was restored behind our back
        (seen(job(), recorded_job=WANTED, recorded_revision="0003", revision="0002"), "Clear", "Migrating"),
        (seen(recorded_job=WANTED, recorded_revision="0003", revision="0002"), "Start", "Migrating"),
        (seen(recorded_job=WANTED, recorded_revision="0003", revision=None), "Start", "Migrating"),
    ],
)
def test_the_next_step_for_the_schema(situation: Migrations, action: str, reason: str) -> None:
    step = schema_step(situation)
    assert (step.action, step.reason) == (action, reason)


def test_an_earlier_migration_that_never_started_makes_room() -> None:
    step = schema_step(seen(job("aada-migrate-old", "Active", trouble=PULLING, ran=False)))
    assert (step.action, step.jobs) == ("Clear", ("aada-migrate-old",))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_how_a_job_ended_counts_no_more_once_another_migration_ran(phase: str) -> None:
    """v1.3.0, then back to v1.2.3 with a restored database, then v1.3.0 again: its first Job proves nothing."""
    newer = job("aada-migrate-between", created="2026-01-02T11:00:00Z")
    step = schema_step(seen(job(phase=phase), newer, recorded_job=newer.name, revision="0002"))
    assert (step.action, step.jobs) == ("Clear", (WANTED,))


def test_only_trouble_is_unhealthy() -> None:
    assert schema_step(seen(job(phase="Active"))).healthy
    assert not schema_step(seen(job(phase="Active", trouble=PULLING, ran=False))).healthy


_jobs = st.builds(
    job,
    name=st.sampled_from([WANTED, "aada-migrate-a", "aada-migrate-b"]),
    phase=st.sampled_from(["Active", "Succeeded", "Failed"]),
    created=st.sampled_from([f"2026-01-02T1{hour}:00:00Z" for hour in range(3)]),
    trouble=st.sampled_from([None, PULLING]),
    ran=st.booleans(),
)
_worlds = st.builds(
    seen,
    recorded_job=st.sampled_from(["", WANTED, "aada-migrate-a"]),
    recorded_revision=st.sampled_from(["", "0002", "0003"]),
    revision=st.sampled_from([None, "0002", "0003"]),
    target=st.sampled_from(["head", "0003"]),
    leftover=st.sampled_from(["", "pod"]),
    jobs=st.lists(_jobs, max_size=3, unique_by=lambda j: j.name).map(tuple),
)


@given(_worlds)
def test_two_migrations_never_run_at_the_same_time(world: Migrations) -> None:
    step = schema_step(world)
    if step.action == "Start":
        assert not world.leftover
        assert all(one.phase != "Active" for one in world.jobs)


@given(_worlds)
def test_a_migration_that_ran_is_never_interrupted(world: Migrations) -> None:
    running = {one.name for one in world.jobs if one.phase == "Active" and (one.ran or not one.trouble)}
    assert not running & set(schema_step(world).jobs)


@given(_worlds)
def test_what_is_done_has_a_revision_and_the_one_asked_for(world: Migrations) -> None:
    if schema_step(world).action in ("Done", "NotNeeded"):
        assert world.revision
        assert world.target in ("head", world.revision) or schema_step(world).action == "NotNeeded"


@given(_worlds)
def test_it_comes_to_rest_when_every_job_succeeds(world: Migrations) -> None:
    """From any state, with Jobs that end well, there is an end, and nothing is started after it."""
    jobs, recorded = {one.name: one for one in world.jobs}, (world.recorded_job, world.recorded_revision)
    revision = world.revision
    started = 0
    for turn in itertools.count():
        assert turn < 12, "the decisions go round in circles"
        now = seen(*jobs.values(), recorded_job=recorded[0], recorded_revision=recorded[1], revision=revision)
        step = schema_step(now)
        if step.action in ("Done", "NotNeeded"):
            break
        if step.action == "Start":
            started += 1
            jobs[WANTED] = job(created=f"2026-01-03T00:00:{turn:02d}Z")
            revision = "0003"
        for name in step.jobs:
            del jobs[name]
        if step.action in ("Start", "Clear"):
            recorded = ("", recorded[1])
        if step.action == "Wait":
            jobs = {name: job(name, created=one.created) for name, one in jobs.items()}
        if step.action == "Failed":
            return
    assert started <= 1


def test_an_older_image_is_told_from_a_broken_migration() -> None:
    failed = job(phase="Failed", failure="container backend: Error, exit code 255")
    unknown = migration_failure(failed, "registry.example/lms:v1.2.3", "15m", unknown_revision=True)
    assert unknown.reason == "UnknownRevision"
    assert "registry.example/lms:v1.2.3" in unknown.message
    assert "older than the schema" in unknown.message
    broken = migration_failure(failed, "registry.example/lms:v1.2.3", "15m", unknown_revision=False)
    assert broken.reason == "MigrationFailed"
    assert "exit code 255" in broken.message
    assert "lms.aada.edu/reset-at" in broken.message


def test_only_old_finished_jobs_are_removed() -> None:
    finished = [job(f"old-{n}", created=f"2026-01-0{n}T00:00:00Z") for n in range(1, 7)]
    active = job("active", "Active", created="2026-01-01T00:00:00Z")
    assert superfluous([*finished, active], "old-1") == ["old-3", "old-2"]
    assert len(finished) - len(superfluous(finished, "none")) == KEPT_JOBS
