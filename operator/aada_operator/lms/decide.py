"""What to do and what to say, from what was observed: no I/O and no clock here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from aada_operator.api.common import seconds
from aada_operator.core.clock import from_rfc3339, human
from aada_operator.core.conditions import Truth
from aada_operator.core.database import Inventory, Names, role_mark
from aada_operator.core.errors import Waiting
from aada_operator.core.interlock import Claim, Operation, disruptive
from aada_operator.core.resources import Object
from aada_operator.lms.migration import MigrationJob

KEPT_JOBS = 3
HEADS = ("head", "heads")


@dataclass(frozen=True)
class Verdict:
    """What a condition says."""

    status: Truth
    reason: str
    message: str


# --- roles and database ---------------------------------------------------------------------------------------------

Action = Literal["create-roles", "create-database", "take-database"]


def pending_mark(uid: str) -> str:
    """The comment on a login role that never had its password: making it was not completed."""
    return f"{role_mark(uid)} (not completed)"


def provisioning(found: Inventory, names: Names, uid: str, secret: str) -> tuple[Action, ...]:
    """What is missing of roles and database, in the order in which it is to be made.

    Raises:
        Waiting: roles or database are somebody else's, or were there and are gone; nothing of that is touched.
    """
    fix = f"create Secret {secret} with the application's credentials to adopt it, or choose another database.name"
    actions: list[Action] = []
    if found.owner_comment is None and found.login_comment is None:
        actions.append("create-roles")
    elif found.owner_comment != role_mark(uid) or found.login_comment not in (role_mark(uid), pending_mark(uid)):
        raise Waiting("RolesTaken", f"role {names.owner} or {names.login} was not made for this AadaLms: {fix}")
    if found.database_owner is None:
        if found.login_comment == role_mark(uid):
            raise Waiting("DatabaseMissing", _gone(names))
        actions.append("create-database")
    elif found.database_owner == found.admin:
        actions.append("take-database")
    elif found.database_owner != names.owner:
        raise Waiting("DatabaseTaken", f"database {names.database} belongs to {found.database_owner}: {fix}")
    return tuple(actions)


def full_database(names: Names, secret: str) -> Waiting:
    """For a database of the admin's own that holds something."""
    return Waiting(
        "DatabaseTaken",
        f"database {names.database} was not made here and is not empty: create Secret {secret} with the "
        "application's credentials to adopt it, or choose another database.name",
    )


def _gone(names: Names) -> str:
    return (
        f"database {names.database} was here and is gone: restore it from a backup; "
        f"to begin with an empty one instead, drop the roles {names.login} and {names.owner}"
    )


def is_being_rotated(claims: Sequence[Claim]) -> bool:
    """Whether a rotation is at work: it knows which password the login is to have, while the Secret may be late."""
    return any(claim.held and claim.operation is Operation.ROTATION for claim in claims)


# --- schema ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Migrations:
    """All that bears on the schema: the wish, what is recorded in the status, the Jobs, what the database says.

    ``leftover`` names a migration pod that still runs although its Job is gone.
    """

    wanted: str
    target: str
    recorded_job: str
    recorded_revision: str
    jobs: tuple[MigrationJob, ...]
    revision: str | None
    leftover: str = ""

    def current(self) -> MigrationJob | None:
        """The Job of the present wish."""
        return next((job for job in self.jobs if job.name == self.wanted), None)


@dataclass(frozen=True)
class SchemaStep:
    """What to do for the schema, and what to say of it; ``jobs`` are those to be deleted."""

    action: Literal["NotNeeded", "Start", "Wait", "Clear", "Failed", "Done"]
    reason: str
    message: str = ""
    jobs: tuple[str, ...] = ()
    healthy: bool = True


def schema_step(seen: Migrations) -> SchemaStep:
    """The next step for the schema."""
    job = seen.current()
    if job is None:
        return _without_job(seen)
    if job.phase == "Active":
        if job.trouble:
            return SchemaStep("Wait", job.trouble.reason, f"Job {job.name}: {job.trouble.message}", healthy=False)
        return SchemaStep("Wait", "Migrating", f"Job {job.name} brings the schema to {seen.target}")
    if seen.recorded_job != seen.wanted and any(other.created > job.created for other in seen.jobs):
        # Other migrations ran since: how this one ended says nothing about the database as it is now.
        return SchemaStep("Clear", "Migrating", "an outdated migration Job is run again", (job.name,))
    if job.phase == "Failed":
        return SchemaStep("Failed", "MigrationTimedOut" if job.timed_out else "MigrationFailed")
    return _after_success(seen)


def _without_job(seen: Migrations) -> SchemaStep:
    if seen.recorded_job == seen.wanted and seen.revision and seen.revision == seen.recorded_revision:
        return SchemaStep("NotNeeded", "AtRevision", f"the schema is at {seen.revision}")
    active = [job for job in seen.jobs if job.phase == "Active"]
    stuck = tuple(job.name for job in active if job.trouble and not job.ran)
    if stuck:
        return SchemaStep("Clear", "MigrationRunning", "an earlier migration that never started is removed", stuck)
    if active or seen.leftover:
        name = f"Job {active[0].name}" if active else f"pod {seen.leftover}"
        return SchemaStep("Wait", "MigrationRunning", f"{name} of an earlier wish still runs and is not interrupted")
    return SchemaStep("Start", "Migrating", f"Job {seen.wanted} brings the schema to {seen.target}")


def _after_success(seen: Migrations) -> SchemaStep:
    moved = seen.recorded_job == seen.wanted and seen.revision != seen.recorded_revision
    if moved:
        was = f"the schema was brought to {seen.recorded_revision} and is at {seen.revision or 'no revision'} now"
        return SchemaStep("Clear", "Migrating", f"{was}: it is migrated again", (seen.wanted,))
    if seen.revision is None:
        message = "the migration succeeded, and yet the revision table is missing or empty: correct "
        return SchemaStep("Failed", "RevisionMissing", f"{message}schema.command or schema.revisionTable")
    if seen.target not in HEADS and seen.revision != seen.target:
        message = f"the migration succeeded and left the schema at {seen.revision}, not at {seen.target}: correct "
        return SchemaStep("Failed", "RevisionMismatch", f"{message}schema.revision or schema.command")
    return SchemaStep("Done", "AtRevision", f"the schema is at {seen.revision}")


def migration_failure(job: MigrationJob, image: str, timeout: str, *, unknown_revision: bool) -> Verdict:
    """Why a migration failed, and the way out; pods go on as they were."""
    again = "the pods stay as they are; to try again set the annotation lms.aada.edu/reset-at to a new value"
    log = f"kubectl logs job/{job.name} says why"
    if unknown_revision:
        return Verdict(
            "False",
            "UnknownRevision",
            f"image {image} does not know the revision that the database is at: it is older than the schema. "
            f"The pods stay as they are; go to an image that knows the revision. Going back needs a backup from before",
        )
    if job.timed_out:
        return Verdict("False", "MigrationTimedOut", f"Job {job.name} took longer than {timeout}: {log}; {again}")
    return Verdict(
        "False", "MigrationFailed", f"Job {job.name} failed ({job.failure or 'no pod left'}): {log}; {again}"
    )


def superfluous(jobs: Sequence[MigrationJob], wanted: str) -> list[str]:
    """Finished Jobs beyond the newest few; the present one stays."""
    finished = sorted((j for j in jobs if j.phase != "Active"), key=lambda j: j.created, reverse=True)
    return [job.name for job in finished[KEPT_JOBS:] if job.name != wanted]


# --- operations and backups -------------------------------------------------------------------------------------------


def operation(claims: Sequence[Claim]) -> Object | None:
    """What is being done to the LMS, for its status; None for nothing."""
    one = disruptive(claims)
    return {"kind": one.operation, "holder": f"{one.kind}/{one.name}", "since": one.since} if one else None


def backups(policies: Sequence[Object], lms: str, now: datetime) -> tuple[Verdict, str]:
    """Whether the newest backup is as fresh as promised, and when it was completed (empty: never)."""
    own = [policy for policy in policies if _lms_of(policy) == lms]
    if not own:
        return Verdict("False", "NoBackupPolicy", "no BackupPolicy names this AadaLms: create one"), ""
    last = max((str((policy.get("status") or {}).get("lastFull") or "") for policy in own), default="")
    names = ", ".join(sorted(policy["metadata"]["name"] for policy in own))
    if not last:
        return Verdict("False", "NoBackupYet", f"no backup of BackupPolicy {names} was completed yet"), ""
    objectives = [rpo for policy in own if (rpo := _rpo(policy)) is not None]
    if not objectives:
        return Verdict("True", "Completed", f"newest backup: {last}; no objectives.rpo to compare with"), last
    allowed = min(objectives)
    fresh = now - from_rfc3339(last) <= allowed
    message = f"newest backup: {last}; objectives.rpo is {human(allowed)}"
    return Verdict("True" if fresh else "False", "Fresh" if fresh else "Stale", message), last


def _lms_of(policy: Object) -> str:
    return str(_section(policy.get("spec"), "lmsRef").get("name", ""))


def _rpo(policy: Object) -> timedelta | None:
    rpo = _section(policy.get("spec"), "objectives").get("rpo")
    return timedelta(seconds=seconds(rpo)) if rpo else None


def _section(spec: Any, name: str) -> dict[str, Any]:
    return (spec or {}).get(name) or {}


def quantised(before: int, now: int, step: int) -> int:
    """A fluctuating figure for the status: the earlier one until it moved by a tenth and by ``step`` at least."""
    return now if abs(now - before) >= max(step, before // 10) or (now == 0) != (before == 0) else before
