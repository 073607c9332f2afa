"""A database that is kept for a while and then dropped, if it is still that one.

It is what a Cutover replaced, the way back; or what a Restore had made when it failed: half loaded it goes at once.
"""

import logging
from datetime import timedelta

from aada_operator.adapters.postgres_cutover import drop_marked
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.adapters.referenced import lms_of
from aada_operator.core.attempts import until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import RESYNC
from aada_operator.core.database import begun_mark, complete_mark, replaced_mark
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.core.failpoints import failpoint
from aada_operator.restores.work import Work

logger = logging.getLogger(__name__)
# A clock that was put right, or a status that somebody edited, is noticed within this time.
LONGEST_SLEEP = 6 * 3600.0


def leave(work: Work) -> None:
    """Note what a Restore that just failed has made, if nobody wanted that alone."""
    plan, spec, now = work.status.get("plan"), work.visit.spec, work.visit.now
    loaded = bool(work.status.get("digest"))
    if plan is None or not work.begun or spec.is_new_server or (loaded and not spec.is_cutover):
        return
    end = now + timedelta(seconds=spec.keeps_old_for if loaded else 0)
    work.status["leftover"] = {"name": plan["database"], "dropAfter": to_rfc3339(end)}


async def retire(work: Work) -> float | None:
    """Drop it when its time is over; returns seconds until the next visit, None when there is nothing left to do."""
    marks = _marks(work)
    field = next((field for field in marks if field in work.status), None)
    if field is None or "droppedAt" in work.status[field]:
        return None
    known = work.status[field]
    if left := until(known["dropAfter"], work.visit.now):
        return min(left, LONGEST_SLEEP)
    try:
        dropped = await _drop(work, known["name"], marks[field])
    except OperatorError as trouble:
        known["message"] = trouble.message
        return trouble.retry_after if isinstance(trouble, Waiting) else RESYNC
    known["droppedAt"] = to_rfc3339(work.visit.now)
    known["message"] = "" if dropped else "nothing of this Restore is there: gone, renamed or taken by somebody else"
    return None


def _marks(work: Work) -> dict[str, tuple[str, ...]]:
    """By the field of the status that names a database: the comments that show it to be ours still."""
    uid = work.visit.uid
    return {"oldDatabase": (replaced_mark(uid),), "leftover": (begun_mark(uid), complete_mark(uid))}


async def _drop(work: Work, name: str, marks: tuple[str, ...]) -> bool:
    visit = work.visit
    lms = await lms_of(work.kube, visit.namespace, work.status["plan"]["lms"])
    async with admin_session(work.kube, visit.namespace, lms.database, work.allow_local) as session:
        failpoint("restore.retire.before-drop")
        dropped = await drop_marked(session, name, marks)
        failpoint("restore.retire.after-drop")
    described = f"restores/{visit.namespace}/{visit.name}"
    logger.info("database retired", extra={"object": described, "database": name, "dropped": dropped})
    return dropped
