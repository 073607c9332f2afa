"""Worker Jobs in the cluster: created once, looked at, their progress read from the log."""

import json
from typing import Any

from aada_operator.adapters.kube import Kube
from aada_operator.core import worker_jobs
from aada_operator.core.resources import JOBS, PODS, Object
from aada_operator.core.worker_jobs import JobRequest, JobState, WorkerImage

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"


async def look(kube: Kube, owner: Object, name: str) -> JobState | None:
    """What one Job of this owner says, None when there is none (yet, or any more)."""
    job = await _find(kube, owner, name)
    if job is None:
        return None
    return worker_jobs.state(job, await kube.list(PODS, owner["metadata"]["namespace"], {JOB_NAME_LABEL: name}))


async def is_there(kube: Kube, owner: Object, name: str) -> bool:
    """Whether a Job of this owner, or a pod of it, is there."""
    pods = await kube.list(PODS, owner["metadata"]["namespace"], {JOB_NAME_LABEL: name})
    return bool(pods) or await _find(kube, owner, name) is not None


async def discard(kube: Kube, owner: Object, name: str) -> None:
    """Delete a Job of this owner; one that is gone, or somebody else's, is left alone."""
    if job := await _find(kube, owner, name):
        await kube.delete(JOBS, job)


async def _find(kube: Kube, owner: Object, name: str) -> Object | None:
    job = await kube.get(JOBS, owner["metadata"]["namespace"], name)
    owners = {reference["uid"] for reference in job["metadata"].get("ownerReferences", ())} if job else set()
    return job if owner["metadata"]["uid"] in owners else None


async def start(kube: Kube, request: JobRequest, image: WorkerImage) -> None:
    """Create the Job; one of that name that is there already is the same attempt, begun before a restart."""
    await kube.create(JOBS, worker_jobs.build(request, image))


async def progress(kube: Kube, namespace: str, state: JobState) -> dict[str, Any]:
    """What the worker last said of its progress, empty when it said nothing yet."""
    if not state.pod:
        return {}
    try:
        line = json.loads(await kube.last_log_line(namespace, state.pod) or "{}")
    except ValueError:
        return {}
    said = line.get("progress") if isinstance(line, dict) else None
    return said if isinstance(said, dict) else {}
