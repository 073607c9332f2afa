"""Consumers that run now and then: the pod templates of CronJobs, and pods of Jobs, which nobody replaces; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aada_operator.core.clock import from_rfc3339
from aada_operator.core.resources import JOBS, Object
from aada_operator.rotations import decide, manifests

# Clocks differ by less than this, and a kubelet has seen a publication that long ago.
SKEW = timedelta(minutes=1)
# A run that lasts longer than this after the overlap hangs rather than works.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Publication:
    """The revision ``mark`` of a Secret, and since when it is there.

    After a way back, what runs since before ``replaced`` has what it holds again.
    """

    secret: str
    mark: str
    revision: str
    since: datetime
    replaced: datetime | None = None


def earlier(pods: Sequence[Object], now: Publication) -> tuple[str, ...]:
    """Pods of Jobs, of a CronJob or alone, that may have or get another revision of the Secret, by name.

    Between two logins such a pod has no session, and it is not replaced: only its end tells that it needs it no more.
    """
    return tuple(sorted(pod["metadata"]["name"] for pod in pods if _is_of_a_job(pod) and _has_another(pod, now)))


def _is_of_a_job(pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences", ())
    return any(owner.get("controller") and owner["kind"] == JOBS.kind for owner in owners)


def _has_another(pod: Object, now: Publication) -> bool:
    """One from around the publication without a mark counts: its node may have read what was there before."""
    if manifests.has_ended(pod) or not decide.uses(pod["spec"], now.secret):
        return False
    if manifests.annotations(pod).get(now.mark) == now.revision:
        return False
    if now.replaced and _runs_since_before(pod, now.replaced - SKEW):
        return False
    return from_rfc3339(pod["metadata"]["creationTimestamp"]) < now.since + SKEW


def _runs_since_before(pod: Object, moment: datetime) -> bool:
    """Whether all containers were started earlier: what is in their environment is from then."""
    statuses = (pod.get("status") or {}).get("containerStatuses", ())
    running = [(status.get("state") or {}).get("running") for status in statuses]
    return bool(running) and all(one and from_rfc3339(one["startedAt"]) < moment for one in running)


def pod_template(workload: Object) -> Object:
    """What the pods of a workload are made from; a CronJob's are those of its next run."""
    spec = workload["spec"]
    template: Object = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]
    return template


def remade(workload: Object, mark: str, revision: str) -> Object:
    """The patch that gives the pods of a workload the name of a revision; a workload that runs on restarts them."""
    patch = {"template": {"metadata": {"annotations": {mark: revision}}}}
    return {"spec": {"jobTemplate": {"spec": patch}} if "jobTemplate" in workload["spec"] else patch}


def marked(workload: Object, mark: str) -> str:
    """The revision that new pods of a workload are of; empty for none."""
    return manifests.annotations({"metadata": pod_template(workload).get("metadata") or {}}).get(mark, "")


def is_up_to_date(workload: Object, mark: str, revision: str) -> bool:
    """Whether all pods are of a revision; of a CronJob, those of its next run."""
    return marked(workload, mark) == revision and ("jobTemplate" in workload["spec"] or decide.is_rolled_out(workload))
