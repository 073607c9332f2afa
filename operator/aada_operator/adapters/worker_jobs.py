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
    namespace = owner["metadata"]["namespace"]
    job = await kube.get(JOBS, namespace, name)
    if job is None or owner["metadata"]["uid"] not in {
        reference["uid"] for reference in job["metadata"].get("ownerReferences", ())
    }:
        return None
    return worker_jobs.state(job, await kube.list(PODS, namespace, {JOB_NAME_LABEL: name}))


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
