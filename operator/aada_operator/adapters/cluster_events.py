"""Events of transitions, created in the cluster after the status was written."""

import logging

from aada_operator.adapters.kube import Kube
from aada_operator.core.clock import Clock
from aada_operator.core.conditions import Transition
from aada_operator.core.errors import OperatorError
from aada_operator.core.events import to_event, worth_telling
from aada_operator.core.resources import ApiResource, Object

logger = logging.getLogger(__name__)
EVENTS = ApiResource("v1", "Event", "events")


class ClusterEvents:
    """Tells transitions as Kubernetes Events; a lost one is logged and never stops a reconcile."""

    def __init__(self, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._clock = clock

    async def tell(self, body: Object, transitions: list[Transition]) -> None:
        """Create the Event of each transition that is worth one."""
        for transition in worth_telling(transitions):
            try:
                await self._kube.create(EVENTS, to_event(body, transition, self._clock.now()))
            except OperatorError as error:
                logger.warning("an Event was lost", extra={"reason": error.reason, "event": transition.reason})
