"""A Restore that is deleted while it loads: a finalizer holds it until its Job has ended and the half database is gone.

What was loaded completely stays: a deleted Restore undoes nothing.
"""

import logging
from datetime import timedelta

from aada_operator.adapters import worker_jobs
from aada_operator.adapters.postgres_cutover import drop_marked
from aada_operator.adapters.postgres_logins import admin_session
from aada_operator.adapters.referenced import lms_of
from aada_operator.core.clock import from_rfc3339
from aada_operator.core.controller import FINALIZER, is_held
from aada_operator.core.database import begun_mark
from aada_operator.core.errors import Waiting
from aada_operator.core.resources import RESTORES
from aada_operator.restores import manifests
from aada_operator.restores.work import Work

logger = logging.getLogger(__name__)
# A server that does not come back keeps nobody from deleting a Restore. In a namespace that ends, the AadaLms and the
# Secrets may be gone before the Restore is.
LONGEST_WAIT, LONGEST_WAIT_FOR_OBJECTS = timedelta(minutes=10), timedelta(seconds=60)
_OBJECTS = frozenset({"SecretMissing", "AadaLmsNotFound", "AadaLmsInvalid", "NamespaceTerminating"})
RETRY = 10.0


async def hold(work: Work, *, loads: bool) -> None:
    """Set or take away the finalizer; on a new server there is no admin yet who could tidy up later."""
    wanted = loads and not work.visit.spec.is_new_server
    if wanted != is_held(work.visit.body):
        await work.kube.set_finalizer(RESTORES, work.visit.body, FINALIZER, present=wanted)


async def finish(work: Work) -> float | None:
    """End the Job, drop what it has half loaded; None when the Restore may go.

    Raises:
        Waiting: the Job has not ended; the server cannot be reached, or somebody is in the database.
    """
    plan = work.status.get("plan")
    if plan is None or not work.begun:
        return None
    visit = work.visit
    name = manifests.job_name(visit.name, work.status["attempt"])
    await worker_jobs.discard(work.kube, visit.body, name)
    if await worker_jobs.is_there(work.kube, visit.body, name):
        raise Waiting("StoppingJobs", f"waits for the end of Job {name}", 3.0)
    try:
        await _drop(work, plan)
    except Waiting as waiting:
        waited = visit.now - from_rfc3339(visit.body["metadata"]["deletionTimestamp"])
        if waited < (LONGEST_WAIT_FOR_OBJECTS if waiting.reason in _OBJECTS else LONGEST_WAIT):
            raise Waiting(waiting.reason, waiting.message, min(waiting.retry_after, RETRY)) from None
        logger.warning("a half loaded database may be left", extra=_described(work) | {"reason": waiting.reason})
    return None


async def _drop(work: Work, plan: dict[str, str]) -> None:
    visit = work.visit
    lms = await lms_of(work.kube, visit.namespace, plan["lms"])
    async with admin_session(work.kube, visit.namespace, lms.database, work.allow_local) as session:
        dropped = await drop_marked(session, plan["database"], (begun_mark(visit.uid),))
    logger.info("load abandoned", extra=_described(work) | {"dropped": dropped})


def _described(work: Work) -> dict[str, object]:
    visit = work.visit
    return {"object": f"restores/{visit.namespace}/{visit.name}", "database": work.status["plan"]["database"]}
