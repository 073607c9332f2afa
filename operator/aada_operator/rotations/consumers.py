"""Everybody who logs in with the application's Secret: pods of the LMS, further workloads, sessions on the server."""

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.api.credential import Consumer
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.core.resources import CRON_JOBS, DEPLOYMENTS, PODS, STATEFUL_SETS, ApiResource, Object, leaves
from aada_operator.rotations import decide, runs
from aada_operator.rotations.decide import Convergence
from aada_operator.rotations.runs import Publication
from aada_operator.rotations.work import Work

_KINDS = {kind.kind: kind for kind in (DEPLOYMENTS, STATEFUL_SETS, CRON_JOBS)}


class Consumers:
    """Those that the spec names are restarted here; the pods of the LMS by the AadaLms, which owns them."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def demand(self) -> None:
        """Make sure that all workloads of the spec exist and use the Secret.

        Raises:
            Waiting: ConsumerNotFound.
            Stalled: ConsumerUnrelated.
        """
        for consumer in self._work.visit.spec.consumers:
            body = await self._demand(consumer)
            if not decide.uses(runs.pod_template(body)["spec"], self._work.secret):
                message = f"consumers: {consumer.kind} {consumer.name} does not use Secret {self._work.secret}"
                raise Stalled("ConsumerUnrelated", f"{message}: name it there, or take it off the list")

    async def restart(self, revision: str) -> None:
        """Have all workloads of the spec start their pods anew, with what is in the Secret now; a CronJob its next run.

        The pods of the LMS come first: on a small server all at once would take its users' share of the processors.
        """
        if not self._work.visit.spec.consumers:
            return
        serving = [pod for pod in await self._pods() if self._serves(pod) and not leaves(pod)]
        if decide.outdated_pods(serving, self._work.secret, self._work.mark, revision):
            return
        for consumer in self._work.visit.spec.consumers:
            body = await self._demand(consumer)
            if runs.marked(body, self._work.mark) != revision:
                patch = runs.remade(body, self._work.mark, revision)
                await self._work.kube.patch(_resource(consumer), body, patch)

    async def look(self, revision: str) -> Convergence:
        """Who has not come to a revision yet.

        A pod on its way out logs in until it is gone, and the numbers in its workload's status are without it.
        """
        work = self._work
        behind = []
        for consumer in work.visit.spec.consumers:
            body = await self._demand(consumer)
            if not runs.is_up_to_date(body, work.mark, revision):
                behind.append(f"{consumer.kind} {consumer.name}")
        pods = [pod for pod in await self._pods() if self._serves(pod) or leaves(pod)]
        return Convergence(decide.outdated_pods(pods, work.secret, work.mark, revision), tuple(behind))

    async def earlier_runs(self, now: Publication) -> tuple[str, ...]:
        """Pods of Jobs that may have another revision than the Secret has, declared or not."""
        return runs.earlier(await self._pods(), now)

    async def _pods(self) -> list[Object]:
        """All pods beside the LMS: whose a consumer's are, only its selector says."""
        return await self._work.kube.list(PODS, self._work.visit.namespace)

    def _serves(self, pod: Object) -> bool:
        """Whether it is a pod of the LMS' components."""
        labels = pod["metadata"].get("labels") or {}
        return labels.get(LABEL_LMS) == self._work.lms_name and LABEL_COMPONENT in labels

    async def _demand(self, consumer: Consumer) -> Object:
        body = await self._work.kube.get(_resource(consumer), self._work.visit.namespace, consumer.name)
        if body is None:
            message = f"consumers: {consumer.kind} {consumer.name} does not exist: make it, or take it off the list"
            raise Waiting("ConsumerNotFound", message, 15.0)
        return body


def _resource(consumer: Consumer) -> ApiResource:
    return _KINDS[consumer.kind]
