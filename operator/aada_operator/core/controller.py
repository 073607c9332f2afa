"""One visit of the operator to one object: read, validate, let the capability act, write the status once, tell.

A capability gives a ``reconcile(visit)``; it fills ``visit.status`` and ``visit.conditions`` and returns when it wants
to be asked again. Everything that all kinds share is here and nowhere else.
"""

import copy
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError

from aada_operator.api.common import GROUP, Model
from aada_operator.core import conditions, metrics
from aada_operator.core.clock import Clock
from aada_operator.core.conditions import ConditionSet, Transition
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.core.resources import ApiResource, Object, leaves
from aada_operator.core.workqueue import Key

logger = logging.getLogger(__name__)
Spec = TypeVar("Spec", bound=Model)

# Seconds until an object is looked at again although nothing told of a change.
RESYNC = 300.0


# On objects of ours that own something outside the cluster.
FINALIZER = f"{GROUP}/finalizer"


def is_held(body: Object) -> bool:
    """Whether our finalizer keeps an object that is deleted until what it owns is gone."""
    return FINALIZER in body["metadata"].get("finalizers", ())


class ObjectClient(Protocol):
    """What the controller needs of the API server."""

    async def get(self, resource: ApiResource, namespace: str, name: str) -> Object | None: ...

    async def patch_status(self, resource: ApiResource, body: Object, status: Object) -> None: ...

    async def set_finalizer(self, resource: ApiResource, body: Object, name: str, *, present: bool) -> None: ...


class EventSink(Protocol):
    """Where transitions of conditions are told."""

    async def tell(self, body: Object, transitions: list[Transition]) -> None: ...


@dataclass
class Visit(Generic[Spec]):
    """All that a capability knows and says during one visit.

    ``body`` is the live object, ``spec`` its validated spec, ``status`` the status to be written (a copy of the
    present one, without conditions), ``now`` the moment of the visit. The next visit comes ``again_within`` so many
    seconds, whatever else this one waits for or cannot do.
    """

    body: Object
    spec: Spec
    now: datetime
    status: dict[str, Any]
    conditions: ConditionSet
    again_within: float = inf

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.body["metadata"].get("annotations") or {})


@dataclass(frozen=True)
class Capability(Generic[Spec]):
    """A kind and the function that brings it about; ``known`` are its conditions, set on the first visit.

    ``finalize`` is called for an object that is deleted and has our finalizer, until it returns None.
    """

    resource: ApiResource
    spec: type[Spec]
    known: tuple[str, ...]
    reconcile: Callable[[Visit[Spec]], Awaitable[float | None]]
    gauges: Callable[[Object], list[metrics.Sample]]
    finalize: Callable[[Visit[Spec]], Awaitable[float | None]] | None = None


class Controller(Generic[Spec]):
    """Runs visits to the objects of one kind."""

    def __init__(self, capability: Capability[Spec], client: ObjectClient, events: EventSink, clock: Clock) -> None:
        self._capability = capability
        self._client = client
        self._events = events
        self._clock = clock

    async def visit(self, key: Key) -> float | None:
        """Visit an object once; returns seconds until the next visit, None when it is gone."""
        body = await self._client.get(self._capability.resource, key.namespace, key.name)
        act = self._action(body) if body else None
        if body is None or act is None:
            metrics.OBJECTS.forget(key)
            return None
        before = body.get("status") or {}
        now = self._clock.now()
        generation = int(body["metadata"].get("generation", 0))
        known = ConditionSet(before.get("conditions", []), generation, now)
        fields = {name: value for name, value in copy.deepcopy(before).items() if name != "conditions"}
        fields["observedGeneration"] = generation
        delay = await self._guarded(act, body, fields, known, now)
        if delay is None and act is self._capability.finalize:
            metrics.OBJECTS.forget(key)
            await self._client.set_finalizer(self._capability.resource, body, FINALIZER, present=False)
            return None
        status = _present(fields | {"conditions": known.as_list()})
        try:
            await self._report(key, body, status, known.transitions())
        except Waiting as changed:  # by somebody else meanwhile, or gone: what was seen is looked at again
            logger.debug("status not written", extra={"object": str(key), "reason": changed.reason})
            return changed.retry_after
        return delay

    def _action(self, body: Object) -> Callable[[Visit[Spec]], Awaitable[float | None]] | None:
        """What is to be done about an object; None for one that goes by itself."""
        if not leaves(body):
            return self._capability.reconcile
        return self._capability.finalize if is_held(body) else None

    async def _guarded(
        self,
        act: Callable[[Visit[Spec]], Awaitable[float | None]],
        body: Object,
        fields: dict[str, Any],
        known: ConditionSet,
        now: datetime,
    ) -> float | None:
        """Let the capability act; what it waits for or cannot do becomes conditions."""
        for kind in (*self._capability.known, conditions.STALLED):
            if known.status_of(kind) is None:
                known.set(kind, "Unknown" if kind != conditions.STALLED else False, "Pending", "")
        visit: Visit[Spec] | None = None
        try:
            spec = self._validated(body)
            known.set(conditions.STALLED, False, "Progressing", "")
            visit = Visit(body=body, spec=spec, now=now, status=fields, conditions=known)
            delay = await act(visit)
        except Waiting as waiting:
            self._not_ready(known, waiting, stalled=False)
            delay = waiting.retry_after
        except Stalled as stalled:
            self._not_ready(known, stalled, stalled=True)
            delay = RESYNC
        return min(delay, visit.again_within) if visit and delay is not None else delay

    def _validated(self, body: Object) -> Spec:
        try:
            return self._capability.spec.model_validate(body.get("spec") or {})
        except ValidationError as error:
            raise Stalled("InvalidSpec", explain(error)) from None

    @staticmethod
    def _not_ready(known: ConditionSet, error: OperatorError, *, stalled: bool) -> None:
        known.set(conditions.READY, False, error.reason, error.message)
        known.set(conditions.RECONCILING, not stalled, error.reason, error.message)
        known.set(
            conditions.STALLED, stalled, error.reason if stalled else "Progressing", error.message if stalled else ""
        )

    async def _report(self, key: Key, body: Object, status: Object, transitions: list[Transition]) -> None:
        """Write the status if it differs, then tell; a status that says the same costs no request."""
        metrics.OBJECTS.set(key, self._capability.gauges(body | {"status": status}))
        if status == (body.get("status") or {}):
            return
        await self._client.patch_status(self._capability.resource, body, status)
        _log(key, transitions)
        await self._events.tell(body, transitions)


def _present(value: Any) -> Any:
    """A status without its nulls: the server does not store them, and the next visit would write them again."""
    if isinstance(value, dict):
        return {name: _present(child) for name, child in value.items() if child is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value


def _log(key: Key, transitions: list[Transition]) -> None:
    """One line per status that changed what holds; what is not known yet is no news."""
    news = {t.type: f"{t.status} {t.reason}" for t in transitions if t.status != "Unknown"}
    if news:
        detail = next((t.message for t in transitions if t.type == conditions.READY), "")
        logger.info("conditions changed", extra={"object": str(key), "conditions": news, "detail": detail})


def explain(error: ValidationError) -> str:
    """A validation error as one message that names each field and what is wrong, without the values."""
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(["spec", *(str(part) for part in problem["loc"])])
        problems.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)
