"""The database that a Cutover replaced: kept for a while as the way back, then dropped, if it is still that one."""

import logging

from aada_operator.adapters.postgres_cutover import drop_replaced
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.adapters.referenced import lms_of
from aada_operator.core.attempts import until
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.controller import RESYNC
from aada_operator.core.errors import OperatorError, Waiting
from aada_operator.restores.work import Work

logger = logging.getLogger(__name__)
# A clock that was put right, or a status that somebody edited, is noticed within this time.
LONGEST_SLEEP = 6 * 3600.0


async def retire(work: Work) -> float | None:
    """Drop it when its time is over; returns seconds until the next visit, None when there is nothing left to do."""
    old = work.status.get("oldDatabase")
    if old is None or "droppedAt" in old:
        return None
    if left := until(old["dropAfter"], work.visit.now):
        return min(left, LONGEST_SLEEP)
    try:
        dropped = await _drop(work, old["name"])
    except OperatorError as trouble:
        old["message"] = trouble.message
        return trouble.retry_after if isinstance(trouble, Waiting) else RESYNC
    old["droppedAt"] = to_rfc3339(work.visit.now)
    old["message"] = "" if dropped else "it was renamed, dropped or taken by somebody else: it is theirs now"
    return None


async def _drop(work: Work, name: str) -> bool:
    visit = work.visit
    lms = await lms_of(work.kube, visit.namespace, work.status["plan"]["lms"])
    async with admin_session(work.kube, visit.namespace, lms.database, work.allow_local) as session:
        dropped = await drop_replaced(session, name, visit.uid)
    described = f"restores/{visit.namespace}/{visit.name}"
    logger.info("old database retired", extra={"object": described, "database": name, "dropped": dropped})
    return dropped
