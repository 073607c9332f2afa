"""Jobs of earlier attempts: only the last one is kept, for its log."""

from aada_operator.adapters.kube import Kube
from aada_operator.core.resources import JOBS, Object


async def discard(kube: Kube, owner: Object, name: str) -> None:
    """Delete a Job of this owner; one that is gone, or somebody else's, is left alone."""
    job = await kube.get(JOBS, owner["metadata"]["namespace"], name)
    if job is None:
        return
    owners = {reference["uid"] for reference in job["metadata"].get("ownerReferences", ())}
    if owner["metadata"]["uid"] in owners:
        await kube.delete(JOBS, job)
